"""Published split lists, held line by line against the videos of a face set; what comes out is ``FixedLists``.

A line is a path and, after white space or a comma, a label: ``CASIA_CeFA/Ethnicity/AF/AF-120/1_120_3_2_2/color 1``. The
owners of CeFA, CASIA-SURF, HiFiMask, SuHiFiMask, UniAttackData, SiW and WMCA publish such lists of videos and of single
images; an image counts for its video, which a face set has as a whole. Of a line with the paths of several modalities
the first counts. Which label means live differs between lists (0 in most, 1 in SiW's and WMCA's), and some number the
kinds of attack: a label means what most of its lines are in the data, and the others are named.

A path names a video if the one ends with the other, folder by folder and without the ending of a file, a last folder
``color`` and the like: lists and copies begin at different folders.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from pydantic import ValidationError

from fasray.errors import DataError, ProtocolError, SpecError, did_you_mean
from fasray.protocols.lists import FixedLists, ListRole, Source
from fasray.protocols.roles import CLASS_NAMES
from fasray.validation import spec_error

_ROLES: dict[str, ListRole] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "devel", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing", "eval"), "test"),
}
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_VIDEOS = (".avi", ".mov", ".mp4", ".mkv", ".webm", ".m4v")
_MODALITY = ("color", "colour", "rgb", "crop")
_LINE = re.compile(r"(?P<path>.*?)(?:(?:\s*,\s*|\s+)(?P<label>[+-]?\d+))?")
_SHOWN = 20


@dataclass(frozen=True)
class KnownVideo:
    """A video of a face set."""

    name: str
    """Its ``video``."""
    label: int
    subject: str
    paths: tuple[str, ...]
    """Its ``source_path``, or those of its frames."""


@dataclass(frozen=True)
class ListFile:
    """A published list."""

    name: str
    role: ListRole
    text: str


@dataclass(frozen=True)
class Imported:
    """What an import found."""

    lists: FixedLists
    remarks: tuple[str, ...]
    """What its user should know; nothing that is wrong."""


@dataclass(frozen=True)
class _Entry:
    file: str
    line: int
    path: str
    label: str
    videos: tuple[KnownVideo, ...]
    """Those that the path may mean; one if all is well."""

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}"


def role_of(name: str) -> ListRole:
    """Return the role that the name of a list says: ``train`` of ``CASIA_CeFA@p1.1_video_train.txt``.

    Raises:
        SpecError: it says none, or several.
    """
    words = re.split(r"[^A-Za-z]+", name.rpartition("/")[2].lower())
    found = {_ROLES[word] for word in words if word in _ROLES}
    if len(found) != 1:
        raise SpecError(
            f"the name {name!r} does not say whether the list is for {', '.join(get_args(ListRole))}",
            remedy=f"name it after its role: --train {name}, --dev {name} or --test {name}",
        )
    return found.pop()


def import_lists(
    name: str,
    files: Sequence[ListFile],
    videos: Iterable[KnownVideo],
    *,
    shared_people: bool = False,
    skip_missing: bool = False,
    drop_doubled: bool = False,
) -> Imported:
    """Check every entry of published lists against a face set.

    Args:
        name: what the protocol is to be called.
        files: the lists; those of one role are joined. With none for dev, a fifth of the train list's people choose.
        videos: of the face set.
        shared_people: accept people on several sides, as the lists of some corpora have them.
        skip_missing: leave out entries that the face set does not have, videos without a face among them.
        drop_doubled: count an entry once that a list has several times.

    Raises:
        DataError: entries are in no video of the data or in several, doubled, on two sides, or of the other class; each
            is named with its line.
        ProtocolError: people are on several sides.
        SpecError: no list is for train, or none for test, or the name is malformed.
    """
    for role in ("train", "test"):
        if not any(file.role == role for file in files):
            raise SpecError(f"no list is for {role}", remedy=f"name it: --{role} FILE")
    paths = _Paths(videos)
    entries = {file: list(_entries(file, paths)) for file in files}
    missing = [entry for lines in entries.values() for entry in lines if not entry.videos]
    wrong = {
        "--skip-missing leaves out what the data does not have": [] if skip_missing else _unknown(missing, paths),
        "correct the lists, or name the face set that they are about": _unclear(entries.values()),
        "--drop-doubled counts doubled entries once": [] if drop_doubled else _doubled(entries.values()),
        "leave out a dev list that repeats the train list: a fifth of the people choose then": _on_two_sides(entries),
    }
    if problems := [problem for found in wrong.values() for problem in found]:
        more = f"\n    and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{len(problems)} entries cannot be used:\n    " + "\n    ".join(problems[:_SHOWN]) + more,
            remedy="; ".join(remedy for remedy, found in wrong.items() if found),
        )
    of_role: dict[str, dict[str, KnownVideo]] = {role: {} for role in get_args(ListRole)}
    for file, lines in entries.items():
        of_role[file.role] |= {entry.videos[0].name: entry.videos[0] for entry in lines if entry.videos}
    lists = _made(name, shared_people, of_role, entries)
    remarks = [f"{len(missing)} entries are not in the data and were left out"] if missing else []
    remarks += _people(of_role, shared_people)
    listed = sum(map(len, of_role.values()))
    if others := len(paths.videos) - listed:
        remarks.append(f"{others} of the data's {len(paths.videos)} videos are in no list and take no part")
    return Imported(lists, tuple(remarks))


def _made(
    name: str, shared: bool, of_role: dict[str, dict[str, KnownVideo]], entries: dict[ListFile, list[_Entry]]
) -> FixedLists:
    """Return the lists; SpecError if the name is malformed, or none of their videos is in the data."""
    sources = [
        Source(file=file.name, role=file.role, entries=len(lines), sha256=_sha256(file.text))
        for file, lines in entries.items()
    ]
    videos = {role: sorted(found) for role, found in of_role.items()}
    try:
        return FixedLists.model_validate({"name": name, "shared_people": shared, "sources": sources, **videos})
    except ValidationError as error:
        raise spec_error(error, FixedLists) from error


class _Paths:
    """The videos of a face set by the ends of their paths."""

    def __init__(self, videos: Iterable[KnownVideo]) -> None:
        self.videos = {video.name: video for video in videos}
        self._whole: dict[str, set[str]] = {}
        self._ends: dict[str, set[str]] = {}
        for video in self.videos.values():
            for path in {video.name, video.name.partition("/")[2] or video.name, *video.paths}:
                for parts in _readings(path)[-1:] if len(video.paths) > 1 else _readings(path):
                    self._whole.setdefault("/".join(parts), set()).add(video.name)
                    for first in range(len(parts)):
                        self._ends.setdefault("/".join(parts[first:]), set()).add(video.name)

    def find(self, path: str) -> tuple[KnownVideo, ...]:
        """Return the videos that a list's path may mean."""
        for parts in _readings(path):
            found = self._ends.get("/".join(parts), set())
            for first in range(1, len(parts)):
                found = found or self._whole.get("/".join(parts[first:]), set())
            if found:
                return tuple(self.videos[name] for name in sorted(found))
        return ()

    def near(self, path: str) -> str:
        """Return a remedy with the most similar path of the data; none if there are too many to look through."""
        if len(self._whole) > 5000:
            return ""
        found = did_you_mean("/".join(_readings(path)[0]), self._whole)
        return f"; {found}" if found.startswith("did") else ""


def _readings(path: str) -> list[tuple[str, ...]]:
    """Return the folders that a path may mean, the likeliest first: of an image itself, then its video."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    stem, dot, ending = parts[-1].rpartition(".") if parts else ("", "", "")
    is_image, is_video = (f"{dot}{ending}".lower() in endings for endings in (_IMAGES, _VIDEOS))
    whole = [*parts[:-1], stem] if is_image or is_video else parts
    found = [whole, parts[:-1]] if is_image else [whole]
    for each in found:
        while len(each) > 1 and each[-1].lower() in _MODALITY:
            del each[-1]
    return [tuple(each) for each in found if each]


def _entries(file: ListFile, paths: _Paths) -> Iterator[_Entry]:
    for number, line in enumerate(file.text.lstrip("\ufeff").splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match is not None and match["path"] and not match["path"].startswith("#"):
            columns = match["path"].split()
            path = columns[0] if len(columns) > 1 and all("/" in column for column in columns) else match["path"]
            yield _Entry(file.name, number, path, match["label"] or "", paths.find(path))


def _unknown(entries: Sequence[_Entry], paths: _Paths) -> list[str]:
    return [
        f"{entry.place}: no video of the data is {entry.path!r}{paths.near(entry.path) if number < 3 else ''}"
        for number, entry in enumerate(entries)
    ]


def _unclear(lists: Collection[Sequence[_Entry]]) -> list[str]:
    """Name the entries that may be any of several videos, and those whose label is that of the other class."""
    several = [
        f"{entry.place}: {entry.path!r} may be any of {len(entry.videos)} videos, {entry.videos[0].name!r} and "
        f"{entry.videos[1].name!r} among them"
        for entries in lists
        for entry in entries
        if len(entry.videos) > 1
    ]
    return several + [problem for entries in lists for problem in _other_class(entries)]


def _doubled(lists: Iterable[Sequence[_Entry]]) -> list[str]:
    """Name the entries of an image, or of a video in whatever spelling, that their list has before."""
    problems = []
    for entries in lists:
        first: dict[str, int] = {}
        for entry in entries:
            of_video = entry.videos and not entry.path.lower().endswith(_IMAGES)
            line = first.setdefault(entry.videos[0].name if of_video else entry.path, entry.line)
            if line != entry.line:
                problems.append(f"{entry.place}: {entry.path!r} is on line {line} already")
    return problems


def _other_class(entries: Sequence[_Entry]) -> list[str]:
    """Name the entries whose label means the other class in the rest of the list."""
    known = [entry for entry in entries if entry.label and len(entry.videos) == 1]
    counts = Counter((entry.label, entry.videos[0].label) for entry in known)
    meaning = {
        label: max(CLASS_NAMES, key=lambda kind: counts[label, kind]) for label in {entry.label for entry in known}
    }
    return [
        f"{entry.place}: label {entry.label} means {CLASS_NAMES[meaning[entry.label]]} in this list, and "
        f"{entry.path!r} is {CLASS_NAMES[entry.videos[0].label]} in the data"
        for entry in known
        if meaning[entry.label] != entry.videos[0].label
    ]


def _on_two_sides(entries: dict[ListFile, list[_Entry]]) -> list[str]:
    first: dict[str, tuple[ListRole, _Entry]] = {}
    problems = []
    for file, lines in entries.items():
        for entry in lines:
            for video in entry.videos[:1]:
                role, other = first.setdefault(video.name, (file.role, entry))
                if role != file.role:
                    problems.append(f"{entry.place}: {entry.path!r} is for {role}, too ({other.place})")
    return problems


def _people(of_role: dict[str, dict[str, KnownVideo]], shared: bool) -> list[str]:
    """Say which people are on several sides.

    Raises:
        ProtocolError: there are such, and nobody said that they may be.
    """
    people = {role: {video.subject for video in videos.values()} for role, videos in of_role.items()}
    found = []
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        if both := sorted(people[one] & people[other]):
            found.append(f"{len(both)} people are in both {one} and {other}, {both[0]!r} among them")
    if found and not shared:
        raise ProtocolError(
            "; ".join(found),
            remedy="--shared-people accepts it, as the lists' owners do; figures are then not those of unseen people",
        )
    return found


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
