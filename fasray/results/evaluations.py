"""Score files and the run that they belong to, read back as typed columns.

Everything in this package is a pure function of these files; nothing else of a run is needed for its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError
from fasray.faces.record import SCORE_SCHEMA
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
        """``search`` or ``confirm``."""

    @property
    def seed(self) -> int:
        """Seed of all its streams."""

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
        return self.data_card.get("kind") == "synthetic"

    @property
    def confirmed(self) -> list[Trial]:
        """The confirming runs that reached their full budget."""
        return [trial for trial in self.trials if trial.stage == "confirm" and trial.status == "done"]


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

    @cached_property
    def videos(self) -> Videos:
        """One row a video, the mean of its frames."""
        return to_videos(self.score, self.label, self.domain, self.attack_type, self.video)

    def at(self, level: Level) -> Videos:
        """Return the rows to be judged: videos, or each frame on its own."""
        if level == "video":
            return self.videos
        return Videos(
            self.video, self.score, self.label, self.domain, self.attack_type, np.ones(len(self.score), np.int64)
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation of one trial."""

    trial: str
    step: int
    source_dev: Scores
    target: Scores

    def source_dev_summary(self, level: Level = "video") -> SourceDev:
        """Return the macro averages over the source domains."""
        rows = self.source_dev
        unit = rows.video if level == "video" else np.arange(len(rows.score)).astype(np.str_)
        return source_dev_summary(np.full(len(unit), SOURCE_DEV), rows.score, rows.label, rows.domain, unit)


def read_scores(uri: str) -> Evaluation:
    """Read a score file.

    Raises:
        DataError: there is none, it is no score file, or a score is NaN or infinite.
    """
    remedy = "restore the file, or run the same sweep again in a new folder"
    content = storage.read_bytes(uri)
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"the score file is damaged: {error}", where=uri, remedy=remedy) from error
    if not table.schema.equals(SCORE_SCHEMA):
        found = {f.name: str(f.type) for f in table.schema}
        wrong = [f.name for f in SCORE_SCHEMA if found.get(f.name) != str(f.type)]
        raise DataError(f"this is no score file: check column {', '.join(wrong)}", where=uri, remedy=remedy)
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    trial, step = metadata.get("fasray.trial"), metadata.get("fasray.step", "")
    if trial is None or not step.isdecimal():
        raise DataError("the score file does not say which trial and step it is of", where=uri, remedy=remedy)
    columns = {name: _column(table, name) for name in SCORE_SCHEMA.names}
    bad = int((~np.isfinite(columns["score"])).sum())
    if bad:
        raise DataError(
            f"{bad} of {table.num_rows} scores are not finite numbers",
            where=uri,
            remedy="the trial has diverged; its scores cannot be judged",
        )
    role = columns.pop("role")
    parts = {}
    for name in (SOURCE_DEV, TARGET):
        rows = role == name
        if not rows.any():
            raise DataError(f"the score file has no {name} rows", where=uri, remedy=remedy)
        parts[name] = Scores(**{key: column[rows] for key, column in columns.items()})
    return Evaluation(trial, int(step), parts[SOURCE_DEV], parts[TARGET])


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = table.column(name).combine_chunks()
    if not pa.types.is_string(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    coded = column.dictionary_encode()
    words: NDArray[Any] = np.array(coded.dictionary.to_pylist(), dtype=np.str_)
    return np.asarray(words[coded.indices.to_numpy(zero_copy_only=False)])
