"""The result of a benchmark: named measurements with their median, some of them baselines."""

from __future__ import annotations

import contextlib
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from fasray.cores import usable_cores
from fasray.faces.loading.pool import POOL_DIR_VARIABLE

_RAY_ADDRESS = "RAY_ADDRESS"


@dataclass(frozen=True)
class Measurement:
    """One thing that was measured several times."""

    name: str
    """Key in the JSON output."""
    title: str
    """What it is, for people."""
    values: tuple[float, ...]
    """One value a repetition, in the benchmark's unit."""
    baseline: bool = True
    """Whether the first row is compared with it."""

    @property
    def median(self) -> float:
        """Median of the repetitions."""
        return median(self.values)


@dataclass(frozen=True)
class Benchmark:
    """The result of one benchmark."""

    name: str
    unit: str
    rows: tuple[Measurement, ...]
    """The first is what the baselines among the others are compared with."""
    lower_is_better: bool
    facts: dict[str, str | int | float] = field(default_factory=dict)
    """What else a reader needs to interpret the figures, by name."""

    def advantage(self, row: Measurement) -> float:
        """Return how many times better the first row is than ``row``; below 1 if it is worse."""
        ours, other = self.rows[0].median, row.median
        return other / ours if self.lower_is_better else ours / other

    def to_json(self) -> dict[str, object]:
        """Return the benchmark as JSON values."""
        return {
            "benchmark": self.name,
            "unit": self.unit,
            "rows": [
                {
                    "name": row.name,
                    "title": row.title,
                    "median": row.median,
                    "values": list(row.values),
                    "ratio": self.advantage(row) if row.baseline else None,
                }
                for row in self.rows
            ],
            "facts": self.facts,
        }


def machine() -> dict[str, str | int | float]:
    """Return what every benchmark states of this machine."""
    return {"cpus": usable_cores(), "python": platform.python_version()}


def timed(
    work: Callable[[], object], repetitions: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """Return the seconds of each repetition."""
    taken = []
    for _ in range(repetitions):
        began = clock()
        work()
        taken.append(clock() - began)
    return tuple(taken)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a temporary folder that also holds the pools, and hide ``RAY_ADDRESS``: benchmarks use a private Ray."""
    with tempfile.TemporaryDirectory(prefix="fasray-bench-") as folder:
        saved = {name: os.environ.pop(name, None) for name in (POOL_DIR_VARIABLE, _RAY_ADDRESS)}
        os.environ[POOL_DIR_VARIABLE] = str(Path(folder) / "pools")
        try:
            yield Path(folder)
        finally:
            os.environ.pop(POOL_DIR_VARIABLE)
            os.environ.update({name: value for name, value in saved.items() if value is not None})
