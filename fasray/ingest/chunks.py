"""What a preparation is made of: a plan of a corpus' videos, cut into numbered chunks in a fixed order.

A chunk becomes one shard. How the videos are cut depends on the plan alone, never on the machine, so that an
interrupted preparation goes on anywhere and ends with the same shards.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import cv2

from fasray.errors import DataError, SpecError
from fasray.faces.corpora import Corpus, Findings, SourceVideo, get
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import Share
from fasray.faces.extraction.sequences import picture_files
from fasray.faces.media import named_as_picture
from fasray.faces.sets.manifest import canonical_json

FORMAT = "fasray-prepare/1"
"""Changes whenever the same videos and settings give other records."""

ROWS_PER_SHARD = 512
_ROWS_PER_UNIT = 48
"""About a second of work: less would be dominated by overhead, more would leave cores idle at the end."""
_ROWS_OF_A_VIDEO = 64
"""Assumed where the rule takes every k-th frame: only the size of chunks depends on it."""
_LEAST_ROWS, _LEAST_BYTES = 32, 4 << 20
"""Of a video that several workers share: each of them decodes it whole, and takes some seconds to start."""


@dataclass(frozen=True)
class Unit:
    """Consecutive videos that one worker processes in one call."""

    chunk: int
    """Number of the chunk that it belongs to."""
    place: int
    """Position in the chunk, from 0."""
    videos: tuple[SourceVideo, ...]
    share: Share = (0, 1)
    """Of the one video that it then has, which of the frames are taken."""


@dataclass(frozen=True)
class PreparationPlan:
    """A corpus, where it is, and how it is prepared."""

    corpus: str
    root: str
    """Local folder; a corpus may be moved between two attempts."""
    videos: tuple[SourceVideo, ...]
    """Sorted by path."""
    settings: Settings
    findings: Findings = field(compare=False)
    rows_per_shard: int = ROWS_PER_SHARD
    """About how many rows a chunk may have; at least one video."""
    rules: Mapping[str, Any] = field(default_factory=dict)
    """By which the adapter understood the files, where the user gave it some."""

    def __post_init__(self) -> None:
        """Refuse a shard without rows (SpecError)."""
        if self.rows_per_shard < 1:
            raise SpecError(f"{self.rows_per_shard} is out of range", where="--shard-rows", remedy="choose 1 or more")

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return all that the records depend on, JSON values."""
        return {
            "format": FORMAT,
            "corpus": self.corpus,
            "videos": len(self.videos),
            "listing": self._listing_hash(),
            "rows_per_shard": self.rows_per_shard,
            "settings": self.settings.facts(),
            **({"rules": dict(self.rules)} if self.rules else {}),
            "versions": {name: importlib.metadata.version(name) for name in ("numpy", "pyarrow")}
            | {"opencv": cv2.__version__},
        }

    def chunks(self) -> list[tuple[SourceVideo, ...]]:
        """Return the videos of every chunk, each of about ``rows_per_shard`` rows at most."""
        chunks: list[list[SourceVideo]] = []
        room = 0
        for video in self.videos:
            rows = self._rows_of(video)
            if not chunks or rows > room:
                chunks.append([])
                room = self.rows_per_shard
            chunks[-1].append(video)
            room -= rows
        return [tuple(chunk) for chunk in chunks]

    def units(self, chunk: int, videos: tuple[SourceVideo, ...]) -> Iterator[Unit]:
        """Yield a chunk's videos in portions that are worth sending to a worker."""
        portion = max(1, _ROWS_PER_UNIT // max(self._rows_of(video) for video in videos))
        for place, start in enumerate(range(0, len(videos), portion)):
            yield Unit(chunk, place, videos[start : start + portion])

    def divided(self, units: Sequence[Unit], workers: int) -> list[Unit]:
        """Return the units of some chunks, with long videos shared out where workers would have nothing to do.

        The records are the same from any number of shares.
        """
        total = sum(sum(self._bytes[video.video]) for unit in units for video in unit.videos)
        divided, places = [], Counter[int]()
        for unit in units:
            for which in range(of := self._shares(unit, workers / max(total, 1), workers)):
                divided.append(replace(unit, place=places[unit.chunk], share=(which, of)))
                places[unit.chunk] += 1
        return divided

    def _shares(self, unit: Unit, workers_per_byte: float, workers: int) -> int:
        video = unit.videos[0]
        size = sum(self._bytes[video.video])
        if (
            len(unit.videos) > 1
            or size < _LEAST_BYTES
            or self._rows_of(video) < _LEAST_ROWS
            or self._files[video.video]
        ):
            return 1
        return min(workers, max(1, round(size * workers_per_byte)))

    def _rows_of(self, video: SourceVideo) -> int:
        count = self.settings.rule.count or _ROWS_OF_A_VIDEO
        files = self._files[video.video]
        return min(count, len(files)) if files else 1 if named_as_picture(video.path) else count

    @cached_property
    def _files(self) -> dict[str, tuple[str, ...]]:
        """The files of the frames of every video, by its name; none of one that is a file."""
        return {video.video: picture_files(self.root, video) for video in self.videos}

    @cached_property
    def _bytes(self) -> dict[str, tuple[int, ...]]:
        """The lengths of the files of every video, by its name; -1 for a link that leads nowhere."""
        return {video.video: tuple(map(self._size, self._files[video.video] or (video.path,))) for video in self.videos}

    def _size(self, path: str) -> int:
        try:
            return os.path.getsize(os.path.join(self.root, path))
        except OSError:
            return -1

    def _listing_hash(self) -> str:
        """Hash every video's facts and length in bytes, of frames that are files each with its name."""
        digest = hashlib.sha256()
        for video in self.videos:
            files, sizes = self._files[video.video], self._bytes[video.video]
            size = list(zip(files, sizes, strict=True)) if files else sizes[0]
            digest.update(canonical_json({**video.facts(), "bytes": size}).encode())
        return digest.hexdigest()


def make_plan(
    corpus: str | Corpus, root: str, settings: Settings, rows_per_shard: int = ROWS_PER_SHARD
) -> PreparationPlan:
    """Survey a corpus and return the plan of its preparation; no video is opened.

    Args:
        corpus: an adapter, or its name.
        root: local folder (of ``manifest``: the CSV file's folder or the file, as its adapter has it).
        settings: see there.
        rows_per_shard: see PreparationPlan.

    Raises:
        SpecError: there is no such corpus.
        DataError: the folder holds none of its videos, or two files are the same video.
    """
    adapter = get(corpus) if isinstance(corpus, str) else corpus
    survey = adapter.survey(root)
    seen: dict[str, str] = {}
    for video in survey.videos:
        first = seen.setdefault(video.video, video.path)
        if first != video.path:
            raise DataError(
                f"video {video.video!r} has two files: {first} and {video.path}",
                where=root,
                remedy="remove one of them",
            )
    rules = adapter.rules()
    return PreparationPlan(adapter.name, survey.root, survey.videos, settings, survey.findings, rows_per_shard, rules)
