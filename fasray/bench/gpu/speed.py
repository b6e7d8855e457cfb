"""How fast the device is, how long it waits, and what each setting and several trials at once bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, get_args

import torch
from torch.profiler import ProfilerActivity, profile

from fasray.bench.gpu.record import Row
from fasray.bench.gpu.workplace import DeviceCheck, Workplace
from fasray.bench.loops import TrialLoop, made_roles
from fasray.bench.pack import measure_pack
from fasray.bench.training import measure_training
from fasray.errors import RunFailedError, SpecError
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.training.batches import Batches, Way
from fasray.training.trial import Trial

_WARM_UP = 2
_ENOUGH_STEPS = 100_000
_WORTH = 1.05
"""A setting is recommended if it makes training at least so many times as fast."""
_GIB = 2**30


class Speed(DeviceCheck):
    """Images a second and memory of each method, next to a plain loop."""

    name = "speed"
    title = "Speed and memory"
    about = (
        "Training and scoring of each method at the sizes below, next to a plain loop that takes the very same steps: "
        "images made float one by one on the host, NCHW, float32, every log read at every step. Several trials share a "
        "card as far as their peak memory allows."
    )
    columns = {
        "method": "name",
        "images/s": "training images a second",
        "plain": "the same of the plain loop",
        "ratio": "ours over the plain loop's",
        "scored/s": "images a second of an evaluation, in float32",
        "scored ratio": "ours over the plain loop's",
        "scoring %": "share of a trial's time that its evaluations take, at the number of pictures named below",
        "outside %": "share of a step outside of networks and losses: batch, optimizer, logs, each waited for",
        "peak GiB": "most memory that training held; on a GPU what torch allocated, its own 0.3 to 0.5 GiB not counted",
    }
    share = 3.0
    first_seconds = 15.0

    def measure(self, item: str) -> Row:
        """Return the figures of one method."""
        sizes = self._place.sizes
        found = measure_training(
            [item],
            dict(sizes.speed),
            seconds=sizes.seconds,
            repetitions=sizes.repetitions,
            device=self._place.device.type,
        )
        (row,) = found.rows
        return {
            "method": item,
            "images/s": row.ours.median,
            "plain": row.plain.median,
            "ratio": row.speed_ratio,
            "scored/s": row.ours.scoring,
            "scored ratio": row.scoring_ratio,
            "scoring %": 100 * row.evaluation_share,
            "outside %": 100 * sum(row.outside.values()),
            "peak GiB": row.ours.peak_bytes / _GIB,
        }


class Waiting(DeviceCheck):
    """Share of a step's time in which the device has nothing to do."""

    name = "waiting"
    title = "How long the card waits"
    about = (
        "The time that the device computes or copies in a few training steps, from torch's profiler, over the time of "
        "as many steps without the profiler. What is missing to 100 % the card waits for the host: more trials at "
        "once on the card fill it, and so do larger batches. (On a CPU: the time inside torch's operators.)"
    )
    columns = {
        "method": "name",
        "fp32 busy %": "share of the time in which the device is busy, float32",
        "bf16 busy %": "the same with bf16 autocast",
        "bf16 step ms": "one step, bf16",
    }
    share = 1.5
    first_seconds = 8.0

    def measure(self, item: str) -> Row:
        """Return the shares of one method."""
        single, _ = self._busy(item, "fp32")
        half, seconds = self._busy(item, "bf16")
        return {"method": item, "fp32 busy %": 100 * single, "bf16 busy %": 100 * half, "bf16 step ms": 1000 * seconds}

    def _busy(self, method: str, precision: str) -> tuple[float, float]:
        place = self._place
        trial = place.trial(method, place.sizes.speed, precision=precision)
        loop = TrialLoop(trial, place.pool(trial), place.device)
        loop.run(0, least=_WARM_UP)
        step_seconds = loop.images_per_step / loop.run(place.sizes.seconds)
        cuda = place.device.type == "cuda"
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
            loop.run(0, least=place.sizes.profiled_steps)
        spans = [
            (event.time_range.start, event.time_range.end)
            for event in profiler.events() or []
            if event.device_type.name == ("CUDA" if cuda else "CPU")
        ]
        return min(1.0, union(spans) / 1e6 / place.sizes.profiled_steps / step_seconds), step_seconds

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Say which methods leave the card idle."""
        idle = [f"{row['method']} ({100 - row['bf16 busy %']:.0f} %)" for row in rows if row["bf16 busy %"] < 80]
        return [f"In bf16 the device waits a fifth of the time or more with {', '.join(idle)}."] if idle else []


def union(spans: Sequence[tuple[float, float]]) -> float:
    """Return the length that the intervals cover together.

    Raises:
        RunFailedError: there are none.
    """
    if not spans:
        raise RunFailedError(
            "torch's profiler saw no work of the device",
            where="waiting",
            remedy="see that nothing else profiles this process, and that the driver lets users read its counters",
        )
    covered, reached = 0.0, -float("inf")
    for start, end in sorted(spans):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


class Prices(DeviceCheck):
    """What precision and determinism bring and cost."""

    name = "prices"
    title = "bf16, and what determinism costs"
    about = (
        "The same steps of each method in float32 and with bf16 autocast, each with `deterministic: true`, which gives "
        "equal bits run for run, and `false`, which lets cuDNN choose the fastest algorithm. "
        "Measured in turn."
    )
    columns = {
        "method": "name",
        "fp32": "images a second",
        "bf16": "images a second",
        "fp32 free": "images a second, `deterministic: false`",
        "bf16 free": "images a second, `deterministic: false`",
    }
    share = 2.0
    first_seconds = 12.0

    def measure(self, item: str) -> Row:
        """Return the speeds of one method."""
        changes = {
            f"{precision}{'' if fixed else ' free'}": {"precision": precision, "deterministic": fixed}
            for fixed in (True, False)
            for precision in ("fp32", "bf16")
        }
        return {"method": item, **_changed(self._place, item, changes)}

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Say the medians over the methods."""
        if not rows:
            return []
        return [
            f"bf16 is {_ratio(rows, 'bf16', 'fp32'):.2f} times as fast as float32 (median over the methods).",
            f"`deterministic: false` would make float32 {_ratio(rows, 'fp32 free', 'fp32'):.2f} times and bf16 "
            f"{_ratio(rows, 'bf16 free', 'bf16'):.2f} times as fast: the price of equal bits.",
        ]

    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Recommend bf16 where it is faster."""
        return {"training": {"precision": "bf16"}} if rows and _ratio(rows, "bf16", "fp32") >= _WORTH else {}


class Residence(DeviceCheck):
    """What it brings to keep the faces on the device."""

    name = "residence"
    title = "Faces on the card, or on their way to it"
    about = (
        "The steps of each method in bf16 with the faces on the device, where only row numbers cross; with a thread "
        "that picks and uploads the next batches meanwhile; and with batches picked when they are needed. A trial "
        "chooses the first where the pool fits next to its networks, else on a GPU the second. Batches are the same."
    )
    columns = {
        "method": "name",
        "resident": "images a second, faces on the device",
        "prefetch": "images a second, batches made ahead by a thread",
        "direct": "images a second, batches made when they are needed",
    }
    share = 1.5
    first_seconds = 12.0

    def measure(self, item: str) -> Row:
        """Return the speeds of one method."""
        place = self._place
        trial = place.trial(item, {**place.sizes.speed, "steps": _ENOUGH_STEPS}, precision="bf16")
        loops = {way: LoopByWay(trial, place.pool(trial), place.device, way) for way in get_args(Way)}
        try:
            return {"method": item, **in_turn(place, loops)}
        finally:
            for loop in loops.values():
                loop.close()

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Say the medians over the methods."""
        if not rows:
            return []
        return [
            f"Faces on the device are {_ratio(rows, 'resident', 'prefetch'):.2f} times as fast as the thread, and the "
            f"thread {_ratio(rows, 'prefetch', 'direct'):.2f} times as fast as none (medians)."
        ]


class LoopByWay(TrialLoop):
    """Ours, with pixels that come to the device in a way of choice; steps are taken in order, from the first."""

    def __init__(self, trial: Trial, pool: FacePool, device: torch.device, way: Way) -> None:
        super().__init__(trial, pool, device)
        self._batches = Batches(trial, pool, made_roles(pool), self.method, self.context, way)
        self._batches.open(0, [trial.training.steps])

    def close(self) -> None:
        """End the thread, if there is one."""
        self._batches.close()


class Compiled(DeviceCheck):
    """What torch.compile brings."""

    name = "compile"
    title = "torch.compile"
    about = (
        "The steps of each method in bf16 with `compile: true`, next to the same without. Compiling comes once in each "
        "process and is not counted; a sweep pays for it with the first trial in each process."
    )
    columns = {
        "method": "name",
        "bf16": "images a second",
        "compiled": "images a second",
        "ratio": "compiled over not compiled",
    }
    share = 2.0
    first_seconds = 75.0

    def measure(self, item: str) -> Row:
        """Return the speeds of one method."""
        if reason := registry.get(item).no_compile:
            raise SpecError(f"cannot be compiled: {reason}")
        half = {"precision": "bf16"}
        found = _changed(self._place, item, {"bf16": half, "compiled": {**half, "compile": True}})
        return {"method": item, **found, "ratio": found["compiled"] / found["bf16"]}

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Say which methods gain."""
        gain = [f"{row['method']} ({row['ratio']:.2f})" for row in rows if row["ratio"] >= _WORTH]
        return (
            [f"Worth setting `compile: true` for: {', '.join(gain)}."]
            if gain
            else ["Not worth setting here."] * bool(rows)
        )


class Sharing(DeviceCheck):
    """Several trials at once on the device."""

    name = "sharing"
    title = "Several trials a card"
    about = (
        "Trials of a method at once, each a process of its own as in a sweep, in bf16: images a second of all of them. "
        "One alone is what trials one after the other give. Without NVIDIA's MPS the processes take turns on the card; "
        "with it their kernels run at the same time."
    )
    columns = {
        "method": "name",
        "1": "images a second of one trial",
        "2": "of two at once",
        "3": "of three at once",
        "4": "of four at once",
        "best": "number of trials with the most images a second",
        "ratio": "the best over one after the other",
        "GiB": "memory used on the device with the most trials at once, all processes and CUDA's own included",
    }
    share = 3.0
    first_seconds = 25.0

    def measure(self, item: str) -> Row:
        """Return the speeds of one method."""
        sizes = self._place.sizes
        found = measure_pack(
            item, {**sizes.speed, "precision": "bf16"}, most=sizes.most_at_once, seconds=sizes.seconds,
            repetitions=sizes.repetitions, device=self._place.device.type,
        )  # fmt: skip
        speeds = {row.name.removeprefix("at_once_"): row.median for row in reversed(found.rows)}
        best = max(speeds, key=speeds.__getitem__)
        memory = [value for name, value in found.facts.items() if name.startswith("GiB_with_")]
        return {
            "method": item, **speeds, "best": int(best), "ratio": speeds[best] / speeds["1"],
            **({"GiB": max(memory)} if memory else {}),
        }  # fmt: skip

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Say what sharing brings."""
        if not rows:
            return []
        middle = median(row["ratio"] for row in rows)
        return [f"The best number of trials at once gives {middle:.2f} times the images a second (median)."]

    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Recommend the number of trials that is best for most methods."""
        if not rows:
            return {}
        worth = [row["best"] if row["ratio"] >= _WORTH else 1 for row in rows]
        return {"resources": {"gpus_per_worker": "auto", "most_per_gpu": round(median(worth))}}


def in_turn(place: Workplace, loops: Mapping[str, TrialLoop]) -> dict[str, float]:
    """Return the median images a second of each loop, measured in turn."""
    for loop in loops.values():
        loop.run(0, least=_WARM_UP)
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(place.sizes.repetitions):
        for name in rates if number % 2 == 0 else reversed(rates):
            rates[name].append(loops[name].run(place.sizes.seconds))
    return {name: median(values) for name, values in rates.items()}


def _changed(place: Workplace, method: str, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the median images a second under each change of the training section, measured in turn."""
    trials = {name: place.trial(method, place.sizes.speed, **change) for name, change in changes.items()}
    return in_turn(place, {name: TrialLoop(trial, place.pool(trial), place.device) for name, trial in trials.items()})


def _ratio(rows: Sequence[Row], one: str, other: str) -> float:
    return float(median(row[one] / row[other] for row in rows))
