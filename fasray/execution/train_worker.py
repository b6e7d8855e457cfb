"""What a Ray Train worker does: its share of one trial, in the same loop and with the same files as a single process.

Rank 0 tells the desk (``fasray.execution.train_backend``) of every evaluation and waits for the decision, which then
holds for all workers. A trial that is stopped early therefore *returns*: nothing has to be killed to free what it holds, and
nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
import ray.train
import ray.train.torch

from fasray.errors import DivergedError, FasrayError
from fasray.faces.loading.source import FaceSource
from fasray.ingest.node_pool import own_pool
from fasray.nets.weights import from_copies
from fasray.protocols import parse
from fasray.runs.ledger import trial_folder
from fasray.training.context import DistributedContext
from fasray.training.loop import train
from fasray.training.spent import Spent
from fasray.training.trial import Trial

if TYPE_CHECKING:
    from fasray.training.evaluate import Evaluation


@dataclass(frozen=True)
class Told:
    """What a trial tells: an evaluation's source-dev figures, or that and why it cannot go on."""

    trial: str
    status: str
    """``evaluated``, ``diverged`` or ``failed``."""
    step: int = 0
    source_dev_auc: float = 0.0
    source_dev_loss: float = 0.0
    seconds: float = 0.0
    spent: Spent | None = None
    reason: str = ""


class WorkerContext(DistributedContext):
    """A worker whose rank 0 asks the desk what becomes of the trial."""

    def __init__(self, desk: Any, trial: Trial, trial_dir: str) -> None:
        super().__init__(
            trial_dir,
            seed=trial.seed,
            total_steps=trial.training.steps,
            device=ray.train.torch.get_device(),
        )
        self._desk, self._trial, self._decision = desk, trial.id, "continue"

    def report(self, evaluation: Evaluation) -> None:
        """Tell the desk of an evaluation and wait for its decision."""
        if self.rank == 0:
            self.tell(
                "evaluated",
                step=evaluation.step,
                source_dev_auc=evaluation.source_dev_auc,
                source_dev_loss=evaluation.source_dev_loss,
                seconds=evaluation.seconds,
                spent=evaluation.spent,
            )

    def tell(self, status: str, **figures: Any) -> None:
        """Tell the desk something and wait until it is on record."""
        self._decision = ray.get(self._desk.ask.remote(Told(trial=self._trial, status=status, **figures)))

    def wants_to_stop(self) -> bool:
        """Tell whether the last decision was anything but to continue; only that of rank 0 counts."""
        return self._decision != "continue"


def train_share(config: dict[str, Any]) -> None:
    """Train this worker's share of the trial of ``config`` until it ends or is stopped.

    After a lost worker all of them come here again, and go on from the trial's last evaluation.

    Raises:
        Exception: the trial cannot go on; one that is raised on one worker only would leave the others waiting, so all
            of them are ended by Ray.
    """
    trial = Trial.model_validate(config["trial"])
    if not ray.get(config["desk"].wants.remote(trial.id)):
        return
    context = WorkerContext(config["desk"], trial, trial_folder(config["run"], trial.id))
    try:
        with from_copies(config.get("weights", "")), _faces(trial, config) as bank:
            roles = parse(trial.protocol, config["target_split"]).assign(bank.index)
            train(trial, bank, roles, context, reported_step=config["reported_step"])
    except DivergedError as error:  # every worker sees the same sums
        if context.rank == 0:
            context.tell("diverged", reason=error.what)
    except FasrayError as error:
        context.tell("failed", reason=error.what)
        raise


@contextmanager
def _faces(trial: Trial, config: dict[str, Any]) -> Iterator[FaceSource]:
    """Open the pool of this node, or a stream of this worker, which ends with the trial."""
    if trial.training.ingest == "pool":
        yield own_pool(config["pool"], config.get("data", ""))
        return
    from fasray.ingest.stream import FaceStream

    with closing(FaceStream.open(config["data"], trial.data, config["data_cpus"])) as stream:
        yield stream
