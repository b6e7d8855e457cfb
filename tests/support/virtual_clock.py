"""A virtual clock over the real coordinator and its log: trials of random duration, lost processes, killed drivers."""

import heapq
import itertools
import random
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sweep_fixtures import made_reading, value_of, without_cost

from fasray.runs.events import Event, Suggested, Won, trials_of
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan

value = cache(value_of)


class Clock:
    """Runs a coordinator's trials on a virtual clock.

    Args:
        plan: of the sweep.
        slots: trials at once.
        seed: of delays, losses and kills.
        losses: probability that a trial's process is lost instead of reporting.
        kills: probability that the driver is killed after an event; what it had not written yet is lost.
        diverging: of 16 trials, how many diverge half-way; which ones is a matter of the trial alone.
    """

    def __init__(
        self, plan: Plan, slots: int, seed: int, losses: float = 0.0, kills: float = 0.0, diverging: int = 0
    ) -> None:
        self.plan, self.slots, self.losses, self.kills, self.diverging = plan, slots, losses, kills, diverging
        self.rng = random.Random(seed)
        self.log: list[Event] = []
        self.steps = self.restarts = self.lost = 0
        self.slowness: dict[str, float] = {}
        self.coordinator = self._started()

    def _started(self) -> Coordinator:
        coordinator = Coordinator(self.plan, self.log.append)
        coordinator.replay(list(self.log))
        coordinator.close_finished_searches()
        return coordinator

    def run(self) -> Coordinator:
        """Run the sweep to its end and return the last driver's coordinator."""
        while not self._until_killed():
            cut = self.rng.randrange(3)
            del self.log[len(self.log) - cut :]
            self.restarts += 1
            self.coordinator = self._started()
        return self.coordinator

    def _until_killed(self) -> bool:
        ids = itertools.count()
        events: list[tuple[float, int, str, int]] = []
        now = 0.0

        def advance(trial: str, after: int, steps: Sequence[int]) -> None:
            step = next(step for step in steps if step > after)
            slowness = self.slowness.setdefault(trial, self.rng.lognormvariate(0, 1))
            heapq.heappush(events, (now + slowness * self.rng.expovariate(1.0), next(ids), trial, step))

        while True:
            while len(events) < self.slots and (assignment := self.coordinator.next_assignment()) is not None:
                advance(assignment.trial.id, assignment.reported_step, self._steps)
            if not events:
                assert self.coordinator.finished
                return True
            now, _, trial, step = heapq.heappop(events)
            if self.rng.random() < self.losses:
                self.lost += 1
                self.coordinator.requeue(trial)
                continue
            if step > self._steps[-1] / 2 and int(trial, 16) % 16 < self.diverging:
                self.coordinator.end(trial, "diverged", "the loss is NaN")
                continue
            self.steps += 1
            if self.coordinator.report(trial, made_reading(step, value(trial, step))) == "continue":
                advance(trial, step, self._steps)
            if self.rng.random() < self.kills:
                return False

    @property
    def _steps(self) -> Sequence[int]:
        return self.plan.cells[0].training.evaluation_steps()


def outcome(coordinator: Coordinator) -> Mapping[str, Any]:
    """All that tables are made of: what every trial is, how it ended, and the figures that count."""
    return {
        trial: (record.stage, record.status, dict(record.config), record.seed, [*map(without_cost, record.readings)])
        for trial, record in coordinator.records.items()
    }


def decisions(log: Sequence[Event]) -> Mapping[str, Any]:
    """Return a log in canonical form: every decision of a sweep, and nothing of when it was made.

    Those of the search (what each cell tried, in order), of the scheduler (how each trial ended, and its readings up to
    there; a late stop reads as one that was made in time), the winners, and the confirming trials.
    """
    cells: dict[tuple[str, ...], list[Any]] = {}
    for event in log:
        if isinstance(event, Suggested):
            cells.setdefault((event.method, event.protocol, event.stage), []).append(event)
        if isinstance(event, Won):
            cells[event.method, event.protocol, "won"] = [event]
    ends = {
        trial: (record.status, record.reason, [*map(without_cost, record.readings)])
        for trial, record in trials_of(log).items()
    }
    return {"cells": cells, "trials": ends}
