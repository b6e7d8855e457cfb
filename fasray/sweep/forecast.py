"""How long a sweep will take, before it starts: its own coordinator run over invented results, on a made-up clock.

Order, fairness between cells, ASHA's cuts and the confirming runs at the end are those of a real sweep, for it is the
same code that decides. Only the scores are drawn at random and only the seconds are taken from a pace.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fasray.runs.events import ENDED
from fasray.runs.reading import Reading
from fasray.seeds import stream
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import Cell, Plan
from fasray.sweep.reuse import open_runs, summary

SESSION_SECONDS = 20.0
"""Start of Ray and its actors on a machine with two cores; decoding faces for a new pool comes on top."""
REPETITIONS = 3
_NOISE = 0.02
"""Spread of an invented score between two evaluations of a trial; between trials it is about 0.3."""


@dataclass(frozen=True)
class Pace:
    """Seconds that a trial of one method takes."""

    start: float
    """From taking the trial to its first optimizer step."""
    step: float
    """For one optimizer step."""
    evaluation: float
    """For one evaluation, with all that is written at it."""

    def segment(self, steps: int, scored: float = 1.0) -> float:
        """Return the seconds for ``steps`` steps and the evaluation after them, of that share of all its images."""
        return steps * self.step + self.evaluation * scored


@dataclass(frozen=True)
class Forecast:
    """What a sweep is expected to take; means over simulations, which differ by what ASHA cuts."""

    trials: int
    steps: float
    """Optimizer steps in all."""
    full_steps: int
    """The same if no trial were stopped early."""
    epochs: float
    """Passes over the training images of a trial's protocol, all trials together."""
    peak_concurrency: int
    """Most trials that run at the same time."""
    wall_seconds: float | None
    """From command to table; None without a pace."""
    busy_seconds: Mapping[str, float]
    """Seconds of a slot held, by method; empty without a pace."""

    def node_hours(self) -> float | None:
        """Return the hours that a node is needed for; None without a pace."""
        return None if self.wall_seconds is None else self.wall_seconds / 3600


def forecast(plan: Plan, slots: int, paces: Mapping[str, Pace] | None = None) -> Forecast:
    """Simulate a sweep.

    Args:
        plan: of the sweep.
        slots: trials that run at once, at least 1.
        paces: by method; left out: only what needs no clock is forecast.
    """
    clock = paces or {cell.method: Pace(0.0, 1.0, 0.0) for cell in plan.cells}
    runs = [Simulation(plan, slots, clock, _Scores(seed)) for seed in range(REPETITIONS)]
    methods = {cell.method for cell in plan.cells}
    return Forecast(
        trials=plan.search_trials + plan.confirm_trials + plan.inner_trials,
        steps=float(np.mean([sum(run.steps.values()) for run in runs])),
        full_steps=plan.most_steps,
        epochs=float(np.mean([run.epochs for run in runs])),
        peak_concurrency=max(run.peak for run in runs),
        wall_seconds=float(np.mean([run.now for run in runs])) + SESSION_SECONDS if paces else None,
        busy_seconds={name: float(np.mean([run.busy[name] for run in runs])) for name in methods} if paces else {},
    )


def would_reuse(plan: Plan, runs: Sequence[str]) -> list[str]:
    """Return what a new run of a plan would take over: a line for each of ``runs`` and one for all.

    Raises:
        DataError: one of them is not a run directory, or is damaged.
    """
    if not runs:
        return []
    others = open_runs(runs, "", plan.spec.target_split)
    coordinator = Coordinator(plan, lambda event: None, others)
    coordinator.close_finished_searches()
    coordinator.take_over()
    whole = sum(record.status in ENDED for record in coordinator.records.values())
    part = len(coordinator.records) - whole
    planned = plan.search_trials + sum(coordinator.confirms(cell) for cell in plan.cells)
    return [
        *summary(others, plan.manifest_hash, coordinator.records),
        f"of {planned} trials {whole} are there already, {part} go on from a checkpoint, {planned - whole - part} are "
        "to be trained from their start; more may prove to be there as searches end",
    ]


def images_per_step(cell: Cell) -> int:
    """Return the training images of one optimizer step of a cell, all draws together, views not counted."""
    from fasray.methods import registry

    sampling = cell.training.sampling_of(registry.get(cell.method)(cell.config))
    groups = 2 * cell.domains if sampling.kind == "balanced" else 1
    return sampling.images * groups * sampling.draws


class Simulation:
    """A whole sweep on a virtual clock: the real coordinator decides, results are made up and seconds are counted.

    Args:
        plan: of the sweep.
        slots: trials that run at once, at least 1.
        paces: by method.
        score: returns the made-up source-dev AUC of a trial at a step.
        slowness: returns by how much a trial takes longer than its method's pace says; left out: 1 for all.
    """

    def __init__(
        self,
        plan: Plan,
        slots: int,
        paces: Mapping[str, Pace],
        score: Callable[[Assignment, int], float],
        slowness: Callable[[Assignment], float] = lambda assignment: 1.0,
    ) -> None:
        self._paces, self._score, self._slowness = paces, score, slowness
        self._images = {cell.name: images_per_step(cell) for cell in plan.cells}
        self._events: list[tuple[float, str, int]] = []
        self._running: dict[str, Assignment] = {}
        self.now, self.peak, self.epochs = 0.0, 0, 0.0
        """Seconds since the start, most trials that ran at once, and passes over training images."""
        self.steps: defaultdict[str, int] = defaultdict(int)
        """Optimizer steps by method, those on credit among them."""
        self.busy: defaultdict[str, float] = defaultdict(float)
        """Seconds of a slot held, by method."""
        self.coordinator = Coordinator(plan, lambda event: None)
        self.coordinator.close_finished_searches()
        self._hand_out(slots)
        while self._events:
            self._arrive(slots)

    @property
    def steps_on_credit(self) -> int:
        """Optimizer steps beyond those of a single slot, which late stops made worthless."""
        paid = sum(record.paid[-1].step for record in self.coordinator.records.values())
        return paid - sum(record.readings[-1].step for record in self.coordinator.records.values())

    def _hand_out(self, slots: int) -> None:
        while len(self._running) < slots:
            assignment = self.coordinator.next_assignment()
            if assignment is None:
                break
            self._running[assignment.trial.id] = assignment
            self._advance(assignment, after=0, delay=self._paces[assignment.cell.method].start)
        self.peak = max(self.peak, len(self._running))

    def _advance(self, assignment: Assignment, after: int, delay: float) -> None:
        """Let a trial train on to its next evaluation."""
        cell, trial = assignment.cell, assignment.trial
        step = next(step for step in cell.training.evaluation_steps() if step > after)
        share = cell.scored(assignment.stage) / cell.scored("confirm")
        seconds = (delay + self._paces[cell.method].segment(step - after, share)) * self._slowness(assignment)
        self.steps[cell.method] += step - after
        self.busy[cell.method] += seconds
        self.epochs += (step - after) * self._images[cell.name] / max(cell.train_images, 1)
        heapq.heappush(self._events, (self.now + seconds, trial.id, step))

    def _arrive(self, slots: int) -> None:
        self.now, trial, step = heapq.heappop(self._events)
        assignment = self._running[trial]
        reading = Reading(step=step, source_dev_auc=self._score(assignment, step), source_dev_loss=0.5)
        if self.coordinator.report(trial, reading) == "continue":
            self._advance(assignment, after=step, delay=0.0)
        else:
            del self._running[trial]
            self._hand_out(slots)


@dataclass(frozen=True)
class _Scores:
    """Scores without a learning curve: a level for each trial, and some noise."""

    seed: int

    def __call__(self, assignment: Assignment, step: int) -> float:
        trial = assignment.trial.id
        level = stream(self.seed, "forecast", trial).random()
        return float(level + _NOISE * stream(self.seed, "forecast", trial, step).standard_normal())
