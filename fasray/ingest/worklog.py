"""What an unfinished preparation has done so far, on disk next to its shards.

OUT/_preparation/plan.json          what is prepared and how; written first
OUT/_preparation/chunk-00012.json   written after shard-00012.parquet: that chunk is done
OUT/manifest.json                   written last, by ``prepare``; then this folder is removed

A chunk without its file is prepared again, and gives the same shard.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.faces.corpora import SourceVideo
from fasray.faces.extraction.extract import Extracted
from fasray.faces.record import ATTACK_TYPES, SPLITS
from fasray.faces.sets.manifest import MANIFEST_NAME, Manifest, Shard, canonical_json, read_manifest
from fasray.faces.sets.shards import is_shard_name
from fasray.ingest.chunks import PreparationPlan
from fasray.validation import difference

FOLDER = "_preparation"
PLAN_NAME = "plan.json"
CARD_KEY = "plan"
"""Key of the plan's facts in the card of a finished set."""
_CHUNK_NAME = re.compile(r"chunk-(\d{5,})\.json")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VideoReport(_Part):
    """How the preparation of one video went."""

    path: str
    """Relative to the corpus."""
    video: str
    """Its name in the records."""
    split: str
    attack_type: str
    """``live`` for bona fide."""
    taken: int
    """Frames that were looked at."""
    misses: tuple[int, ...]
    """Numbers of the frames without a face."""
    remarks: tuple[str, ...]
    """What is unusual about the file."""
    unreadable: str
    """Why nothing was taken from it; empty if it was."""
    domain: str = ""

    @property
    def needs_report(self) -> bool:
        """Whether anything about the video is worth reporting."""
        return bool(self.misses or self.remarks or self.unreadable)


class VideoCounts(_Part):
    """Counts over the videos of one domain, split and attack type."""

    split: str
    attack_type: str
    """``live`` for bona fide."""
    videos: int
    unreadable: int
    """Videos of which nothing could be taken."""
    without_face: int
    """Videos that were read and have no face in any frame taken."""
    frames: int
    """Frames taken of the others."""
    misses: int
    """Those of these frames without a face."""
    domain: str = ""
    """Empty where it was not written down, before 0.2."""


class ChunkRecord(_Part):
    """One finished chunk."""

    number: int
    shard: Shard | None
    """None if no face was found in it."""
    tallies: tuple[VideoCounts, ...]
    odd: tuple[VideoReport, ...]
    """Reports of the videos that need one, in order."""


def count_videos(reports: Iterable[VideoReport]) -> tuple[VideoCounts, ...]:
    """Count videos and frames by domain, split and attack type, in the order of the vocabulary."""
    groups: dict[tuple[str, str, str], list[VideoReport]] = {}
    for report in reports:
        groups.setdefault((report.domain, report.split, report.attack_type), []).append(report)
    return add_counts(
        VideoCounts(
            domain=domain,
            split=split,
            attack_type=attack_type,
            videos=len(group),
            unreadable=sum(bool(report.unreadable) for report in group),
            without_face=sum(0 < report.taken == len(report.misses) for report in group),
            frames=sum(report.taken for report in group),
            misses=sum(len(report.misses) for report in group),
        )
        for (domain, split, attack_type), group in groups.items()
    )


def add_counts(parts: Iterable[VideoCounts]) -> tuple[VideoCounts, ...]:
    """Add up counts of the same domain, split and attack type, in the order of the vocabulary."""
    sums: dict[tuple[str, str, str], dict[str, int]] = {}
    for part in parts:
        total = sums.setdefault((part.domain, part.split, part.attack_type), dict.fromkeys(_COUNTS, 0))
        for name in _COUNTS:
            total[name] += getattr(part, name)
    order = sorted(sums, key=lambda key: (key[0], SPLITS.index(key[1]), ATTACK_TYPES.index(key[2])))
    return tuple(VideoCounts(domain=key[0], split=key[1], attack_type=key[2], **sums[key]) for key in order)


_COUNTS = ("videos", "unreadable", "without_face", "frames", "misses")


def report_of(video: SourceVideo, extracted: Extracted) -> VideoReport:
    """Return the report of a video that has been extracted."""
    return VideoReport(
        path=video.path,
        video=video.video,
        domain=video.domain,
        split=video.split,
        attack_type=video.attack_type,
        taken=extracted.taken,
        misses=extracted.misses,
        remarks=extracted.remarks,
        unreadable=extracted.unreadable,
    )


def joined_report(shares: Sequence[VideoReport]) -> VideoReport:
    """Return the report of a video from those of the shares of its frames: nothing is taken if one was unreadable."""
    for report in shares:
        if report.unreadable:
            return report
    misses = tuple(sorted(number for report in shares for number in report.misses))
    return shares[0].model_copy(update={"taken": sum(report.taken for report in shares), "misses": misses})


@dataclass(frozen=True)
class Worklog:
    """The progress of a preparation at its place, which fits its plan."""

    uri: str
    """Folder or ``s3://`` prefix of the shards."""
    done: dict[int, ChunkRecord]
    """Finished chunks by number."""
    finished: Manifest | None
    """The manifest, if the whole preparation is finished."""

    @classmethod
    def open(cls, uri: str, plan: PreparationPlan) -> Worklog:
        """Begin a preparation at ``uri``, or go on with it.

        Raises:
            SpecError: something else is there, or it was begun with another plan.
            DataError: it cannot be read or written.
            StorageError: the store does not answer, or access is denied.
        """
        storage.check_access(uri)
        names = storage.listing(uri)
        if MANIFEST_NAME in names:
            manifest = read_manifest(uri)
            _check_same(uri, manifest.card.get(CARD_KEY), plan, "a finished face set exists here")
            log = cls(uri, {}, manifest)
            log.clean_up()
            return log
        folder = storage.join(uri, FOLDER)
        inside = storage.listing(folder)
        if PLAN_NAME not in inside:
            if any(is_shard_name(name) for name in names):
                raise SpecError(
                    "there are shards here that do not belong to a preparation", where=uri, remedy=_ELSEWHERE
                )
            storage.write_bytes(storage.join(folder, PLAN_NAME), canonical_json(plan.facts).encode())
            return cls(uri, {}, None)
        begun = _read_json(storage.join(folder, PLAN_NAME))
        _check_same(uri, begun, plan, "a preparation was begun here")
        shards = {name for name in names if is_shard_name(name)}
        return cls(uri, {record.number: record for record in _records(folder, inside, shards)}, None)

    def commit(self, record: ChunkRecord) -> None:
        """Record that a chunk is finished, after its shard was written."""
        file = storage.join(self.uri, FOLDER, f"chunk-{record.number:05d}.json")
        storage.write_bytes(file, record.model_dump_json().encode())

    def clean_up(self) -> None:
        """Remove the records, once the manifest is written."""
        folder = storage.join(self.uri, FOLDER)
        for name in storage.listing(folder):
            storage.remove(storage.join(folder, name))
        if not storage.is_remote(folder):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


_ELSEWHERE = "name another OUT, or delete what is there first"


def _records(folder: str, names: Iterable[str], shards: set[str]) -> list[ChunkRecord]:
    """Return the finished chunks; one whose record or shard is missing or damaged is prepared again."""
    uris = [storage.join(folder, name) for name in sorted(names) if _CHUNK_NAME.fullmatch(name)]
    records = []
    for data in storage.read_many(uris):
        try:
            record = ChunkRecord.model_validate_json(data)
        except ValidationError:
            continue
        if record.shard is None or record.shard.name in shards:
            records.append(record)
    return records


def _read_json(uri: str) -> Any:
    try:
        return json.loads(storage.read_bytes(uri))
    except ValueError as error:
        raise DataError("this file is damaged", where=uri, remedy="delete the folder and prepare again") from error


def _check_same(uri: str, old: Any, plan: PreparationPlan, what: str) -> None:
    """Refuse to go on with another plan (SpecError), listing the differences."""
    new = json.loads(canonical_json(plan.facts))
    if not isinstance(old, dict):
        raise SpecError(f"{what}, which was not made by `fasray data prepare`", where=uri, remedy=_ELSEWHERE)
    lines = difference(old, new)
    if lines:
        files = "the files of the corpus, their lengths or their labels"
        changes = "\n    ".join(files if line.startswith("listing:") else line for line in lines)
        raise SpecError(
            f"{what} with another plan:\n    {changes}", where=uri, remedy=f"undo the change, or {_ELSEWHERE}"
        )
