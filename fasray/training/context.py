"""Where a trial runs: its worker, device, step and streams, and the way its results go.

The loop and the methods talk to a :class:`Context` and to nothing else; a backend (a plain process, a Ray actor, a
group of Ray Train workers) makes one and overrides what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from fasray import storage
from fasray.errors import SpecError
from fasray.runs.layout import CHECKPOINT_FOLDER
from fasray.seeds import stream
from fasray.training import trackers

if TYPE_CHECKING:
    from fasray.training.evaluation import Evaluation


def default_device() -> str:
    """Return the device that a trial computes on where none is asked for: ``cuda`` if torch finds one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_of_option(asked: str) -> str:
    """Return the device that an option ``--device`` asks for: ``auto`` is CUDA where torch finds it.

    Raises:
        SpecError: CUDA is asked for and torch finds none, or this is no device that fasray knows.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise SpecError(f"unknown device {asked!r}", where="--device", remedy="choose auto, cpu or cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        raise SpecError(
            "torch finds no CUDA device", where="--device", remedy="use --device cpu, or install a matching torch"
        )
    return default_device() if asked == "auto" else asked


class Context:
    """A single worker. ``step`` is moved by the loop.

    Args:
        trial_dir: local path or URI of the trial's folder; score files, checkpoints and logs go there.
        seed: of the trial.
        total_steps: full budget in optimizer steps.
        device: where the networks live.
        gpus: that this worker holds, for the account of its cost; a fraction if it shares one.
        faces_bytes: most bytes of a GPU that a copy of the faces may take there; None: what looks reasonable there.
        weights_folder: where the run keeps copies of initial weights; empty: nowhere.
        stage: of the sweep that the trial belongs to, for the names of its curves; empty outside of one.
        tracking: names of the trackers that the trial is shown in.
    """

    def __init__(
        self,
        trial_dir: str,
        *,
        seed: int,
        total_steps: int,
        device: torch.device | str | None = None,
        gpus: float = 0.0,
        faces_bytes: int | None = None,
        weights_folder: str = "",
        stage: str = "",
        tracking: tuple[str, ...] = trackers.DEFAULT,
    ) -> None:
        self.trial_dir = trial_dir
        self.tracking = tracking
        self.stage = stage
        self.gpus = gpus
        self.faces_bytes = faces_bytes
        self.weights_folder = weights_folder
        self.seed = seed
        self.device = torch.device(device or "cpu")
        self.step = 0
        self.first_step_at: float | None = None
        """``time.time()`` at the first optimizer step that this process took for the trial."""
        self.bytes_read = 0
        """Bytes of faces, or of the windows that were cut of them, that this worker has taken from its pool; none from
        a copy of the pool on a device."""
        self._total_steps = total_steps

    @property
    def rank(self) -> int:
        """Index of this worker."""
        return 0

    @property
    def world_size(self) -> int:
        """Number of workers."""
        return 1

    @property
    def total_steps(self) -> int:
        """Full budget in optimizer steps, never that of a rung."""
        return self._total_steps

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the stream of this seed, purpose and step; the same on every rank."""
        return stream(self.seed, purpose, self.step)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average ``.grad`` of the parameters over the workers, in place.

        A gradient that only some workers have counts as zero on the others; one that none has stays ``None``, as it
        would for a single worker.
        """

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean over the workers of each tensor; differentiable, twice too."""
        return list(tensors)

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all workers, concatenated along dim 0 in rank order; differentiable, twice too.

        All workers must give the same shape.
        """
        return tensor

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over the workers; carries no gradient."""
        return tensor

    def resume(self) -> str | None:
        """Return the folder of checkpoints to go on from, ``None`` to start afresh."""
        return storage.join(self.trial_dir, CHECKPOINT_FOLDER)

    def report(self, evaluation: Evaluation) -> None:
        """Take an evaluation as it comes; called on every rank."""

    def should_stop(self) -> bool:
        """Tell whether to stop after the evaluation just reported; the same on every rank."""
        return False


class DistributedContext(Context):
    """One of several workers of an initialised ``torch.distributed`` process group.

    Gradients follow the convention of ``average_gradients``: each worker differentiates its own loss and the results
    are averaged. A loss over gathered features that every worker computes alike then has the gradient that one worker
    with the whole batch has.
    """

    @property
    def rank(self) -> int:
        """Index of this worker."""
        return dist.get_rank()

    @property
    def world_size(self) -> int:
        """Number of workers."""
        return dist.get_world_size()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average ``.grad`` of the parameters over the workers, in place; see :meth:`Context.average_gradients`."""
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if not trained:
            return
        present = torch.tensor([parameter.grad is not None for parameter in trained], device=self.device).float()
        dist.all_reduce(present)
        alive = [parameter for parameter, count in zip(trained, present.tolist(), strict=True) if count]
        with torch.no_grad():
            for dtype in sorted({parameter.dtype for parameter in alive}, key=str):
                same = [parameter for parameter in alive if parameter.dtype == dtype]
                for parameter in same:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)
                grads = [parameter.grad for parameter in same if parameter.grad is not None]
                flat = torch.cat([grad.reshape(-1) for grad in grads])
                dist.all_reduce(flat)
                flat /= self.world_size
                for grad, part in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
                    grad.copy_(part.view(grad.shape))

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean over the workers of each tensor; differentiable, twice too."""
        return [_Mean.apply(tensor) for tensor in tensors]

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all workers, concatenated along dim 0 in rank order; differentiable, twice too."""
        gathered: Tensor = _Gather.apply(tensor)
        return gathered

    def total(self, tensor: Tensor) -> Tensor:
        """Return the sum over the workers; carries no gradient."""
        result = tensor.detach().clone()
        dist.all_reduce(result)
        return result

    def should_stop(self) -> bool:
        """Tell whether rank 0 wants to stop, so that all workers stop together."""
        wish = torch.tensor([float(self.wants_to_stop())], device=self.device)
        dist.broadcast(wish, src=0)
        return bool(wish.item())

    def wants_to_stop(self) -> bool:
        """Tell this worker's own wish to stop; only that of rank 0 counts."""
        return False


class _Mean(torch.autograd.Function):
    """Mean over the workers. Its own adjoint: each worker's input enters every worker's mean with weight 1/W."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        result = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result)
        return result / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Mean.apply(grads[0])


class _Gather(torch.autograd.Function):
    """Concatenation over the workers; its adjoint sums what all workers ask of one's own part."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        own = tensor.detach().contiguous()
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, own)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _OwnPart.apply(grads[0])


class _OwnPart(torch.autograd.Function):
    """Own slice of the sum over the workers: the adjoint of :class:`_Gather`, and the other way round."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return _Gather.apply(grads[0])
