"""Run part of a check in processes of their own: fresh ones, ones that get killed, and two workers that talk by gloo.

Processes come from a fork server that has only imported what they need, so that each costs milliseconds and none has
seen another's state.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import multiprocessing
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.methods.base import Method
from fasray.nets.batchnorm import synchronise
from fasray.testing.draws import built, double, draws_of, refresh_toy, share
from fasray.testing.faces import Doomed, toy_trial, train_toy
from fasray.training.context import Context, DistributedContext

WORKERS = 2
_STEPS = 3
_SECONDS = 180
_LOADED_LATE = ("torch._dynamo", "pytest")
"""What a process would otherwise load by itself: optimizers want the one, a child of pytest the other (if there)."""


@dataclass(frozen=True)
class Address:
    """Where another process finds a method's class."""

    module: str
    name: str
    file: str

    @classmethod
    def of(cls, kind: type[Method]) -> Address:
        """Return the address of a class.

        Raises:
            AssertionError: the class is defined inside a function, where no other process can find it.
        """
        assert "<locals>" not in kind.__qualname__, (
            f"{kind.__qualname__} is defined inside a function; move it to the top of its module, "
            "where the processes of the check (and the workers of a sweep) can import it"
        )
        return cls(kind.__module__, kind.__qualname__, inspect.getfile(kind))

    def load(self) -> type[Method]:
        """Import the class: by its module's name or, for a file that is on no path, from the file."""
        try:
            found: Any = importlib.import_module(self.module)
        except ImportError:
            spec = importlib.util.spec_from_file_location(self.module, self.file)
            if spec is None or spec.loader is None:
                raise
            found = importlib.util.module_from_spec(spec)
            sys.modules[self.module] = found
            spec.loader.exec_module(found)
        for part in self.name.split("."):
            found = getattr(found, part)
        kind: type[Method] = found
        return kind


@dataclass(frozen=True)
class SubprocessTask:
    """What a process is to do: a toy trial, or its part of two workers' steps."""

    address: Address
    config: Mapping[str, Any]
    folder: Path
    """For what it leaves behind."""
    pool: Path | None = None
    doomed: bool = False
    """To be killed on the way."""


def in_processes(target: Callable[[SubprocessTask, int], None], task: SubprocessTask, count: int = 1) -> list[int]:
    """Run ``target(task, rank)`` in ``count`` fresh processes at once and return their exit codes.

    Raises:
        AssertionError: a process failed with an exception, whose text is in the message, or did not end in time. One
            that was killed has failed with none.
    """
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__, *_LOADED_LATE])
    with tempfile.TemporaryDirectory(prefix="fasray-testing-") as folder:
        reports = [Path(folder) / str(rank) for rank in range(count)]
        processes = [server.Process(target=_guarded, args=(target, task, rank, reports[rank])) for rank in range(count)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(_SECONDS)
        late = [rank for rank, process in enumerate(processes) if process.exitcode is None]
        for process in processes:
            process.kill()
            process.join()
        said = [report.read_text(encoding="utf-8") for report in reports if report.exists()]
    assert not said, f"{task.address.name} failed in a process of its own:\n{said[0]}"
    assert not late, f"{task.address.name}: process {late[0]} of {count} did not end within {_SECONDS} s"
    return [int(process.exitcode or 0) for process in processes]


def _guarded(target: Callable[[SubprocessTask, int], None], task: SubprocessTask, rank: int, report: Path) -> None:
    try:
        torch.set_num_threads(1)
        with registry.registered(task.address.load()):
            target(task, rank)
    except BaseException:
        report.write_text(traceback.format_exc(), encoding="utf-8")
        raise


def train_trial_of(task: SubprocessTask, rank: int) -> None:
    """Train the toy trial of a task in its folder."""
    assert task.pool is not None, "a trial needs a pool"
    trial = toy_trial(task.address.load(), task.config)
    kind = Doomed if task.doomed else Context
    context = kind(str(task.folder), seed=trial.seed, total_steps=trial.training.steps)
    train_toy(trial, FacePool.open(task.pool), task.folder, context=context)


def run_worker(task: SubprocessTask, rank: int) -> None:
    """Be worker ``rank`` of two; leave what :func:`steps_of` returns in ``worker-<rank>.pt``."""
    meeting = (task.folder / "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORKERS)
    method = built(task.address.load(), **task.config)
    found = steps_of(method, DistributedContext("nowhere", seed=0, total_steps=20))
    torch.save(found, task.folder / f"worker-{rank}.pt")
    dist.destroy_process_group()


def steps_of(method: Method, context: Context) -> dict[str, Tensor]:
    """Take three steps in double precision, where workers and whole can agree to many digits; return all there is.

    That is weights, buffers, logs, and the last step's gradients: Adam's steps hardly change with their scale.

    Args:
        method: built.
        context: of a single worker, which takes the whole batches, or of one of several, which takes its share.
    """
    method.networks.double()
    synchronise(method.networks, context.average, context.world_size)
    logs: dict[str, Tensor] = {}
    for context.step in range(_STEPS):
        draws = [double(draw) for draw in draws_of(method, 3, per_group=2 * WORKERS, seed=context.step)]
        if context.world_size > 1:
            draws = [share(draw, _positions(method, context.rank, len(draw.label))) for draw in draws]
        refresh_toy(method, context, dtype=torch.float64)
        logs = method.step(draws, context)
    grads = {f"grad {name}": one.grad for name, one in method.networks.named_parameters() if one.grad is not None}
    return {**{f"log {key}": value for key, value in logs.items()}, **grads, **method.networks.state_dict()}


def _positions(method: Method, rank: int, count: int) -> Tensor:
    """Balanced batches are shared within each group; shuffled ones so that each worker misses a domain."""
    if method.sampling.kind == "balanced":
        return torch.arange(count).view(-1, WORKERS, 2)[:, rank].reshape(-1)
    return torch.arange(rank * count // WORKERS, (rank + 1) * count // WORKERS)
