"""CelebA-Spoof: 625,537 images of 10,177 subjects; prints, paper and 3D masks, screens.

Zhang et al., "CelebA-Spoof: large-scale face anti-spoofing dataset with rich annotations", ECCV 2020.

``Data/{train,test}/SUBJECT/{live,spoof}/NNNNNN.{jpg,png}``, next to each image its face box ``NNNNNN_BB.txt``. What
the names do not say is in ``metas/intra_test/{train,test}_label.json``: an object from image path to 44 integers, of
which [40] is the kind of attack, [41] the light, [42] the surroundings, [43] 0 for live and 1 for attack. These two
files are the list of what should be there; other protocols (``metas/protocol*``) are subsets of it and are not read.

Every image is a "video" of one frame.

Trap: in public copies some images are under ``live`` and are labelled as attacks, or the reverse. They are left out
and named.

Established from the authors' description and from public loaders, not from the files themselves: the meaning of [41]
and [42]. A number out of the tables below makes an image one that is not understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fasray.errors import DataError
from fasray.faces.corpora.corpus import Corpus, Survey, list_files
from fasray.faces.corpora.findings import compare
from fasray.faces.corpora.generated import NOTE_NAME, generated_note, subjects_of
from fasray.faces.corpora.source_video import SourceVideo

_LABELS = {split: f"metas/intra_test/{split}_label.json" for split in ("train", "test")}
_PATH = re.compile(r"Data/(train|test)/(\d+)/(live|spoof)/(\d+)\.(jpg|png)")
_BESIDE = re.compile(r"Data/.+_BB\.txt|metas/.+|.*(README|[Rr]ead_?[Mm]e|LICENSE|[Aa]greement).*")
_KIND, _LIGHT, _PLACE, _ATTACK = 40, 41, 42, 43
_LENGTH = 44
_KINDS = (
    ("live", ""),
    ("print", "photo"),
    ("print", "poster"),
    ("print", "a4"),
    ("mask", "paper_face"),
    ("mask", "paper_upper_body"),
    ("mask", "paper_region"),
    ("replay", "pc"),
    ("replay", "pad"),
    ("replay", "phone"),
    ("mask", "mask_3d"),
)
_LIGHTS = ("", "normal", "strong", "back", "dark")
_PLACES = ("", "indoor", "outdoor")


@dataclass(frozen=True)
class _Listed:
    """The images of both label files: understood, and paths whose labels are not, or contradict the folder."""

    videos: tuple[SourceVideo, ...]
    contradictions: tuple[str, ...]
    unclear: tuple[str, ...]


class CelebaSpoof(Corpus):
    """See the module. ``session`` is surroundings and light: indoor-back; empty for live."""

    name = "celeba-spoof"
    domain = "CA"
    title = "CelebA-Spoof"
    kind = "image"

    def survey(self, root: str) -> Survey:
        """See Corpus.

        Raises:
            DataError: also if a label file is missing or is not what the module says.
        """
        paths = list_files(root)
        listed = self._listed(root)
        there = set(paths)
        videos = tuple(video for video in listed.videos if video.path in there)
        if not videos:
            remedy = "name the folder that holds Data and metas"
            raise DataError(f"no file here is an image of {self.title}", where=root, remedy=remedy)
        known = {video.path for video in listed.videos} | set(listed.contradictions) | set(listed.unclear)
        unknown = [path for path in paths if path not in known and not _BESIDE.fullmatch(path)]
        notes = [f"left out, folder and label disagree: {path}" for path in listed.contradictions]
        notes += [f"left out, its labels are not understood: {path}" for path in listed.unclear]
        subjects = subjects_of(root)
        if subjects is not None:
            unknown.remove(NOTE_NAME)
            notes.append(generated_note(subjects))
        generated = subjects is not None
        findings = compare(self.title, videos, listed.videos, {}, unknown, (), notes, generated=generated)
        return Survey(root, videos, findings)

    def examples(self) -> tuple[SourceVideo, ...]:
        """See Corpus. Each subject live, in a photo, on a tablet and behind a paper face."""
        return tuple(
            self._video(
                f"Data/{split}/{number}/{'spoof' if kind else 'live'}/{number:04d}{kind:02d}.jpg",
                str(number),
                split,
                _labels(kind),
            )
            for split, numbers in (("test", range(41, 61)), ("train", range(1, 41)))
            for number in numbers
            for kind in (0, 1, 4, 8)
        )

    def papers(self, videos: Iterable[SourceVideo]) -> dict[str, str]:
        """See Corpus. The label files."""
        tables: dict[str, dict[str, list[int]]] = {split: {} for split in _LABELS}
        for video in videos:
            kind = _KINDS.index((video.attack_type, video.instrument))
            tables[video.split][video.path] = _labels(kind)
        return {_LABELS[split]: json.dumps(table) for split, table in tables.items()}

    def _listed(self, root: str) -> _Listed:
        videos: list[SourceVideo] = []
        contradictions, unclear = [], []
        for split, name in _LABELS.items():
            for path, values in _read_labels(Path(root), name).items():
                match = _PATH.fullmatch(path)
                if match is None or match[1] != split or not _understood(values):
                    unclear.append(path)
                elif (match[3] == "live") != (values[_ATTACK] == 0):
                    contradictions.append(path)
                else:
                    videos.append(self._video(path, match[2], split, values))
        videos.sort(key=lambda video: video.path)
        return _Listed(tuple(videos), tuple(sorted(contradictions)), tuple(sorted(unclear)))

    def _video(self, path: str, subject: str, split: str, values: list[int]) -> SourceVideo:
        attack_type, instrument = _KINDS[values[_KIND]]
        session = "-".join(filter(None, (_PLACES[values[_PLACE]], _LIGHTS[values[_LIGHT]])))
        return SourceVideo(
            path=path,
            attack_type=attack_type,
            instrument=instrument,
            domain=self.domain,
            subject=f"{self.domain}{int(subject):05d}",
            video=f"{self.domain}/{path.rpartition('.')[0]}",
            camera="",
            session="" if attack_type == "live" else session,
            split=split,
        )


def _labels(kind: int) -> list[int]:
    """Return the labels of an example: what they say but kind, light and surroundings is 0."""
    return [0] * _KIND + [kind, int(kind > 0), int(kind > 0), int(kind > 0)]


def _understood(values: object) -> bool:
    """Return whether these are labels whose numbers are all in the tables and agree about live and attack."""
    if not isinstance(values, list) or len(values) < _LENGTH or not all(isinstance(value, int) for value in values):
        return False
    kind, light, place, attack = (values[position] for position in (_KIND, _LIGHT, _PLACE, _ATTACK))
    in_tables = 0 <= kind < len(_KINDS) and 0 <= light < len(_LIGHTS) and 0 <= place < len(_PLACES)
    return in_tables and attack in (0, 1) and (kind == 0) == (attack == 0)


def _read_labels(root: Path, name: str) -> dict[str, list[int]]:
    try:
        values = json.loads((root / name).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        remedy = "name the folder that holds Data and metas; the label files are part of the download"
        raise DataError("the label file is missing", where=str(root / name), remedy=remedy) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(root / name), remedy="get the file again") from error
    if not isinstance(values, dict):
        raise DataError("is not an object of image paths", where=str(root / name), remedy="get the file again")
    return values
