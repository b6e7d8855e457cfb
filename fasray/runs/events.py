"""What happens in a sweep, one line each, and the state of every trial that follows from it.

The driver writes an event durably *before* it acts on it. The log is therefore the truth: folding the events in order
gives back every trial, rung and decision.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fasray.protocols import outer_name
from fasray.sweep.schedule import Decision

Stage = Literal["search", "confirm", "inner"]
"""``inner`` trials are confirming runs again, each without one of the source domains, which judges it."""
Status = Literal["running", "stopped", "done", "diverged", "failed"]
ENDED: frozenset[str] = frozenset({"stopped", "done", "diverged", "failed"})


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Opened(_Event):
    """A driver took the run."""

    event: Literal["opened"] = "opened"
    at: str
    host: str
    pid: int
    versions: dict[str, str]


class Suggested(_Event):
    """A trial was made; it may start from now on."""

    event: Literal["suggested"] = "suggested"
    trial: str
    method: str
    protocol: str
    stage: Stage
    seed: int
    config: dict[str, Any]
    searched: tuple[str, ...] = ()
    total_steps: int
    variant: str = ""
    """Name of the ablation; empty for the method itself."""


class Reported(_Event):
    """A trial was evaluated, and what was decided about it. Source-dev figures only: target figures never come here."""

    event: Literal["reported"] = "reported"
    trial: str
    step: int
    source_dev_auc: float
    source_dev_loss: float
    seconds: float = 0.0
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None
    decision: Decision


class Ended(_Event):
    """A trial ended without a decision of the scheduler."""

    event: Literal["ended"] = "ended"
    trial: str
    status: Literal["diverged", "failed"]
    reason: str


class Retried(_Event):
    """A failed trial is taken up again by a new driver."""

    event: Literal["retried"] = "retried"
    trial: str


class Won(_Event):
    """A cell's search is over: the configuration that is confirmed, or none if every trial failed or diverged."""

    event: Literal["won"] = "won"
    method: str
    protocol: str
    trial: str | None
    config: dict[str, Any] | None


class Closed(_Event):
    """A driver let go of the run."""

    event: Literal["closed"] = "closed"
    at: str
    status: Literal["complete", "interrupted", "failed"]


Event = Annotated[Opened | Suggested | Reported | Ended | Retried | Won | Closed, Field(discriminator="event")]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)


class Reading(NamedTuple):
    """What one evaluation told the scheduler, and what it took since the one before; None where nobody knows."""

    step: int
    source_dev_auc: float
    source_dev_loss: float
    seconds: float
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    """GPUs that the trial held, times seconds."""
    bytes_read: int | None = None
    bytes_written: int | None = None


@dataclass(frozen=True)
class TrialRecord:
    """All that the log says of one trial."""

    id: str
    method: str
    protocol: str
    stage: Stage
    seed: int
    config: Mapping[str, Any]
    searched: tuple[str, ...]
    total_steps: int
    status: Status = "running"
    reason: str = ""
    readings: tuple[Reading, ...] = field(default=())
    variant: str = ""

    @property
    def steps(self) -> tuple[int, ...]:
        """Evaluated steps, ascending."""
        return tuple(reading.step for reading in self.readings)

    @property
    def best(self) -> Reading | None:
        """Reading of the highest source-dev AUC, ties broken by the lower loss, then the earlier step."""
        return min(self.readings, key=lambda r: (-r.source_dev_auc, r.source_dev_loss, r.step), default=None)


_STATUS_AFTER: Mapping[Decision, Status] = {"continue": "running", "stop": "stopped", "done": "done"}


class Placed(Protocol):
    """What says which cell a trial belongs to."""

    @property
    def stage(self) -> str:
        """``search``, ``confirm`` or ``inner``."""

    @property
    def protocol(self) -> str:
        """The protocol that the trial itself runs on."""


def cell_protocol(trial: Placed) -> str:
    """Return the protocol of the cell that a trial belongs to; that of an inner trial is not its own."""
    return outer_name(trial.protocol) if trial.stage == "inner" else trial.protocol


def fold(records: Mapping[str, TrialRecord], event: Event) -> TrialRecord | None:
    """Return the trial's record after ``event``, or None if the event is about no trial."""
    match event:
        case Suggested():
            facts = event.model_dump(exclude={"event", "trial"})
            return TrialRecord(id=event.trial, **facts)
        case Reported():
            return after_reports(records[event.trial], [event])
        case Ended():
            record = records[event.trial]
            return _changed(record, event.status, event.reason, record.readings)
        case Retried():
            record = records[event.trial]
            return _changed(record, "running", "", record.readings)
    return None


def after_reports(record: TrialRecord, reports: Sequence[Reported]) -> TrialRecord:
    """Return a trial's record after results that came one after the other, at least one."""
    readings = (*record.readings, *map(_reading, reports))
    return _changed(record, _STATUS_AFTER[reports[-1].decision], record.reason, readings)


def _reading(event: Reported) -> Reading:
    return Reading(
        event.step, event.source_dev_auc, event.source_dev_loss, event.seconds,
        event.cpu_seconds, event.gpu_seconds, event.bytes_read, event.bytes_written,
    )  # fmt: skip


def _changed(record: TrialRecord, status: Status, reason: str, readings: tuple[Reading, ...]) -> TrialRecord:
    """Do what ``dataclasses.replace`` does, six times as fast."""
    return TrialRecord(
        record.id, record.method, record.protocol, record.stage, record.seed, record.config, record.searched,
        record.total_steps, status, reason, readings, record.variant,
    )  # fmt: skip


def trials_of(events: Iterable[Event]) -> dict[str, TrialRecord]:
    """Return every trial of a log by id, in the order in which they were suggested."""
    records: dict[str, TrialRecord] = {}
    with collecting_later():
        for batch in batches_of(events):
            if isinstance(batch, dict):
                for trial, reports in batch.items():
                    records[trial] = after_reports(records[trial], reports)
            elif (record := fold(records, batch)) is not None:
                records[record.id] = record
    return records


def batches_of(events: Iterable[Event]) -> Iterator[Event | dict[str, list[Reported]]]:
    """Return the events in order, but results that follow each other at once, by trial.

    Long logs have hundreds of thousands of results, and a record is made anew for each batch of them.
    """
    reports: dict[str, list[Reported]] = {}
    for event in events:
        if isinstance(event, Reported):
            reports.setdefault(event.trial, []).append(event)
            continue
        if reports:
            yield reports
            reports = {}
        yield event
    if reports:
        yield reports


@contextmanager
def collecting_later() -> Iterator[None]:
    """Put off garbage collection: a long log becomes a million objects that are no garbage, walked again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
