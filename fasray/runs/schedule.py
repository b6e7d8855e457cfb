"""When a trial is stopped early: asynchronous successive halving (ASHA) or never (FIFO), one scheduler per cell.

Cells (method x protocol) are not comparable, so no two of them ever meet in a rung. A decision is a pure function of
results: :class:`OrderedAsha` makes it one of the results alone, :class:`Asha` one of the order of arrival too.

Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), in the stopping form that Ray
Tune uses: a value at a rung is compared with those that came before it, and the first is never stopped.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fasray.runs.events import Decision


@dataclass(frozen=True)
class LateStop:
    """A trial that trained beyond a rung on credit is stopped there by results which came later."""

    trial: str
    step: int
    """Step of the rung."""


class CellScheduler(ABC):
    """Decides over the trials of one cell; unless a kind says otherwise, at once and for good."""

    def suggest(self, trial: str) -> None:  # noqa: B027 - where order makes no difference there is nothing to do
        """Take the next trial, in order of suggestion."""

    @abstractmethod
    def report(self, trial: str, step: int, value: float) -> Decision:
        """Take one result of a trial (higher is better; NaN counts as worst) and decide what becomes of it."""

    def end(self, trial: str) -> None:  # noqa: B027
        """Note that a trial diverged or failed: it reports nothing more, unless it is retried."""

    def late_stops(self) -> tuple[LateStop, ...]:
        """Return what the last call decided over other trials, in order of suggestion."""
        return ()

    def settled(self, trial: str) -> bool:
        """Return whether no result of another trial can change any more what becomes of a trial that has ended."""
        return True

    def cutoff(self, trial: str) -> float | None:
        """Return the least value that would have kept a stopped trial, at the rung where it was; None for others."""
        return None


class Fifo(CellScheduler):
    """Every trial runs its full budget.

    Args:
        total_steps: the budget in optimizer steps.
    """

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps

    def report(self, trial: str, step: int, value: float) -> Decision:
        """Return ``done`` at the end of the budget, else ``continue``."""
        return "done" if step >= self._total else "continue"


class OrderedAsha(CellScheduler):
    """Asynchronous successive halving over the trials of one cell, as a single slot would decide.

    What becomes of trial ``i`` at a rung depends on the values there of trials 0 to ``i - 1``, in order of suggestion,
    as far as they reach it. Until all of those have reached it, or are known not to, trial ``i`` trains on, on credit;
    where the decision is then to stop, it is a :class:`LateStop`. So no trial waits, and slots, delays and restarts
    change no decision. The rule at a rung is that of :class:`Asha`.

    A trial that failed is left out of the rungs that it did not reach; one that is retried is compared as it would have
    been, but changes no decision that has been made.

    Args:
        steps: optimizer steps at which trials report, ascending; the last one is the full budget.
        grace: first rung, as a fraction of the budget.
        reduction: only about one in ``reduction`` goes on.

    >>> asha = OrderedAsha([10, 20, 30, 40], grace=0.25, reduction=2)
    >>> for trial in "abc":
    ...     asha.suggest(trial)
    >>> [asha.report(trial, 10, value) for trial, value in (("c", 0.8), ("b", 0.6), ("a", 0.9))]
    ['continue', 'continue', 'continue']
    >>> asha.late_stops()
    (LateStop(trial='b', step=10),)
    """

    def __init__(self, steps: Sequence[int], grace: float, reduction: int) -> None:
        self._total = steps[-1]
        self._reduction = reduction
        self._rungs = rung_steps(steps, grace, reduction)
        self._order: list[str] = []
        self._number: dict[str, int] = {}
        self._values: list[dict[int, float]] = [{} for _ in self._rungs]
        """By rung: value of each trial that has reported there, by its number."""
        self._members: list[dict[int, float]] = [{} for _ in self._rungs]
        """By rung: those of them that the cell compares."""
        self._next = [0] * len(self._rungs)
        """By rung: number of the first trial whose fate there is open."""
        self._passed: dict[int, int] = {}
        """Rungs that each trial has passed."""
        self._stopped: dict[int, int] = {}
        """The rung at which a trial was stopped."""
        self._cutoffs: dict[str, float] = {}
        self._ended: set[int] = set()
        self._late: tuple[LateStop, ...] = ()

    def suggest(self, trial: str) -> None:
        """Take the next trial, in order of suggestion."""
        self._number[trial] = len(self._order)
        self._passed[len(self._order)] = 0
        self._order.append(trial)

    def report(self, trial: str, step: int, value: float) -> Decision:
        """Record the value if there is a rung at this step, and decide what can be decided."""
        number = self._number[trial]
        self._ended.discard(number)
        if step in self._rungs:
            self._values[self._rungs.index(step)][number] = -math.inf if math.isnan(value) else value
        self._decide(number)
        if number in self._stopped:
            return "stop"
        return "done" if step >= self._total else "continue"

    def end(self, trial: str) -> None:
        """Note that a trial diverged or failed: it reaches no further rung."""
        self._ended.add(self._number[trial])
        self._decide(self._number[trial])

    def late_stops(self) -> tuple[LateStop, ...]:
        """Return the other trials that the last call has stopped, in order of suggestion."""
        return self._late

    def settled(self, trial: str) -> bool:
        """Return whether every rung that the trial has reached is decided."""
        number = self._number[trial]
        return number in self._stopped or all(number not in values for values in self._values[self._passed[number] :])

    def cutoff(self, trial: str) -> float | None:
        """Return the least value that would have kept a stopped trial, at the rung where it was; None for others."""
        return self._cutoffs.get(trial)

    def _decide(self, reporting: int) -> None:
        """Go through the rungs upwards, each from its first open trial to the next that is not there yet."""
        stopped_before = set(self._stopped)
        for rung in range(len(self._rungs)):
            if reporting < self._next[rung] and self._passed[reporting] == rung:
                self._judge(reporting, rung)  # retried after later trials were judged without it
            while self._next[rung] < len(self._order) and self._fate_is_known(self._next[rung], rung):
                self._judge(self._next[rung], rung)
                self._next[rung] += 1
        late = sorted(set(self._stopped) - stopped_before - {reporting})
        self._late = tuple(LateStop(self._order[one], self._rungs[self._stopped[one]]) for one in late)

    def _fate_is_known(self, number: int, rung: int) -> bool:
        if self._stopped.get(number, rung) < rung:
            return True
        if number in self._values[rung]:
            return self._passed[number] == rung
        return number in self._ended

    def _judge(self, number: int, rung: int) -> None:
        """Let a trial pass a rung or stop it there; one that does not reach the rung is passed over."""
        if number in self._stopped or number not in self._values[rung]:
            return
        value = self._values[rung][number]
        before = [other for one, other in self._members[rung].items() if one < number]
        self._members[rung][number] = value
        cutoff = _cutoff(before, self._reduction)
        if value < cutoff:
            self._stopped[number] = rung
            self._cutoffs[self._order[number]] = cutoff
        else:
            self._passed[number] = rung + 1


class Asha(CellScheduler):
    """Asynchronous successive halving over the trials of one cell, in order of arrival, as Ray Tune has it.

    At a rung a trial goes on if its value is at least the ``1 - 1/reduction`` quantile of the values recorded there
    before it. Ties go on. NaN is recorded as the worst value, is stopped if anything finite came before it, and does
    not lower the bar for others.

    Its arguments are those of :class:`OrderedAsha`.

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
        self._cutoffs: dict[str, float] = {}

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
        cutoff = _cutoff(recorded.values(), self._reduction)
        recorded[trial] = value
        if value < cutoff:
            self._cutoffs[trial] = cutoff
        return "stop" if value < cutoff else "continue"

    def cutoff(self, trial: str) -> float | None:
        """Return the least value that would have kept a stopped trial, at the rung where it was; None for others."""
        return self._cutoffs.get(trial)


def search_scheduler(steps: Sequence[int], asha: Mapping[str, Any] | None) -> CellScheduler:
    """Return a fresh scheduler for the search trials of a cell.

    Args:
        steps: optimizer steps at which trials report, ascending; the last one is the full budget.
        asha: ``grace``, ``reduction`` and ``order`` as a run's specification has them (one of before there was an order
            has decisions in order of arrival); None for FIFO.
    """
    if asha is None:
        return Fifo(steps[-1])
    kind = OrderedAsha if asha.get("order") == "suggestion" else Asha
    return kind(steps, asha["grace"], asha["reduction"])


def evaluation_steps(steps: int, evaluations: int) -> tuple[int, ...]:
    """Return the steps after which a trial is evaluated, evenly spaced, ascending, the last one ``steps``.

    Fewer than ``evaluations`` if the budget has fewer steps.
    """
    wanted = min(evaluations, steps)
    return tuple(-(-steps * number // wanted) for number in range(1, wanted + 1))


def _cutoff(before: Iterable[float], reduction: int) -> float:
    """Return the value that a trial must have at a rung to go on, given those before it; -inf for the first."""
    finite = [value for value in before if math.isfinite(value)]
    return float(np.quantile(finite, 1 - 1 / reduction)) if finite else -math.inf


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
