"""What a run took, from the seconds in its log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fasray.results.costs import cost_of
from fasray.results.report.cells import seconds_of
from fasray.results.tables.text import NOTHING
from fasray.runs.events import TrialRecord


@dataclass(frozen=True)
class CostRow:
    """What one cell took."""

    method: str
    protocol: str
    trials: int
    steps: int
    search: float
    """Seconds, as are ``confirm`` and ``total``."""
    confirm: float
    cpu: float
    """Processor seconds of all of them; NaN, as is ``gpu``, if none was measured."""
    gpu: float
    """GPU seconds."""
    share: float
    """Of the dearest cell, in [0, 1]."""

    @property
    def total(self) -> float:
        """Search and confirmation."""
        return self.search + self.confirm


def cost_rows(grouped: Mapping[tuple[str, str], Sequence[TrialRecord]]) -> tuple[CostRow, ...]:
    """Return what each cell took, its ablations included; inner trials count as confirmation."""
    rows = []
    for (method, protocol), trials in grouped.items():
        search = math.fsum(seconds_of(trial) for trial in trials if trial.stage == "search")
        confirm = math.fsum(seconds_of(trial) for trial in trials if trial.stage != "search")
        steps = sum(max(trial.steps, default=0) for trial in trials)
        took = cost_of([reading for trial in trials for reading in trial.paid])
        rows.append((method, protocol, len(trials), steps, search, confirm, took.cpu_seconds, took.gpu_seconds))
    dearest = max((row[4] + row[5] for row in rows), default=0.0) or 1.0
    return tuple(CostRow(*row, share=(row[4] + row[5]) / dearest) for row in rows)


def total(cost: Sequence[CostRow]) -> CostRow:
    """Return the sum over cells."""
    return CostRow(
        "all cells",
        "",
        sum(row.trials for row in cost),
        sum(row.steps for row in cost),
        math.fsum(row.search for row in cost),
        math.fsum(row.confirm for row in cost),
        _known([row.cpu for row in cost]),
        _known([row.gpu for row in cost]),
        1.0,
    )


def _known(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) if known else math.nan


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``11 min``, ``3.5 h``; NaN as a dash."""
    if math.isnan(seconds):
        return NOTHING
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
