"""What happens in a sweep, one line each, and the state of every trial that follows from it.

The driver writes an event durably *before* it acts on it. The log is therefore the truth: folding the events in order
gives back every trial, rung and decision.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fasray.protocols import outer_name, part_names
from fasray.runs.reading import Reading, best

Decision = Literal["continue", "stop", "done"]
Stage = Literal["search", "confirm", "inner"]
"""``inner`` trials are confirming runs retrained without one of the source domains, which then evaluates them."""
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
    sealed: bool = Field(False, exclude=True)
    """In some older logs; nothing reads it, since it follows from the sweep (``RunRecord.scores_target``)."""


class Reused(_Event):
    """A trial's files and results were taken over from another run; what follows of them was not paid for here."""

    event: Literal["reused"] = "reused"
    trial: str
    run: str
    """Name of the run that trained it."""
    spec: str
    """Hash of that run's specification."""
    versions: dict[str, str] = {}
    """Of fasray and torch, there."""
    via: tuple[str, ...] = ()
    """Names of the runs that it has come through since."""


class _OfTrial(_Event):
    event: Literal["reported"] = "reported"
    trial: str


class _Decided(_Event):
    decision: Decision


class Reported(_Decided, Reading, _OfTrial):
    """A trial was evaluated, and what was decided about it: a reading, in the log between trial and decision."""

    model_config = ConfigDict(allow_inf_nan=False)


class StoppedLate(_Event):
    """A trial that had trained beyond a rung on credit is stopped at it, by results which came later."""

    event: Literal["stopped_late"] = "stopped_late"
    trial: str
    step: int
    """Of the rung."""


class Ended(_Event):
    """A trial ended without a decision of the scheduler."""

    event: Literal["ended"] = "ended"
    trial: str
    status: Literal["diverged", "failed"]
    reason: str


class Placed(_Event):
    """What trials of a method hold on a kind of card: decided when a driver starts, and again if corrected."""

    event: Literal["placed"] = "placed"
    method: str
    card: str
    """Name of the card, or of its kind; empty if the nodes do not say."""
    gpus: float
    """Of each worker; a fraction shares a card."""
    cpus: float
    peak_bytes: int | None = None
    """What a short run of the method took; None if it was not measured."""
    card_bytes: int | None = None


class OutOfMemory(_Event):
    """A trial ran out of its card's memory; it is taken up again from its last checkpoint, with more of a card."""

    event: Literal["out_of_memory"] = "out_of_memory"
    trial: str
    gpus: float
    """That each of its workers held."""
    card: str = ""
    """Kind of card that the trial was tied to; empty if to none."""
    peak_bytes: int = 0
    """What it had taken of the card by then."""


class Retried(_Event):
    """A failed trial is retried by a new driver."""

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


Event = Annotated[
    Opened | Suggested | Reused | Reported | StoppedLate | Ended | Placed | OutOfMemory | Retried | Won | Closed,
    Field(discriminator="event"),
]
EVENTS: TypeAdapter[Event] = TypeAdapter(Event)


@dataclass
class TrialRecord:
    """All that the log says of one trial; only :func:`fold` changes it."""

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
    readings: list[Reading] = field(default_factory=list)
    variant: str = ""
    on_credit: list[Reading] = field(default_factory=list)
    """What a trial has done beyond the rung at which it was stopped late: it counts as cost, and for nothing else."""
    origin: Reused | None = None
    """The run that it was taken over from; None if it was trained here from its start."""

    @property
    def key(self) -> tuple[str, str]:
        """What parts it from itself on other targets: id and protocol."""
        return self.id, self.protocol

    def by_protocol(self) -> list[TrialRecord]:
        """Return the trial as each of the protocols with one target has it that it serves."""
        names = part_names(self.protocol)
        return [replace(self, protocol=name) for name in names] if len(names) > 1 else [self]

    @property
    def steps(self) -> tuple[int, ...]:
        """Evaluated steps, ascending."""
        return tuple(reading.step for reading in self.readings)

    @property
    def paid(self) -> list[Reading]:
        """All readings that were paid for, those on credit too."""
        return [*self.readings, *self.on_credit]

    @property
    def best(self) -> Reading | None:
        """Reading of the highest source-dev AUC, ties broken by the lower loss, then the earlier step."""
        return best(self.readings)


_STATUS_AFTER: Mapping[Decision, Status] = {"continue": "running", "stop": "stopped", "done": "done"}


class HasCell(Protocol):
    """What says which cell a trial belongs to."""

    @property
    def stage(self) -> str:
        """``search``, ``confirm`` or ``inner``."""

    @property
    def protocol(self) -> str:
        """The protocol that the trial itself runs on."""


def cell_protocol(trial: HasCell) -> str:
    """Return the protocol of the cell that a trial belongs to; that of an inner trial is not its own."""
    return outer_name(trial.protocol) if trial.stage == "inner" else trial.protocol


def fold(records: dict[str, TrialRecord], event: Event) -> None:
    """Bring the records up to date with the next event of the log."""
    match event:
        case Reported():
            record = records[event.trial]
            if record.status == "stopped":
                record.on_credit.append(event)
                return
            record.readings.append(event)
            record.status = _STATUS_AFTER[event.decision]
        case StoppedLate():
            record = records[event.trial]
            record.on_credit = [reading for reading in record.readings if reading.step > event.step]
            record.readings = [reading for reading in record.readings if reading.step <= event.step]
            record.status, record.reason = "stopped", ""
        case Suggested():
            records[event.trial] = TrialRecord(id=event.trial, **event.model_dump(exclude={"event", "trial"}))
        case Reused():
            records[event.trial].origin = event
        case Ended():
            record = records[event.trial]
            record.status, record.reason = event.status, event.reason
        case Retried():
            record = records[event.trial]
            record.status, record.reason = "running", ""


def trials_of(events: Iterable[Event]) -> dict[str, TrialRecord]:
    """Return every trial of a log by id, in the order in which they were suggested."""
    records: dict[str, TrialRecord] = {}
    with gc_paused():
        for event in events:
            fold(records, event)
    return records


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection: a long log becomes a million objects that all live, each traversed many times."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
