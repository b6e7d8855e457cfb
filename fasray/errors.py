"""What can go wrong, said so that the reader can fix it.

FasrayError                    exit code 1, the root: catch it to catch them all
|-- SpecError             2    a sweep file, an option or a config is not what it should be
|-- DataError             3    faces, shards or score files are missing, broken or empty
|-- StorageError          3    a place where files are kept cannot be reached, or refuses
|-- ProtocolError         4    a protocol cannot be run on this data, or would leak
|-- RunFailedError        5    a trial or a stage of a run failed
|   `-- DivergedError     5    a trial's loss is no longer a finite number
`-- InterruptedRunError   6    stopped on request; the same command goes on
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FasrayError(Exception):
    """Something failed that the user can act on.

    Args:
        what: what happened, one sentence.
        where: file, key or line it concerns; empty if there is no one place.
        remedy: what to do about it; empty if there is nothing to say.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  -> {self.remedy}" if self.remedy else head

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[FasrayError], what: str, where: str, remedy: str) -> FasrayError:
    return kind(what, where=where, remedy=remedy)


class SpecError(FasrayError):
    """A sweep file, an option or a config is not what it should be."""

    exit_code = 2


class DataError(FasrayError):
    """Faces, shards or score files are missing, broken or empty."""

    exit_code = 3


class StorageError(FasrayError):
    """A place where files are kept cannot be reached, or refuses what is asked of it; the files may be sound."""

    exit_code = 3


class ProtocolError(FasrayError):
    """A protocol cannot be run on this data, or would leak from source to target."""

    exit_code = 4


class RunFailedError(FasrayError):
    """A trial or a stage of a run failed."""

    exit_code = 5


class DivergedError(RunFailedError):
    """A trial's loss is no longer a finite number."""


class InterruptedRunError(FasrayError):
    """Stopped on request; the same command goes on where this one ended."""

    exit_code = 6


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return a remedy that names the nearest of ``choices``, or lists them all if none is near."""
    known = sorted(set(choices))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"choose one of: {', '.join(known)}" if known else "there is nothing to choose from"
