"""Trials trained by plain processes that talk through gloo, without Ray; run as a script, one worker of them.

The environment is torchrun's: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist

from fasray.faces.loading.pool import FacePool
from fasray.faces.loading.row_groups import row_group_of
from fasray.faces.sets.manifest import read_manifest
from fasray.methods.base import Build, Method
from fasray.protocols import parse
from fasray.testing.draws import double
from fasray.training import batches
from fasray.training.context import Context, DistributedContext
from fasray.training.loop import train
from fasray.training.trial import Trial


@dataclass(frozen=True)
class SubprocessTask:
    """One trial to train in a folder."""

    spec: str
    """The trial as JSON."""
    folder: str
    shards: str = ""
    """Where the pool's faces are from; a trial that was streamed takes them in the order of their row groups."""


def train_by(workers: int, tasks: Sequence[SubprocessTask], pool: Path, *, in_double: bool = False) -> None:
    """Train the trials one after another, each by so many workers, each worker a fresh process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(workers)}
    asked = json.dumps([asdict(task) for task in tasks])
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(pool), "double" if in_double else "single"],
            env={**common, "RANK": str(rank), "OMP_NUM_THREADS": "1"}, stdin=subprocess.PIPE, text=True,
        )
        for rank in range(workers)
    ]  # fmt: skip
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(asked)
        process.stdin.close()
    assert [process.wait(timeout=240) for process in processes] == [0] * workers


def _in_double_precision() -> None:
    """Let everything that is trained and scored in this process be in float64, where rounding leaves many digits."""
    single = batches.Batches.step
    batches.Batches.step = lambda self, step: [double(draw) for draw in single(self, step)]  # type: ignore[method-assign]


def _doubled(kind: type[Method]) -> None:
    build, score = kind.build, kind.score

    def built(self: Method, shape: Build) -> None:
        build(self, shape)
        self.networks.double()

    kind.build = built  # type: ignore[method-assign,assignment]
    kind.score = lambda self, images: score(self, images.double())  # type: ignore[method-assign]


def main(folder: str, precision: str) -> None:
    workers = int(os.environ["WORLD_SIZE"])
    tasks = [SubprocessTask(**given) for given in json.load(sys.stdin)]
    trials = [Trial.model_validate_json(task.spec) for task in tasks]
    if precision == "double":
        _in_double_precision()
        for kind in {type(trial.build_method()) for trial in trials}:
            _doubled(kind)
    if workers > 1:
        dist.init_process_group("gloo")
    pool = FacePool.open(folder)
    for task, trial in zip(tasks, trials, strict=True):
        made = DistributedContext if workers > 1 else Context
        context = made(task.folder, seed=trial.seed, total_steps=trial.training.steps)
        faces = pool
        if trial.training.ingest == "stream":
            faces = replace(pool, row_group=row_group_of(read_manifest(task.shards)))
        train(trial, faces, parse(trial.protocol).assign(pool.index), context)
    if workers > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*sys.argv[1:])
