"""What a Ray Train worker does: its share of one trial, in the same loop and with the same files as a single process.

Rank 0 sends every evaluation to the broker (``fasray.execution.train_backend``) and waits for the decision, which then
holds for all workers. A trial that is stopped early therefore *returns*: nothing has to be killed to free what it
holds, and nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import ray
import ray.train
import ray.train.torch
import torch

from fasray.errors import DivergedError, FasrayError
from fasray.execution.card import limit_memory, peak_bytes, show_gpus
from fasray.execution.messages import TrialMessage, TrialOrder
from fasray.faces.loading.face_source import FaceSource
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.runs.events import Decision
from fasray.runs.layout import weights_folder
from fasray.runs.own_code import OtherCodeError, check_same_code
from fasray.training.context import DistributedContext
from fasray.training.loop import train

if TYPE_CHECKING:
    from fasray.training.evaluation import Evaluation


class WorkerContext(DistributedContext):
    """A worker whose rank 0 asks the broker what becomes of the trial."""

    def __init__(self, broker: Any, order: TrialOrder) -> None:
        trial = order.trial
        super().__init__(
            order.folder,
            seed=trial.seed,
            total_steps=trial.training.steps,
            device=_device(order),
            gpus=order.demand.gpus,
            weights_folder=weights_folder(order.run),
            stage=order.stage,
            tracking=order.tracking,
        )
        self._broker, self._order = broker, order
        self._decision: Decision = "continue"

    def report(self, evaluation: Evaluation) -> None:
        """Send an evaluation's figures to the broker and wait for its decision."""
        if self.rank == 0:
            self._ask(TrialMessage(self._order.trial.id, evaluation.reading))

    def give_up(self, status: Literal["diverged", "failed", "out_of_memory", "other_code"], reason: str = "") -> None:
        """Report why the trial cannot go on, and wait until it is on record."""
        held, peak = self._order.demand, peak_bytes(self._order.device)
        self._ask(TrialMessage(self._order.trial.id, status=status, reason=reason, demand=held, peak_bytes=peak))

    def _ask(self, message: TrialMessage) -> None:
        self._decision = ray.get(self._broker.ask.remote(message))

    def wants_to_stop(self) -> bool:
        """Return whether the last decision was anything but to continue; only that of rank 0 counts."""
        return self._decision != "continue"


def train_worker_loop(config: dict[str, Any]) -> None:
    """Train this worker's share of the trial of ``config`` (``order`` and ``broker``) until it ends or is stopped.

    After the loss of a worker Ray starts all of them again; they resume from the trial's last evaluation.

    Raises:
        Exception: the trial cannot go on; one that is raised on one worker only would leave the others waiting, so all
            of them are ended by Ray.
    """
    broker, order = config["broker"], config["order"]
    if not ray.get(broker.wants.remote(order.trial.id)):
        return
    context = WorkerContext(broker, order)
    try:
        check_same_code(order.code)
        with _faces(order) as faces:
            train(order.trial, faces, order.roles(faces.index), context, reported_step=order.reported_step)
    except DivergedError as error:  # every worker sees the same sums
        if context.rank == 0:
            context.give_up("diverged", error.what)
    except OtherCodeError as error:
        context.give_up("other_code", error.what)
        raise
    except FasrayError as error:
        context.give_up("failed", error.what)
        raise
    except torch.OutOfMemoryError:
        context.give_up("out_of_memory")
        raise


def _device(order: TrialOrder) -> torch.device:
    """Return this worker's device; it sees no GPU if it holds none, and takes no more of one than its share."""
    if not order.demand.gpus:
        show_gpus(())
    limit_memory(order.device, order.demand.gpus)
    return torch.device("cpu") if order.device == "cpu" else ray.train.torch.get_device()


@contextmanager
def _faces(order: TrialOrder) -> Iterator[FaceSource]:
    """Open the pool of this node, or a stream of this worker, which ends with the trial."""
    if order.trial.training.ingest == "pool":
        yield open_or_fill_pool(order.pool, order.data)
        return
    from fasray.ingest.stream import FaceStream

    with closing(FaceStream.open(order.data, order.trial.data, order.demand.data_cpus)) as stream:
        yield stream
