"""Several trials at once on one device, compared with one after the other: images a second of all together.

Each trial is a process of its own, as in a sweep: on a GPU they share the card as fractions of it do in Ray, on CPUs
they share the cores. Ray is not used.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from fasray.bench.loops import TrialLoop, made_pool
from fasray.bench.measurement import Benchmark, Measurement, machine
from fasray.bench.training import bench_device, made_trials
from fasray.errors import RunFailedError
from fasray.faces.loading.pool import FacePool
from fasray.training.trial import Trial

_WARM_UP = 2
_TIMEOUT_S = 300.0
_GIB = 2**30


def measure_pack(
    method: str,
    training: Mapping[str, Any],
    *,
    most: int = 4,
    seconds: float = 2.0,
    repetitions: int = 3,
    device: str = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Train one to ``most`` trials of a method at once, each number in turn, repetition by repetition.

    One alone is the baseline, for trials one after the other give as many images a second as one.

    Args:
        method: name.
        training: a sweep's training section: ``profile`` and overrides of it.
        most: trials at once, at least 2; fewer are measured where the device has no memory for more.
        seconds: length of one repetition.
        repetitions: how often each number of trials is measured.
        device: ``cpu``, ``cuda`` or ``auto``: CUDA where torch finds it.
        say: called with what begins.

    Raises:
        SpecError: no such method, profile or setting.
        RunFailedError: a process failed, or not even two trials have room on the device.
    """
    chosen = bench_device(device).type
    (trial,) = made_trials([method], dict(training), threads=1)
    with tempfile.TemporaryDirectory(prefix="fasray-bench-") as folder:
        pool = made_pool(Path(folder) / "pool", trial.training.image_size)
        say(f"starting {most} processes")
        with _processes(trial, pool, chosen, most) as trainers:
            fitting = _built(trainers)
            if fitting < 2:
                raise RunFailedError(
                    f"the device has no memory for two trials of {method} at once",
                    where=chosen,
                    remedy="take a smaller profile, image size or batch; in a sweep such a trial needs a whole GPU",
                )
            found: dict[int, list[tuple[float, int]]] = {count: [] for count in range(1, fitting + 1)}
            for number in range(repetitions):
                say(f"repetition {number + 1} of {repetitions}")
                for count in found if number % 2 == 0 else reversed(found):
                    found[count].append(_together(trainers[:count], seconds))
    rows = [
        Measurement(
            f"at_once_{count}",
            f"{count} trials at once, together" if count > 1 else "one after the other",
            tuple(rate for rate, _ in values),
            baseline=count == 1,
        )
        for count, values in sorted(found.items(), reverse=True)
    ]
    memory = {f"GiB_with_{count}": max(used for _, used in values) / _GIB for count, values in found.items()}
    return Benchmark(
        "pack",
        "images/s",
        tuple(rows),
        lower_is_better=False,
        facts={
            "method": method,
            "device": torch.cuda.get_device_name() if chosen == "cuda" else "CPU",
            "asked_at_once": most,
            "image_size": trial.training.image_size,
            "precision": trial.training.precision,
            **(memory if chosen == "cuda" else {}),
            **machine(),
        },
    )


@contextlib.contextmanager
def _processes(trial: Trial, pool: FacePool, device: str, count: int) -> Iterator[list[Connection]]:
    """Start processes that wait for orders; they end with the block."""
    context = multiprocessing.get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=_train, args=(there, trial, pool.folder, device), daemon=True) for _, there in pairs
    ]
    try:
        for process, (_, there) in zip(processes, pairs, strict=True):
            process.start()
            there.close()
        yield [here for here, _ in pairs]
    finally:
        for here, _ in pairs:
            here.close()
        for process in processes:
            process.join(10)
            process.kill()
            process.join()


def _built(trainers: list[Connection]) -> int:
    """Let the processes build their networks one after another; return how many had the memory for it."""
    for number, trainer in enumerate(trainers):
        trainer.send(0.0)
        if math.isnan(_answer(trainer)[0]):
            return number
    return len(trainers)


def _together(trainers: list[Connection], seconds: float) -> tuple[float, int]:
    """Let the processes train at once; return images a second of all, and the most memory that one saw in use."""
    for trainer in trainers:
        trainer.send(seconds)
    answers = [_answer(trainer) for trainer in trainers]
    if any(math.isnan(rate) for rate, _ in answers):
        raise RunFailedError(
            f"with {len(trainers)} trials at once the device ran out of memory while training",
            where="bench pack",
            remedy="measure fewer at once",
        )
    return sum(rate for rate, _ in answers), max(used for _, used in answers)


def _answer(trainer: Connection) -> tuple[float, int]:
    with contextlib.suppress(EOFError):
        if trainer.poll(_TIMEOUT_S):
            rate, used = trainer.recv()
            return rate, used
    raise RunFailedError("a process that trained has failed", where="bench pack", remedy="see its message above")


def _train(orders: Connection, trial: Trial, folder: Path, device: str) -> None:
    """Build and warm up at the first order, then train for so many seconds at each; an answer is (images/s, bytes)."""
    loop: TrialLoop | None = None
    with contextlib.suppress(EOFError):
        while True:
            seconds = orders.recv()
            try:
                if loop is None:
                    loop = TrialLoop(trial, FacePool.open(folder), torch.device(device))
                    loop.run(0, least=_WARM_UP)
                    rate = 0.0
                else:
                    rate = loop.run(seconds)
            except torch.OutOfMemoryError:
                loop, rate = None, math.nan
            orders.send((rate, _used(device)))


def _used(device: str) -> int:
    if device != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info()
    return total - free
