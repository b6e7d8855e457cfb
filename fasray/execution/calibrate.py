"""Pace of each method on this machine: a few real steps and an evaluation, in as many processes as trials will run.

Processes at the same time matter: two trials on two cores do not run as fast as one alone.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass

import numpy as np

from fasray.faces.loading.pool import FacePool
from fasray.protocols import TargetSplit, parse
from fasray.protocols.lists import FixedLists
from fasray.sweep.forecast import Pace, images_per_step
from fasray.sweep.plan import Cell, Plan
from fasray.training.trial import Trial

STEPS = 4
"""Optimizer steps that are timed, after as many that are not."""


@dataclass(frozen=True)
class _Timed:
    trial: Trial
    """A short one."""
    images_per_step: int


@dataclass(frozen=True)
class _Job:
    """What one process needs to know; it is pickled."""

    trials: tuple[_Timed, ...]
    pool: str
    target_split: TargetSplit
    lists: Mapping[str, FixedLists]
    device: str


def calibrate(
    plan: Plan, pool: str, slots: int, say: Callable[[str], None] = lambda text: None, device: str = "cpu"
) -> dict[str, Pace]:
    """Time a short trial of each method.

    Args:
        plan: of the sweep; of each method its cell with the most faces to score is timed.
        pool: folder of the filled pool.
        slots: processes at once; each times every method, in another order.
        say: called with what begins.
        device: ``cpu`` or ``cuda``, which all processes share.

    Raises:
        DataError, SpecError, DivergedError: a trial cannot be run.
    """
    by_faces = sorted(plan.cells, key=lambda cell: cell.source_dev_scored + cell.target_scored)
    cells = {cell.method: cell for cell in by_faces}
    trials = [_Timed(_short(plan, cell), images_per_step(cell)) for cell in cells.values()]
    say(f"timing {len(trials)} methods in {slots} processes at once")
    jobs = [
        _Job(tuple(_rotated(trials, number)), pool, plan.spec.target_split, plan.lists, device)
        for number in range(slots)
    ]
    with ProcessPoolExecutor(slots, mp_context=multiprocessing.get_context("spawn")) as workers:
        found = list(workers.map(_time_all, jobs))
    return {method: Pace(*np.mean([astuple(one[method]) for one in found], axis=0).tolist()) for method in cells}


def _short(plan: Plan, cell: Cell) -> Trial:
    trial = plan.trial(cell, cell.configuration({}), seed=0)
    training = trial.training.model_copy(update={"steps": 2 * STEPS, "evaluations": 2})
    return trial.model_copy(update={"training": training})


def _rotated(trials: Sequence[_Timed], number: int) -> list[_Timed]:
    cut = number * len(trials) // 2 % len(trials)
    return [*trials[cut:], *trials[:cut]]


def _time_all(job: _Job) -> dict[str, Pace]:
    pool = FacePool.open(job.pool)
    for timed in job.trials:
        timed.trial.build_method()  # imports, which a sweep pays once a process and not once a trial
    return {timed.trial.method: _time(timed, pool, job) for timed in job.trials}


def _time(timed: _Timed, pool: FacePool, job: _Job) -> Pace:
    from fasray.training.context import Context
    from fasray.training.loop import evaluations

    trial = timed.trial
    roles = parse(trial.protocol, job.target_split, job.lists).assign(pool.index)
    with tempfile.TemporaryDirectory(prefix="fasray-calibrate-") as folder:
        context = Context(folder, seed=trial.seed, total_steps=trial.training.steps, device=job.device)
        began = time.time()
        running = evaluations(trial, pool, roles, context)
        try:
            next(running)
            start = (context.first_step_at or began) - began
            middle = time.perf_counter()
            evaluated = next(running)
            segment = time.perf_counter() - middle
        finally:
            running.close()
    step = timed.images_per_step / evaluated.images_per_second
    return Pace(start, step, max(segment - STEPS * step, 0.0))
