"""What goes between the driver and the processes of a trial: an order there, messages back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fasray.execution.capacity import Demand
from fasray.protocols import Roles, RowTable, TargetSplit, parse
from fasray.protocols.lists import FixedLists
from fasray.runs.events import Decision
from fasray.runs.layout import trial_folder
from fasray.runs.own_code import Code, OtherCode, other_code
from fasray.runs.reading import Reading
from fasray.sweep.coordinator import Coordinator
from fasray.training.trial import Trial


@dataclass(frozen=True)
class TrialOrder:
    """All that the processes of a trial need to know; addresses are absolute, for they have folders of their own."""

    trial: Trial
    run: str
    pool: str
    """Key of the pool."""
    data: str
    """Face shards: a node without the pool fills it from there, and a stream reads them."""
    target_split: TargetSplit
    reported_step: int
    """Last step that the driver has on record, -1 for none."""
    demand: Demand = Demand(1, 1, 0.0)
    """What the trial holds."""
    score_target: bool = True
    """Otherwise the trial has no row of the target."""
    stage: str = ""
    """``search``, ``confirm`` or ``inner``."""
    tracking: tuple[str, ...] = ()
    """Names of the trackers that the trial is shown in."""
    faces_bytes: int | None = None
    """Most bytes of the card that a copy of the faces may take; None if the method was not measured."""
    device: str = "cpu"
    """That it computes on: ``cpu`` or ``cuda``, which is the first of the GPUs that the process sees."""
    code: Code | None = None
    """That the driver runs, and its workers must; None: whatever they run."""
    lists: Mapping[str, FixedLists] = field(default_factory=dict)
    """Those of the trial's protocol, by its name, if it has such."""

    def roles(self, table: RowTable) -> Roles:
        """Return the role of each row for this trial."""
        roles = parse(self.trial.protocol, self.target_split, self.lists).assign(table)
        return roles if self.score_target else roles.sealed()

    @property
    def folder(self) -> str:
        """The trial's folder."""
        return trial_folder(self.run, self.trial.id)


@dataclass(frozen=True)
class TrialMessage:
    """A trial was evaluated, or cannot go on and why. Reasons go into the event log: they name no path of a machine.

    But for ``other_code``, whose reason is that of the whole sweep's end.
    """

    trial: str
    reading: Reading | None = None
    status: Literal["evaluated", "diverged", "failed", "out_of_memory", "other_code"] = "evaluated"
    reason: str = ""
    demand: Demand | None = None
    """What a trial held that ran out of memory."""
    peak_bytes: int = 0
    """How much of the card it had taken by then."""


def deliver(coordinator: Coordinator, message: TrialMessage) -> Decision:
    """Pass a message on to the coordinator; return what becomes of the trial.

    Raises:
        OtherCode: the trial's worker runs other code than the driver.
    """
    if message.status == "other_code":
        raise OtherCode(other_code(message.reason))
    if message.reading is not None:
        return coordinator.report(message.trial, message.reading)
    if message.status == "out_of_memory" and message.demand is not None:
        coordinator.ran_out_of_memory(message.trial, message.demand.gpus, message.demand.kind, message.peak_bytes)
        return "stop"
    coordinator.end(message.trial, message.status, message.reason)
    return "stop"
