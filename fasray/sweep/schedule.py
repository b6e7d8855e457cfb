"""When a trial is stopped early: asynchronous successive halving (ASHA) or never (FIFO), one scheduler per cell.

Cells (method x protocol) are not comparable, so no two of them ever meet in a rung. The decision is a pure function of
the arrivals so far: replaying the same results in the same order gives the same decisions.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), in the stopping form that Ray
Tune uses: an arrival at a rung is compared with those that came before it, and the first is never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fasray.runs.events import Decision


class CellScheduler(Protocol):
    """Decides over the trials of one cell."""

    def report(self, trial: str, step: int, value: float) -> Decision:
        """Take one result of a trial (higher is better; NaN counts as worst) and decide what becomes of it."""


class Fifo:
    """Every trial runs its full budget.

    Args:
        total_steps: the budget in optimizer steps.
    """

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps

    def report(self, trial: str, step: int, value: float) -> Decision:
        """Return ``done`` at the end of the budget, else ``continue``."""
        return "done" if step >= self._total else "continue"


class Asha:
    """Asynchronous successive halving over the trials of one cell.

    At a rung a trial goes on if its value is at least the ``1 - 1/reduction`` quantile of the values recorded there
    before it. Ties go on. NaN is recorded as the worst
    value, is stopped if anything finite came before it, and does not lower the bar for others.

    Args:
        steps: optimizer steps at which trials report, ascending; the last one is the full budget.
        grace: first rung, as a fraction of the budget.
        reduction: only about one in ``reduction`` goes on.

    >>> asha = Asha([10, 20, 30, 40], grace=0.25, reduction=2)
    >>> [asha.report(trial, 10, value) for trial, value in (("a", 0.9), ("b", 0.6), ("c", 0.8))]
    ['continue', 'stop', 'continue']
    >>> asha.report("a", 40, 0.95)
    'done'
    """

    def __init__(self, steps: Sequence[int], grace: float, reduction: int) -> None:
        self._total = steps[-1]
        self._reduction = reduction
        self._rungs: dict[int, dict[str, float]] = {step: {} for step in rung_steps(steps, grace, reduction)}

    def report(self, trial: str, step: int, value: float) -> Decision:
        """Record the value in the highest rung reached and decide."""
        if step >= self._total:
            return "done"
        reached = [rung for rung in self._rungs if rung <= step]
        if not reached:
            return "continue"
        recorded = self._rungs[max(reached)]
        if trial in recorded:
            return "continue"
        value = -math.inf if math.isnan(value) else value
        before = np.array(list(recorded.values()))
        recorded[trial] = value
        if before.size == 0:
            return "continue"
        finite = before[np.isfinite(before)]
        cutoff = float(np.quantile(finite, 1 - 1 / self._reduction)) if finite.size else -math.inf
        return "stop" if value < cutoff else "continue"


def rung_steps(steps: Sequence[int], grace: float, reduction: int) -> tuple[int, ...]:
    """Return the reporting steps that are rungs, ascending.

    Rungs are at ``grace * budget * reduction ** k`` below the budget, each moved up to the next reporting step.

    >>> rung_steps([10, 20, 30, 40], grace=0.25, reduction=2)
    (10, 20)
    """
    total, rungs, level = steps[-1], [], grace * steps[-1]
    while level < total:
        rung = next(step for step in steps if step >= level - 1e-9)
        if rung < total and rung not in rungs:
            rungs.append(rung)
        level *= reduction
    return tuple(rungs)
