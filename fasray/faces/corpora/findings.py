"""What a survey of a corpus found in addition to its videos: missing, misnamed and extra files, and the counts."""

from __future__ import annotations

import difflib
import posixpath
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from fasray.faces.corpora.source_video import SourceVideo
from fasray.faces.record import LIVE, SPLITS
from fasray.names import printable

_NEAR = 0.9
"""Least similarity of a wrong file name with the official one that it may be; numbers make all names similar."""
_MANY = 20
"""A name that more official paths than this share (``color``) says nothing about which of them a path may be."""


@dataclass(frozen=True)
class Misnamed:
    """A file that no rule of the corpus explains, and the missing official name that is nearest to it."""

    path: str
    nearest: str


@dataclass(frozen=True)
class SplitCount:
    """Live and attack videos of one split: found, and as published (None: the publication does not say)."""

    split: str
    live: int
    attack: int
    published_live: int | None
    published_attack: int | None

    @property
    def agrees(self) -> bool:
        """Whether the counts agree with the published ones, as far as those are known."""
        return self.published_live in (None, self.live) and self.published_attack in (None, self.attack)


@dataclass(frozen=True)
class Findings:
    """How a folder differs from the corpus it should hold; paths are relative to the root, sorted and printable."""

    title: str
    missing: tuple[str, ...] = ()
    """Official videos that are not there."""
    misnamed: tuple[Misnamed, ...] = ()
    """Files in place of an official one."""
    extra: tuple[str, ...] = ()
    """Files that do not belong to the corpus and resemble nothing that is missing."""
    missing_companions: tuple[str, ...] = ()
    """Side files that are not there; preparation does not need them."""
    counts: tuple[SplitCount, ...] = ()
    notes: tuple[str, ...] = ()
    """What else a reader should know."""
    generated: bool = False
    """Whether the videos are a mimic; they show no real person."""

    @property
    def whole(self) -> bool:
        """Whether every official video is there under its name, and nothing else is."""
        agree = all(count.agrees for count in self.counts)
        return agree and not (self.missing or self.misnamed or self.extra)

    @property
    def known(self) -> bool:
        """Whether there is a publication to compare with."""
        return any(count.published_live is not None for count in self.counts)

    def lines(self) -> list[str]:
        """Return one line a finding, file by file; empty if there is nothing to say."""
        lines = [f"missing: {path}" for path in self.missing]
        lines += [f"misnamed: {item.path} (should it be {item.nearest}?)" for item in self.misnamed]
        lines += [f"extra: {path}" for path in self.extra]
        lines += [f"missing companion: {path}" for path in self.missing_companions]
        lines += [_count_line(count) for count in self.counts if not count.agrees]
        return lines + [f"note: {text}" for text in self.notes]

    def summary(self) -> str:
        """Return one sentence: the totals, and how many findings of each kind there are."""
        videos = sum(count.live + count.attack for count in self.counts)
        kinds = (
            (len(self.missing), "missing"), (len(self.misnamed), "misnamed"), (len(self.extra), "extra"),
            (len(self.missing_companions), "companions missing"),
        )  # fmt: skip
        found = ", ".join(f"{number} {kind}" for number, kind in kinds if number)
        return f"{self.title}: {videos} videos; {found or ('as published' if self.known else 'nothing missing')}"


def compare(
    title: str,
    videos: Sequence[SourceVideo],
    official: Sequence[SourceVideo],
    published: dict[str, tuple[int, int]],
    unknown: Iterable[str],
    companions: Iterable[str],
    notes: Sequence[str] = (),
    generated: bool = False,
) -> Findings:
    """Compare what a folder holds with what it should hold.

    Args:
        title: of the corpus.
        videos: found and understood.
        official: all that should be there; empty if no list is known.
        published: split -> (live, attack) videos; splits that are not named are not compared.
        unknown: files that no rule explains.
        companions: side files that are there.
        notes: see Findings.
        generated: see Findings.
    """
    found = {video.path for video in videos}
    missing = _Missing((video.path for video in official), found)
    misnamed, extra = [], []
    for path in sorted(unknown):
        nearest = missing.take_nearest(path)
        if nearest is None:
            extra.append(path)
        else:
            misnamed.append(Misnamed(path, nearest))
    misnamed = [Misnamed(printable(item.path), item.nearest) for item in misnamed]
    present = set(companions)
    wanted = {path for video in videos for path in video.companions}
    return Findings(
        title=title,
        missing=missing.sorted(),
        misnamed=tuple(misnamed),
        extra=tuple(map(printable, extra)),
        missing_companions=tuple(sorted(wanted - present)),
        counts=_counts(videos, published),
        notes=tuple(notes),
        generated=generated,
    )


def count_by_split(videos: Iterable[SourceVideo]) -> dict[str, tuple[int, int]]:
    """Return split -> (live, attack) videos, in the order of ``record.SPLITS``, empty splits left out."""
    counts = {split: [0, 0] for split in SPLITS}
    for video in videos:
        counts[video.split][0 if video.label == LIVE else 1] += 1
    return {split: (live, attack) for split, (live, attack) in counts.items() if live or attack}


def _counts(videos: Sequence[SourceVideo], published: dict[str, tuple[int, int]]) -> tuple[SplitCount, ...]:
    found = count_by_split(videos)
    return tuple(
        SplitCount(split, *found.get(split, (0, 0)), *published.get(split, (None, None)))
        for split in SPLITS
        if split in found or split in published
    )


class _Missing:
    """Official paths that are not there, by folder and by name."""

    def __init__(self, official: Iterable[str], found: Collection[str]) -> None:
        paths = set(official)
        shared = Counter(posixpath.basename(path).lower() for path in paths)
        self._common = {name for name, count in shared.items() if count > _MANY}
        self._paths = paths.difference(found)
        self._names_in: dict[str, set[str]] = {}
        self._folders_with: dict[str, set[str]] = {}
        for path in self._paths:
            folder, name = posixpath.split(path)
            self._names_in.setdefault(folder, set()).add(name)
            self._folders_with.setdefault(name.lower(), set()).add(path)

    def sorted(self) -> tuple[str, ...]:
        """Return what is left."""
        return tuple(sorted(self._paths))

    def take_nearest(self, path: str) -> str | None:
        """Take out the path that ``path`` most resembles: of its own name elsewhere, else in its own folder.

        Of a name that many have, it is a path that differs in one folder.
        """
        nearest = self._nearest(path)
        if nearest is None:
            return None
        folder, name = posixpath.split(nearest)
        self._paths.discard(nearest)
        self._names_in[folder].discard(name)
        self._folders_with[name.lower()].discard(nearest)
        return nearest

    def _nearest(self, path: str) -> str | None:
        folder, name = posixpath.split(path)
        if name.lower() in self._common:
            return self._but_one_part(path)
        elsewhere = sorted(self._folders_with.get(name.lower(), ()))
        if elsewhere:
            return max(elsewhere, key=lambda other: difflib.SequenceMatcher(None, path, other).ratio())
        near = _most_like(name, sorted(self._names_in.get(folder, ())))
        return None if near is None else posixpath.join(folder, near)

    @cached_property
    def _parts_by_others(self) -> dict[str, set[str]]:
        """A missing path with one part cut out (see ``_without``) -> the parts that missing paths have there."""
        found: dict[str, set[str]] = {}
        for path in self._paths:
            parts = path.split("/")
            for place, part in enumerate(parts):
                found.setdefault(_without(parts, place), set()).add(part)
        return found

    def _but_one_part(self, path: str) -> str | None:
        parts = path.split("/")
        for place, part in enumerate(parts):
            near = _most_like(part, sorted(self._parts_by_others.get(_without(parts, place), ())))
            nearest = "/".join((*parts[:place], near or "", *parts[place + 1 :]))
            if near is not None and nearest in self._paths:
                return nearest
        return None


def _without(parts: Sequence[str], place: int) -> str:
    return "/".join((*parts[:place], "", *parts[place + 1 :]))


def _most_like(name: str, names: list[str]) -> str | None:
    """Return which of ``names`` a file called ``name`` may be: another ending, an addition, a typo; or None."""
    stem = posixpath.splitext(name)[0].lower()
    for other in names:
        if posixpath.splitext(other)[0].lower() == stem:
            return other
    shorter = [other for other in names if stem.startswith(posixpath.splitext(other)[0].lower())]
    if shorter:
        return max(shorter, key=len)
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=_NEAR)), None)


def _count_line(count: SplitCount) -> str:
    live, attack = ("?" if number is None else number for number in (count.published_live, count.published_attack))
    published = f"{live} live and {attack} attack videos are published"
    return f"split {count.split}: {count.live} live and {count.attack} attack videos; {published}"
