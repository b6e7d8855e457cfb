"""The device that is checked, the sizes, and the pools of noise that all parts share."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fasray.bench.gpu.check import Check
from fasray.bench.loops import DOMAINS, made_pool
from fasray.bench.training import made_trials
from fasray.cores import usable_cores
from fasray.execution.hardware import driver_version, mps_runs
from fasray.faces.loading.pool import FacePool
from fasray.protocols import Roles
from fasray.training.trial import Trial
from fasray.version import __version__

_GIB = 2**30


@dataclass(frozen=True)
class Sizes:
    """How large and how long the parts are."""

    speed: Mapping[str, Any]
    """Training section of the parts that measure speed and memory."""
    numbers: Mapping[str, Any]
    """Training section of the parts that compare numbers with the CPU's."""
    seconds: float
    """Of one repetition."""
    repetitions: int
    scored: int
    """Pictures of an evaluation, for its share of a trial's time."""
    profiled_steps: int
    most_at_once: int
    """Trials on the device at the most."""


FULL = Sizes(
    {"profile": "full"},
    {"profile": "small", "image_size": 96},
    seconds=0.5,
    repetitions=3,
    scored=20_000,
    profiled_steps=5,
    most_at_once=4,
)
MINIATURE = Sizes(
    {"profile": "smoke", "image_size": 32}, {"profile": "smoke", "image_size": 32},
    seconds=0.05, repetitions=2, scored=1000, profiled_steps=1, most_at_once=2,
)  # fmt: skip


@dataclass(frozen=True)
class Workplace:
    """What every part works on."""

    device: torch.device
    sizes: Sizes
    folder: Path
    """For pools and trials; goes at the end."""

    def trial(self, method: str, section: Mapping[str, Any], **changes: Any) -> Trial:
        """Return a trial of a method under a training section with changes."""
        (trial,) = made_trials([method], {**section, **changes}, threads=1)
        return trial

    def pool(self, trial: Trial, margin: int = 0) -> FacePool:
        """Return a pool of noise, made once, whose crops have ``margin`` pixels more than the trial's images."""
        size = trial.training.image_size + margin
        place = self.folder / f"pool-{size}"
        return FacePool.open(place) if place.exists() else made_pool(place, size)


class DeviceCheck(Check):
    """A part that works on the device itself, a row for each method."""

    first_seconds: ClassVar[float] = 0.0
    """What the first method takes on a GPU."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def expected_seconds(self) -> float:
        """Return how long an item is expected to take before one was measured."""
        return self.first_seconds if self._place.device.type == "cuda" else 0.0


def scored_roles(pool: FacePool) -> Roles:
    """Return roles under which half of a made pool's faces train, and a quarter each are source-dev and target."""
    quarter = np.arange(len(pool)) % 4
    number = {name: position for position, name in enumerate(DOMAINS)}
    domain_id = np.array([number[str(name)] for name in pool.index.domain], dtype=np.int64)
    domain_id[quarter == 3] = -1
    train, dev, target = (np.flatnonzero(np.isin(quarter, which)) for which in ([0, 1], [2], [3]))
    return Roles(train, dev, target, DOMAINS, domain_id)


def device_facts(device: torch.device) -> dict[str, str | int | float]:
    """Return what a reader must know of the device."""
    if device.type != "cuda":
        return {"name": "CPU", "cpus": usable_cores(), "machine": platform.machine()}
    facts = torch.cuda.get_device_properties(device)
    return {
        "name": facts.name,
        "memory_GiB": facts.total_memory / _GIB,
        "multiprocessors": facts.multi_processor_count,
        "capability": f"{facts.major}.{facts.minor}",
        "driver": driver_version() or "unknown",
        "MPS": "on" if mps_runs(os.environ) else "off",
        "cpus": usable_cores(),
    }


def software() -> dict[str, str]:
    """Return the versions that the figures depend on."""
    return {
        "fasray": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "CUDA": str(torch.version.cuda or "none"),
        "cuDNN": str(torch.backends.cudnn.version() or "none"),  # type: ignore[no-untyped-call]
        "numpy": np.__version__,
    }
