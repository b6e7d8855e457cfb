"""Score files and the run that they belong to, read back as typed columns.

Everything in this package is a pure function of these files; nothing else of a run is needed for its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError
from fasray.faces.record import SCORE_SCHEMA
from fasray.faces.sets.manifest import is_generated
from fasray.metrics import SOURCE_DEV, TARGET, SourceDev, Videos, source_dev_summary, to_videos

Level = Literal["video", "frame"]
LEVELS: tuple[Level, ...] = ("video", "frame")

ENDED = ("done", "diverged", "failed")
"""States of a trial that will not change any more; ``stopped`` ones were cut in the search."""


class Reading(Protocol):
    """One evaluation as the event log has it: source-dev figures only."""

    @property
    def step(self) -> int:
        """Optimizer steps done."""

    @property
    def source_dev_auc(self) -> float:
        """Macro average over the source domains, video level."""

    @property
    def seconds(self) -> float:
        """Wall seconds since the evaluation before, evaluating included; 0 if it was read back after a resume."""

    @property
    def cpu_seconds(self) -> float | None:
        """Processor seconds of all workers; None, as are the next three, if nobody measured them."""

    @property
    def gpu_seconds(self) -> float | None:
        """GPUs held, times wall seconds."""

    @property
    def bytes_read(self) -> int | None:
        """Bytes of faces taken from the pool."""

    @property
    def bytes_written(self) -> int | None:
        """Bytes of files."""


class Trial(Protocol):
    """What this package needs to know of a trial."""

    @property
    def id(self) -> str:
        """Unique in the run."""

    @property
    def method(self) -> str:
        """Name of the method."""

    @property
    def protocol(self) -> str:
        """Name of the protocol."""

    @property
    def stage(self) -> str:
        """``search``, ``confirm``, or ``inner``: a confirming run again without one source domain, which judges it."""

    @property
    def seed(self) -> int:
        """Seed of all its streams."""

    @property
    def variant(self) -> str:
        """Name of the ablation; empty for the method itself."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The method's configuration."""

    @property
    def searched(self) -> Sequence[str]:
        """Fields of the configuration that the search varied, loss weights first."""

    @property
    def status(self) -> str:
        """``running``, ``stopped``, ``done``, ``diverged`` or ``failed``."""

    @property
    def total_steps(self) -> int:
        """Full budget, optimizer steps."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Evaluated steps, ascending."""

    @property
    def readings(self) -> Sequence[Reading]:
        """The evaluations as the log has them."""


@dataclass(frozen=True)
class RunView:
    """A run as the results see it."""

    name: str
    spec_text: str
    """The specification as the user may read it."""
    trials: Sequence[Trial]
    score_uri: Callable[[str, int], str]
    """Where the score file of (trial id, step) is."""
    data_card: Mapping[str, Any] = field(default_factory=dict)
    """How the data was prepared: the card of its manifest."""
    versions: Mapping[str, str] = field(default_factory=dict)
    manifest_hash: str = ""
    data: Any = None
    """The specification's ``data`` key, which says where the faces were; None if nobody knows."""

    @property
    def generated(self) -> bool:
        """Whether the faces were generated, so that scores on them are no evidence about real ones."""
        return is_generated(self.data_card)

    @property
    def confirmed(self) -> list[Trial]:
        """The confirming runs that reached their full budget."""
        return [trial for trial in self.trials if trial.stage == "confirm" and trial.status == "done"]


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
        """Return the rows to be judged: videos, or each frame on its own."""
        if level == "video":
            return self.videos
        return Videos(
            self.video, self.score, self.label, self.domain, self.attack_type, np.ones(len(self.score), np.int64)
        )

    def subjects(self, level: Level) -> NDArray[np.str_]:
        """Return the subject of each row of ``at(level)``."""
        return self.grouping.subjects if level == "video" else self.subject

    def relabelled(self, label: NDArray[np.int8], attack_type: NDArray[np.str_]) -> Scores:
        """Return the same scores under other labels and attack types, both [V], in the order of ``videos``."""
        videos = replace(self.grouping.videos, label=label, attack_type=attack_type)
        inverse = self.grouping.inverse
        return replace(
            self, label=label[inverse], attack_type=attack_type[inverse], grouping=replace(self.grouping, videos=videos)
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation of one trial."""

    trial: str
    step: int
    source_dev: Scores
    target: Scores

    def source_dev_summary(self, level: Level = "video") -> SourceDev:
        """Return the macro averages over the source domains; a unit of ``level`` counts as one video."""
        rows = self.source_dev.at(level)
        unit = np.arange(len(rows.score))  # averaged already
        return source_dev_summary(np.full(len(unit), SOURCE_DEV), rows.score, rows.label, rows.domain, unit)


def read_scores(uri: str) -> Evaluation:
    """Read a score file.

    Raises:
        DataError: there is none, it is no score file, or a score is NaN or infinite.
    """
    return ScoreReader().read(uri)


_REMEDY = "restore the file, or run the same sweep again in a new folder"
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

    def read(self, uri: str) -> Evaluation:
        """Read one score file; errors as ``read_scores``."""
        return self.decode(storage.read_bytes(uri), uri)

    def read_all(self, uris: Sequence[str]) -> list[Evaluation]:
        """Read several score files, in order; errors as ``read_scores``."""
        return [self.decode(content, uri) for uri, content in zip(uris, storage.read_many(uris), strict=True)]

    def decode(self, content: bytes, uri: str) -> Evaluation:
        """Return what the bytes of a score file hold; errors as ``read_scores``."""
        table, trial, step = _parse(content, uri)
        score = table.column("score").to_numpy()
        bad = int((~np.isfinite(score)).sum())
        if bad:
            raise DataError(
                f"{bad} of {table.num_rows} scores are not finite numbers",
                where=uri,
                remedy="the trial has diverged; its scores cannot be judged",
            )
        rows = self._rows(table.select(_LAYOUT), score, uri)
        return Evaluation(trial, step, rows[SOURCE_DEV].scores(score), rows[TARGET].scores(score))

    def _rows(self, layout: pa.Table, score: NDArray[np.float64], uri: str) -> dict[str, _Rows]:
        for known in reversed(self._layouts):
            if layout.equals(known.table):
                return known.rows
        columns = {name: _column(layout, name) for name in _LAYOUT}
        role = columns.pop("role")
        found: dict[str, _Rows] = {}
        for name in (SOURCE_DEV, TARGET):
            picked = np.flatnonzero(role == name)
            if not picked.size:
                raise DataError(f"the score file has no {name} rows", where=uri, remedy=_REMEDY)
            chosen: dict[str, NDArray[Any]] = {key: column[picked] for key, column in columns.items()}
            found[name] = _Rows(picked, chosen, Grouping.of(score[picked], chosen))
        self._layouts = [*self._layouts[1 - _LAYOUTS_KEPT :], _Layout(layout, found)]
        return found


def _parse(content: bytes, uri: str) -> tuple[pa.Table, str, int]:
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"the score file is damaged: {error}", where=uri, remedy=_REMEDY) from error
    if not table.schema.equals(SCORE_SCHEMA):
        found = {f.name: str(f.type) for f in table.schema}
        wrong = [f.name for f in SCORE_SCHEMA if found.get(f.name) != str(f.type)]
        raise DataError(f"this is no score file: check column {', '.join(wrong)}", where=uri, remedy=_REMEDY)
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    trial, step = metadata.get("fasray.trial"), metadata.get("fasray.step", "")
    if trial is None or not step.isdecimal():
        raise DataError("the score file does not say which trial and step it is of", where=uri, remedy=_REMEDY)
    return table.combine_chunks().replace_schema_metadata(None), trial, int(step)


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name).combine_chunks()
    if not pa.types.is_string(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    coded = column.dictionary_encode()
    words: NDArray[Any] = np.array(coded.dictionary.to_pylist(), dtype=np.str_)
    return np.asarray(words[coded.indices.to_numpy(zero_copy_only=False)])
