"""Images a second of each method's training and scoring, and its memory, next to a plain loop of the same mathematics.

Both loops (see :mod:`fasray.bench.loops`) train in turn, repetition by repetition, in one process on the same images,
so that other load on the machine affects both alike. Ray is not used.
"""

from __future__ import annotations

import multiprocessing
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from fasray import errors
from fasray.bench.loops import Loop, PlainLoop, TrialLoop, made_pool
from fasray.cores import usable_cores
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.sweep.spec import SweepSpec
from fasray.training.context import device_of_option
from fasray.training.trial import Trial, make_trial

_MEMORY_STEPS = 3
_WARM_UP = 2
_TIMEOUT_S = 900


@dataclass(frozen=True)
class Side:
    """What one loop was measured at."""

    images_per_s: tuple[float, ...]
    """One value a repetition."""
    peak_bytes: int
    """Most memory that training held; see ``TrainingBenchmark.memory`` for which."""
    scored_per_s: tuple[float, ...]
    """Images a second of an evaluation, one value a repetition."""

    @property
    def median(self) -> float:
        """Median images a second of training."""
        return median(self.images_per_s)

    @property
    def scoring(self) -> float:
        """Median images a second of an evaluation."""
        return median(self.scored_per_s)

    def to_json(self) -> dict[str, object]:
        """Return the speeds as JSON values."""
        return {
            "images_per_s": self.median,
            "values": list(self.images_per_s),
            "scored_images_per_s": self.scoring,
            "scored_values": list(self.scored_per_s),
        }


@dataclass(frozen=True)
class Trained:
    """One method, both ways."""

    method: str
    ours: Side
    plain: Side
    outside: Mapping[str, float]
    """Shares of a step of ours outside networks and losses, by part; see :meth:`fasray.bench.loops.Loop.outside`."""
    trained: int
    """Training images of a whole trial."""
    scored: int
    """Images that its evaluations score."""

    @property
    def speed_ratio(self) -> float:
        """Median images a second of ours over the plain loop's."""
        return self.ours.median / self.plain.median

    @property
    def scoring_ratio(self) -> float:
        """Median images a second of an evaluation of ours over the plain loop's."""
        return self.ours.scoring / self.plain.scoring

    @property
    def evaluation_share(self) -> float:
        """Part of a trial's time that its evaluations take."""
        training, scoring = self.trained / self.ours.median, self.scored / self.ours.scoring
        return scoring / (training + scoring)

    @property
    def memory_ratio(self) -> float:
        """Peak memory of ours over the plain loop's; below 1 is less."""
        return self.ours.peak_bytes / self.plain.peak_bytes


@dataclass(frozen=True)
class TrainingBenchmark:
    """All methods' figures and the setting under which they hold."""

    rows: tuple[Trained, ...]
    memory: str
    """What ``peak_bytes`` counts."""
    facts: dict[str, str | int | float]

    def to_json(self) -> dict[str, object]:
        """Return the benchmark as JSON values."""
        return {
            "benchmark": "train",
            "unit": "images/s",
            "memory": self.memory,
            "rows": [
                {
                    "method": row.method,
                    "ours": row.ours.to_json(),
                    "plain": row.plain.to_json(),
                    "speed_ratio": row.speed_ratio,
                    "scoring_ratio": row.scoring_ratio,
                    "outside_share": sum(row.outside.values()),
                    "outside": dict(row.outside),
                    "evaluation_share": row.evaluation_share,
                    "ours_peak_bytes": row.ours.peak_bytes,
                    "plain_peak_bytes": row.plain.peak_bytes,
                    "memory_ratio": row.memory_ratio,
                }
                for row in self.rows
            ],
            "facts": self.facts,
        }


def measure_training(
    methods: Sequence[str],
    training: dict[str, Any],
    *,
    seconds: float,
    repetitions: int = 3,
    device: str = "auto",
    threads: int = 1,
    scored: int = 1000,
    say: Callable[[str], None] = lambda text: None,
) -> TrainingBenchmark:
    """Train each method both ways on noise of the size that ``training`` asks for.

    Args:
        methods: names; empty for all.
        training: a sweep's training section: ``profile`` and overrides of it.
        seconds: length of one repetition; each has a step at least.
        repetitions: how often each way is measured, in turn.
        device: ``cpu``, ``cuda`` or ``auto``: CUDA where torch finds it.
        threads: of the CPU.
        scored: images of an evaluation, for its share of a trial's time.
        say: called with what begins.

    Raises:
        SpecError: no such method, profile or setting, or no such device.
        DivergedError: a loss is no longer finite.
        RunFailedError: a process that measures memory failed.
    """
    chosen = bench_device(device)
    trials = made_trials(methods, training, threads)
    rows = []
    with tempfile.TemporaryDirectory(prefix="fasray-bench-") as folder:
        for number, trial in enumerate(trials):
            size = trial.training.image_size
            place = Path(folder) / str(size)
            pool = FacePool.open(place) if place.exists() else made_pool(place, size)
            say(f"{trial.method} ({number + 1} of {len(trials)})")
            rows.append(_both(trial, pool, chosen, seconds, repetitions, scored))
    facts = _facts(trials[0], training, chosen, repetitions)
    return TrainingBenchmark(tuple(rows), _memory_label(chosen), {**facts, "scored_images_an_evaluation": scored})


def made_trials(methods: Sequence[str], training: dict[str, Any], threads: int) -> list[Trial]:
    """Return a trial of each method (all if none is named) on images of noise under a training section.

    Raises:
        SpecError: no such method, profile or setting.
    """
    names = list(methods) or list(registry.names())
    spec = SweepSpec.model_validate(
        {
            "name": "bench",
            "data": "noise",
            "protocols": ["A&B&C->T"],
            "methods": {name: {"space": {}} for name in names},
            "training": training,
            "resources": {"cpus_per_worker": threads},
        }
    )
    return [
        make_trial(
            method=name,
            config=spec.config(name).model_dump(mode="json"),
            training=spec.training_of(name),
            protocol=spec.protocols[0],
            fingerprint="bench",
            data="noise",
            seed=0,
        )
        for name in names
    ]


def _both(trial: Trial, pool: FacePool, device: torch.device, seconds: float, repetitions: int, scored: int) -> Trained:
    """Measure memory first, each loop alone, then speed, in turn."""
    kinds: tuple[type[Loop], type[Loop]] = (TrialLoop, PlainLoop)
    peaks = [_peak_bytes(kind, trial, pool, device) for kind in kinds]
    loops = [kind(trial, pool, device) for kind in kinds]
    for loop in loops:
        loop.run(0, least=_WARM_UP)
        loop.score(0)
    speeds: list[list[float]] = [[] for _ in loops]
    scorings: list[list[float]] = [[] for _ in loops]
    for number in range(repetitions):
        for place in (0, 1) if number % 2 == 0 else (1, 0):
            speeds[place].append(loops[place].run(seconds))
            scorings[place].append(loops[place].score(seconds))
    ours, plain = (Side(tuple(speeds[place]), peaks[place], tuple(scorings[place])) for place in (0, 1))
    outside = loops[0].outside(seconds, least=_WARM_UP)
    training = trial.training
    evaluated = len(training.evaluation_steps()) * scored
    return Trained(trial.method, ours, plain, outside, training.steps * loops[0].images_per_step, evaluated)


def _peak_bytes(kind: type[Loop], trial: Trial, pool: FacePool, device: torch.device) -> int:
    """Return the most memory that building and a few steps of a loop take.

    On CUDA what torch allocated on the device; on the CPU, in a process of its own, by how much its resident memory
    grew at the peak.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        loop = kind(trial, pool, device)
        loop.run(0, least=_MEMORY_STEPS)
        peak = torch.cuda.max_memory_allocated(device) - before
        del loop
        torch.cuda.empty_cache()
        return peak
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_peak, args=(sender, kind, trial, pool.folder))
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(_TIMEOUT_S) else None
    except EOFError:
        found = None
    if found is None:
        process.kill()
    process.join()
    if found is None:
        raise errors.RunFailedError(
            f"the process that measures the memory of {trial.method} failed", remedy="see its message above"
        )
    return int(found)


def _send_peak(sender: Any, kind: type[Loop], trial: Trial, folder: Path) -> None:
    pool = FacePool.open(folder)
    _load_optimizers()
    before = _status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # from here on the peak is counted anew
    kind(trial, pool, torch.device("cpu")).run(0, least=_MEMORY_STEPS)
    sender.send(_status_bytes("VmHWM") - before)


def _load_optimizers() -> None:
    """Take a first step: torch then loads modules that are no method's memory."""
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    torch.optim.SGD([weight], 0.1).step()


def _status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise errors.RunFailedError(f"this system does not report {name} of a process", where="/proc/self/status")


def bench_device(asked: str) -> torch.device:
    """Return the device of an option ``--device``; see :func:`device_of_option`."""
    return torch.device(device_of_option(asked))


def _memory_label(device: torch.device) -> str:
    if device.type == "cuda":
        return "peak of what torch allocated on the device for networks and steps"
    return "growth of the process's resident memory at its peak, from before the networks are built"


def _facts(
    trial: Trial, training: dict[str, Any], device: torch.device, repetitions: int
) -> dict[str, str | int | float]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "profile": str(training.get("profile", "full")),
        "image_size": trial.training.image_size,
        "width": trial.training.width,
        "precision_of_ours": trial.training.precision,
        "threads": trial.training.threads,
        "repetitions": repetitions,
        "torch": str(torch.__version__),
        "cpus": usable_cores(),
    }
