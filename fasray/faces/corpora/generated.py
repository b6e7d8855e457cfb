"""The note in the root of a generated corpus: it is no evidence, and which subjects it has.

A mimic (``fasray data synth --as``) holds some of a corpus' subjects. Its note names them, so that a survey asks for
the files of these subjects and of no others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

NOTE_NAME = "GENERATED.txt"
_SUBJECTS = "subjects:"


def note_text(title: str, subjects: Iterable[str], how: str) -> str:
    """Return the note for a mimic of ``title`` with these subjects; ``how`` says how it was made."""
    return f"""These videos are generated. No person and no recording is behind them.

They have the folders and file names of {title}, so that preparing it can be tried without a licence.
Scores on them are no evidence about real face anti-spoofing, and none about {title}.

made by: {how}
{_SUBJECTS} {" ".join(subjects)}
"""


def generated_note(subjects: Collection[str]) -> str:
    """Return what findings say of a mimic with these subjects."""
    return f"generated videos ({NOTE_NAME}), {len(subjects)} subjects; scores on them are no evidence"


def subjects_of(root: str) -> frozenset[str] | None:
    """Return the subjects that the note in ``root`` names; None if there is no note (a real corpus)."""
    note = Path(root) / NOTE_NAME
    if not note.is_file():
        return None
    for line in note.read_text(encoding="utf-8").splitlines():
        if line.startswith(_SUBJECTS):
            return frozenset(line.removeprefix(_SUBJECTS).split())
    return frozenset()
