"""Score files, read back as typed columns.

Every number in this package is a pure function of these files and of the run's record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError
from fasray.metrics import SOURCE_DEV, TARGET, SourceDev, Videos, source_dev_summary, to_videos
from fasray.protocols import target_role
from fasray.runs.scores import REMEDY, SCORE_SCHEMA, parse_scores

Level = Literal["video", "frame"]
LEVELS: tuple[Level, ...] = ("video", "frame")


@dataclass(frozen=True, eq=False)
class Grouping:
    """Which frames make up which video; the evaluations of one protocol share it."""

    videos: Videos
    """With the scores of the first evaluation that was read; only its other columns count."""
    inverse: NDArray[np.int64]
    """[N] the video of each frame."""
    starts: NDArray[np.int64]
    """[V] where each video begins once frames are sorted by video."""
    subjects: NDArray[np.str_]
    """[V] the subject of each video."""

    @classmethod
    def of(cls, score: NDArray[np.float64], rows: Mapping[str, NDArray[Any]]) -> Grouping:
        """Group the frames; errors as ``to_videos``."""
        videos = to_videos(score, rows["label"], rows["domain"], rows["attack_type"], rows["video"])
        inverse = np.searchsorted(videos.video, rows["video"]).astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(videos.frames)[:-1]]).astype(np.int64)
        return cls(videos, inverse, starts, rows["subject"][np.argsort(inverse, kind="stable")[starts]])

    @cached_property
    def subject_count(self) -> int:
        """Number of subjects."""
        return len(np.unique(self.subjects))

    def means(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of each video's frames, [V], with the bits of ``to_videos``: added in the order of scores."""
        order = np.lexsort((score, self.inverse))
        return np.asarray(np.add.reduceat(score[order], self.starts) / self.videos.frames)


@dataclass(frozen=True, eq=False)
class Scores:
    """The rows of one role in a score file, equal length, one a frame."""

    score: NDArray[np.float64]
    label: NDArray[np.int8]
    domain: NDArray[np.str_]
    attack_type: NDArray[np.str_]
    instrument: NDArray[np.str_]
    subject: NDArray[np.str_]
    video: NDArray[np.str_]
    frame: NDArray[np.int32]
    grouping: Grouping

    @cached_property
    def videos(self) -> Videos:
        """One row a video, the mean of its frames."""
        return replace(self.grouping.videos, score=self.grouping.means(self.score))

    def at(self, level: Level) -> Videos:
        """Return the rows to evaluate: videos, or each frame on its own."""
        if level == "video":
            return self.videos
        return Videos(
            self.video, self.score, self.label, self.domain, self.attack_type, np.ones(len(self.score), np.int64)
        )

    def subjects(self, level: Level) -> NDArray[np.str_]:
        """Return the subject of each row of ``at(level)``."""
        return self.grouping.subjects if level == "video" else self.subject


@dataclass(frozen=True, eq=False)
class ScoredEvaluation:
    """One evaluation of one trial."""

    trial: str
    step: int
    source_dev: Scores
    scored_target: Scores | None
    """None if the target was sealed: no rows of it were scored."""

    @property
    def target(self) -> Scores:
        """The rows of the target.

        Raises:
            DataError: none of them were scored.
        """
        if self.scored_target is None:
            raise DataError(
                f"no target row was scored at step {self.step} of trial {self.trial}",
                remedy="search trials see the target with `search: {score_target: true}` alone",
            )
        return self.scored_target

    def source_dev_summary(self, level: Level = "video") -> SourceDev:
        """Return the macro averages over the source domains; a unit of ``level`` counts as one video."""
        rows = self.source_dev.at(level)
        unit = np.arange(len(rows.score))  # averaged already
        return source_dev_summary(np.full(len(unit), SOURCE_DEV), rows.score, rows.label, rows.domain, unit)


def read_scores(uri: str, protocol: str = "") -> ScoredEvaluation:
    """Read a score file.

    Args:
        uri: of the file.
        protocol: whose target rows are wanted, where the trial was judged by several protocols.

    Raises:
        DataError: the file is missing or is not a score file, or a score is NaN or infinite.
    """
    return ScoreReader().read(uri, protocol)


_LAYOUT = [name for name in SCORE_SCHEMA.names if name != "score"]
_LAYOUTS_KEPT = 8


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of one role, without scores."""

    picked: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    grouping: Grouping

    def scores(self, score: NDArray[np.float64]) -> Scores:
        return Scores(score=score[self.picked], grouping=self.grouping, **self.columns)


@dataclass(frozen=True, eq=False)
class _Layout:
    """All columns of a score file but the scores, and what follows from them."""

    table: pa.Table
    rows: dict[str, _Rows]


class ScoreReader:
    """Reads many score files of a run.

    The evaluations of one protocol hold the same rows and differ in their scores alone. What follows from the rows is
    worked out once for all of them.
    """

    def __init__(self) -> None:
        self._layouts: list[_Layout] = []

    def read(self, uri: str, protocol: str = "") -> ScoredEvaluation:
        """Read one score file; as ``read_scores``."""
        return self.decode(storage.read_bytes(uri), uri, protocol)

    def read_all(self, uris: Sequence[str], protocol: str = "") -> list[ScoredEvaluation]:
        """Read several score files, in order; as ``read_scores``."""
        return [self.decode(content, uri, protocol) for uri, content in zip(uris, storage.read_many(uris), strict=True)]

    def decode(self, content: bytes, uri: str, protocol: str = "") -> ScoredEvaluation:
        """Return what the bytes of a score file hold; errors as ``read_scores``."""
        rows, trial, step = parse_scores(content, uri)
        table = rows.combine_chunks().replace_schema_metadata(None)
        score = table.column("score").to_numpy()
        bad = int((~np.isfinite(score)).sum())
        if bad:
            raise DataError(
                f"{bad} of {table.num_rows} scores are not finite numbers",
                where=uri,
                remedy="the trial has diverged; its scores cannot be evaluated",
            )
        parts = self._rows(table.select(_LAYOUT), score, uri)
        target = parts.get(TARGET) or parts.get(target_role(protocol))
        if target is None and protocol and len(parts) > 1:
            raise DataError(f"the score file has no target rows of {protocol}", where=uri, remedy=REMEDY)
        return ScoredEvaluation(
            trial, step, parts[SOURCE_DEV].scores(score), None if target is None else target.scores(score)
        )

    def _rows(self, layout: pa.Table, score: NDArray[np.float64], uri: str) -> dict[str, _Rows]:
        for known in reversed(self._layouts):
            if layout.equals(known.table):
                return known.rows
        columns = {name: _column(layout, name) for name in _LAYOUT}
        role = columns.pop("role")
        found: dict[str, _Rows] = {}
        roles = np.unique(role).tolist()
        if SOURCE_DEV not in roles:
            raise DataError(f"the score file has no {SOURCE_DEV} rows", where=uri, remedy=REMEDY)
        for name in roles:
            picked = np.flatnonzero(role == name)
            chosen: dict[str, NDArray[Any]] = {key: column[picked] for key, column in columns.items()}
            found[name] = _Rows(picked, chosen, Grouping.of(score[picked], chosen))
        self._layouts = [*self._layouts[1 - _LAYOUTS_KEPT :], _Layout(layout, found)]
        return found


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name).combine_chunks()
    if not pa.types.is_string(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    coded = column.dictionary_encode()
    words: NDArray[Any] = np.array(coded.dictionary.to_pylist(), dtype=np.str_)
    return np.asarray(words[coded.indices.to_numpy(zero_copy_only=False)])
