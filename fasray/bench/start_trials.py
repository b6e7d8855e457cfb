"""The Ray side of the start benchmark: the same trials in reused Tune actors, in fresh ones, and in a TorchTrainer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
from ray.train.torch import TorchTrainer

from fasray import storage
from fasray.errors import RunFailedError
from fasray.execution.capacity import Demand
from fasray.execution.messages import TrialOrder
from fasray.execution.placement import EqualPlaces
from fasray.execution.trial_actor import ReusableTrialActor
from fasray.execution.tune_backend import train_in_actors
from fasray.faces.loading.pool import FacePool, pool_folder
from fasray.runs.reading import Reading
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.training.context import Context
from fasray.training.loop import train

MakeOrder = Callable[[Assignment], TrialOrder]
_FIRST_STEP = "first-step"


@dataclass(frozen=True)
class Start:
    """One trial's start."""

    trial: str
    pid: int
    """Process that ran it."""
    seconds: float
    """From its assignment to its first optimizer step."""


class TimedTrial(ReusableTrialActor):
    """A trial that also reports when its first step began and in which process."""

    def step(self) -> dict[str, Any]:
        """Train up to the next evaluation; see ``ReusableTrialActor``."""
        return {**super().step(), "first_step_at": self.first_step_at, "pid": os.getpid()}


def starts_in_tune(
    coordinator: Coordinator, make_order: MakeOrder, scratch: Path, *, reuse_actors: bool
) -> list[Start]:
    """Run a coordinator's trials one after another under Ray Tune and return their starts, in order.

    Args:
        coordinator: of a plan whose trials have not run.
        make_order: from an assignment to what its actor is sent.
        scratch: for Tune's own files.
        reuse_actors: whether a trial takes over the actor of the one before it, as a sweep does.

    Raises:
        RunFailedError: a trial failed.
    """
    assigned_at: dict[str, float] = {}
    found: list[Start] = []

    def stamped(assignment: Assignment, demand: Demand) -> TrialOrder:
        assigned_at[assignment.trial.id] = time.time()
        return make_order(assignment)

    def note(*reported: Any) -> None:
        if reported and (first := reported[1].get("first_step_at")):
            found.append(Start(reported[0], int(reported[1]["pid"]), float(first) - assigned_at[reported[0]]))

    # A folder of its own: Tune takes one that is there for a run to resume.
    place = str(scratch / ("reused" if reuse_actors else "fresh"))
    one = EqualPlaces(Demand(1, 1, 0.0))
    train_in_actors(coordinator, TimedTrial, stamped, one, place, note, reuse=reuse_actors)
    _check(coordinator)
    return found


def starts_in_torch_trainer(coordinator: Coordinator, make_order: MakeOrder, scratch: Path) -> list[Start]:
    """Run a coordinator's trials one after another in a TorchTrainer of one worker each.

    No Tune is around it: what a Tune trial that runs a TorchTrainer adds comes on top.
    """
    found = []
    while (assignment := coordinator.next_assignment()) is not None:
        order, began = make_order(assignment), time.time()
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"order": order},
            scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
            run_config=ray.train.RunConfig(name=assignment.trial.id, storage_path=str(scratch)),
        )
        trainer.fit()
        noted = storage.read_bytes(storage.join(order.folder, _FIRST_STEP))
        pid, first = noted.decode().split()
        found.append(Start(assignment.trial.id, int(pid), float(first) - began))
        coordinator.report(
            assignment.trial.id,
            Reading(step=assignment.trial.training.steps, source_dev_auc=0.5, source_dev_loss=0.0),
        )
    _check(coordinator)
    return found


def _worker(config: dict[str, Any]) -> None:
    """Train the trial of ``config`` as a Ray Train worker and write the time of its first step to its folder."""
    order: TrialOrder = config["order"]
    trial = order.trial
    pool = FacePool.open(pool_folder(order.pool))
    context = Context(order.folder, seed=trial.seed, total_steps=trial.training.steps)
    train(trial, pool, order.roles(pool.index), context)
    storage.write_bytes(storage.join(order.folder, _FIRST_STEP), f"{os.getpid()} {context.first_step_at}".encode())


def _check(coordinator: Coordinator) -> None:
    failures = coordinator.failures()
    if failures or not coordinator.finished:
        reason = failures[0].reason if failures else "Ray ended before every trial had ended"
        raise RunFailedError(f"a trial of the benchmark failed: {reason}", remedy="-v shows Ray's messages")
