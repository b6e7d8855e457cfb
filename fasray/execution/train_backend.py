"""Trials of several workers: each is a Ray Train ``TorchTrainer``, run by the coordinator without Tune.

Tune is left out here for what it would cost. A Tune trial is one more process around the trainer, and Tune does not
count what the trainer's workers hold: drivers that have taken every CPU wait for workers that never get one. And Tune
stops a trial by killing that process; the workers' placement group then stays until a detached cleaner has asked the
dashboard, which a private Ray does not have. Here one actor, the broker, holds the ``fit()`` calls of all running
trials and carries messages and decisions between their workers and the driver; a stopped trial returns by itself.

Ray Train stores nothing: checkpoints, scores and the log are the run directory's own, so that a trial resumes after the
loss of a worker, or of everything.
"""

from __future__ import annotations

import itertools
import os
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ray
import ray.exceptions
import ray.train
from ray.train.torch import TorchConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fasray.errors import FasrayError
from fasray.execution.autoscaler import MAX_TRIALS
from fasray.execution.capacity import Demand
from fasray.execution.messages import TrialMessage, TrialOrder, deliver
from fasray.execution.placement import Places, next_placed
from fasray.execution.ray_session import is_private
from fasray.execution.train_worker import train_worker_loop
from fasray.ray_private import lean_torch_trainer, worker_error
from fasray.sweep.coordinator import Assignment, Coordinator

_MAX_RESTARTS = 3
"""Of a trial's workers after one was lost; preemptions are not counted."""
_POLL_S = 0.5
_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # how soon the end of a trial is seen
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_PRIVATE_SETTINGS = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
"""Of a private Ray, whose nodes are never preempted."""


@dataclass(frozen=True)
class Request:
    """A worker's message that waits for a decision."""

    number: int
    message: TrialMessage


class DecisionBroker:
    """Runs trainers in threads of its own and passes between their workers and the driver; an actor.

    Args:
        scratch: folder on this node for Ray Train's own files.
        settings: environment of Ray Train.
    """

    def __init__(self, scratch: str, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            os.environ.setdefault(name, value)
        self._scratch = scratch
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._numbers = itertools.count()
        self._decisions: dict[int, queue.SimpleQueue[str]] = {}
        self._stopped: set[str] = set()

    @ray.method(concurrency_group="fit")
    def fit(self, order: TrialOrder) -> str:
        """Run a trial to its end; return the reason if its workers failed, else nothing."""
        scaling = ray.train.ScalingConfig(
            num_workers=order.demand.workers,
            use_gpu=order.demand.gpus > 0,
            resources_per_worker=order.demand.of_worker,
        )
        self._stopped.discard(order.trial.id)
        whole_cards = order.device != "cpu" and order.demand.gpus >= 1  # NCCL refuses two workers on one card
        try:
            lean_torch_trainer()(
                train_worker_loop,
                train_loop_config={"order": order, "broker": ray.get_runtime_context().current_actor},
                torch_config=TorchConfig(backend="nccl" if whole_cards else "gloo"),
                scaling_config=scaling,
                run_config=ray.train.RunConfig(
                    name=order.trial.id,
                    storage_path=self._scratch,
                    failure_config=ray.train.FailureConfig(max_failures=_MAX_RESTARTS),
                ),
            ).fit()
        except ray.train.TrainingFailedError as error:
            return _reason(error)
        return ""

    def wants(self, trial: str) -> bool:
        """Return whether a trial is still to be trained; asked by its workers."""
        return trial not in self._stopped

    @ray.method(concurrency_group="ask")
    def ask(self, message: TrialMessage) -> str:
        """Take a worker's message and wait for the driver's decision."""
        number = next(self._numbers)
        answer: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._decisions[number] = answer
        self._requests.put(Request(number, message))
        decision = answer.get()
        if decision != "continue":
            self._stopped.add(message.trial)
        return decision

    @ray.method(concurrency_group="take")
    def take(self, seconds: float) -> list[Request]:
        """Return the requests that wait, or the first that comes within ``seconds``."""
        taken = []
        try:
            taken.append(self._requests.get(timeout=seconds))
            while True:
                taken.append(self._requests.get_nowait())
        except queue.Empty:
            return taken

    def answer(self, number: int, decision: str) -> None:
        """Send a decision to the worker that waits for it."""
        self._decisions.pop(number).put(decision)


def train_in_workers(
    coordinator: Coordinator,
    make_order: Callable[[Assignment, Demand], TrialOrder],
    places: Places,
    scratch: str,
    changed: Callable[[], None] = lambda: None,
) -> None:
    """Run the coordinator's trials, each in workers of its own, until none is left.

    Args:
        coordinator: of the sweep.
        make_order: from an assignment, and what its trial will hold, to what its workers are sent.
        places: what each trial holds, and which may start now; asked often, as nodes come and go.
        scratch: folder on this node for Ray Train's own files.
        changed: called after every change.
    """
    broker = _start_broker(scratch)
    running: dict[Any, str] = {}
    try:
        while True:
            while len(running) < MAX_TRIALS and (found := next_placed(coordinator, places, running.values())):
                assignment, demand = found
                places.hold(assignment.trial.id, demand)
                running[broker.fit.remote(make_order(assignment, demand))] = assignment.trial.id
                changed()
            if not running and coordinator.finished:
                return
            for request in ray.get(broker.take.remote(_POLL_S)):
                broker.answer.remote(request.number, deliver(coordinator, request.message))
                changed()
            for ended in ray.wait(list(running), num_returns=len(running), timeout=0)[0] if running else ():
                trial = running.pop(ended)
                places.release(trial)
                _close(coordinator, trial, ray.get(ended))
                changed()
    finally:
        ray.kill(broker)


def _start_broker(scratch: str) -> Any:
    """Start the broker on this node, which lives as long as the driver; the trainers' controllers run next to it."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    settings = {**_SETTINGS, **_PRIVATE_SETTINGS} if is_private() else _SETTINGS
    # Each trial has two threads of the broker.
    groups = {"fit": MAX_TRIALS, "ask": MAX_TRIALS, "take": 1}
    remote: Any = ray.remote  # its declared overloads know no concurrency groups
    actor = remote(num_cpus=0, concurrency_groups=groups, scheduling_strategy=here)(DecisionBroker)
    return actor.remote(scratch, settings)


def _close(coordinator: Coordinator, trial: str, reason: str) -> None:
    """Record the failure of a trial whose workers ended without a decision; one that is taken back has had it."""
    if trial in coordinator.running:
        coordinator.end(trial, "failed", reason or "the trial had nothing left to do")


def _reason(error: Exception) -> str:
    """Return why a trainer failed, without any path of this machine: it goes into the event log."""
    cause = worker_error(error)
    if isinstance(cause, FasrayError):
        return cause.what
    if cause is not None:
        return f"a worker ended with {type(cause).__name__}; see the log of the run"
    return f"its workers ended with {type(error).__name__}; see the log of the run"
