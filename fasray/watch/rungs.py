"""Who was stopped early in a cell, at which rung, and by how much: the cell's scheduler run again over the log."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fasray.runs.events import Ended, Event, Reported, StoppedLate, Suggested, cell_protocol
from fasray.runs.schedule import search_scheduler
from fasray.watch.outline import CellOutline


@dataclass(frozen=True)
class Stop:
    """A search trial that was stopped early."""

    trial: str
    step: int
    """Of the rung."""
    value: float
    """Source-dev AUC that it had there."""
    cutoff: float | None
    """The least that would have kept it; None if the scheduler of this version decides otherwise than the log."""
    late: bool
    """Whether it had trained on meanwhile, until trials that were suggested before it had come to the rung too."""


@dataclass(frozen=True)
class Rung:
    """A step at which search trials are compared."""

    step: int
    reached: int
    """Trials that have a result there."""
    stopped: int


def stops(events: Iterable[Event], cell: CellOutline) -> list[Stop]:
    """Return the trials of a cell's search that were stopped, in the order in which they were."""
    scheduler = search_scheduler(cell.steps, cell.asha)
    values: dict[str, dict[int, float]] = {}
    found: dict[str, Stop] = {}
    for event in events:
        match event:
            case Suggested() if (event.method, event.stage) == (cell.method, "search"):
                if cell_protocol(event) == cell.protocol:
                    values[event.trial] = {}
                    scheduler.suggest(event.trial)
            case Reported() if event.trial in values and event.trial not in found:
                values[event.trial][event.step] = event.source_dev_auc
                scheduler.report(event.trial, event.step, event.source_dev_auc)
                if event.decision == "stop":
                    cutoff = scheduler.cutoff(event.trial)
                    found[event.trial] = Stop(event.trial, event.step, event.source_dev_auc, cutoff, late=False)
            case StoppedLate() if event.trial in values:
                value, cutoff = values[event.trial].get(event.step, math.nan), scheduler.cutoff(event.trial)
                found[event.trial] = Stop(event.trial, event.step, value, cutoff, late=True)
            case Ended() if event.trial in values:
                scheduler.end(event.trial)
    return list(found.values())


def rungs(cell: CellOutline, reached: Iterable[tuple[int, ...]], stopped: Iterable[Stop]) -> list[Rung]:
    """Return how many trials came to each rung of a cell and how many were stopped there.

    Args:
        cell: the cell.
        reached: evaluated steps of each of its search trials.
        stopped: of :func:`stops`.
    """
    there, out = list(reached), list(stopped)
    return [
        Rung(step, sum(step in steps for steps in there), sum(stop.step == step for stop in out)) for step in cell.rungs
    ]
