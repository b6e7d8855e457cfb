"""Seconds that the engine itself takes for a trial: a sweep of a method that does nothing, in reused processes."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fasray.bench.measurement import Benchmark, Measurement, machine, scratch
from fasray.bench.synthetic_runs import synthetic_spec
from fasray.errors import RunFailedError
from fasray.execution.engine import run_sweep
from fasray.execution.listener import Listener
from fasray.methods.registry import GROUP, registered
from fasray.sweep.progress import Progress

_WARM_UP = 0.1
"""Share of the trials that are not counted."""
_PARTS = 5
_PYTHONPATH = "PYTHONPATH"


@dataclass(frozen=True)
class _Seen:
    """Progress of the sweep and memory of the driver at one moment."""

    at: float
    done: int
    resident_bytes: int


class _Watch(Listener):
    """Records progress and memory whenever the engine reports."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.seen: list[_Seen] = []
        self._say = say

    def on_stage(self, what: str) -> None:
        self._say(what)

    def on_progress(self, progress: Progress) -> None:
        self.seen.append(_Seen(time.perf_counter(), progress.done + progress.stopped, _resident_bytes()))


def measure_engine(
    trials: int = 300,
    cells: int = 12,
    say: Callable[[str], None] = lambda text: None,
    verbose: bool = False,
) -> Benchmark:
    """Run a sweep of a method that does nothing, in a private Ray on generated faces, as ``fasray sweep`` runs it.

    Args:
        trials: of all cells together, of one step and one evaluation each.
        cells: one to twelve.
        say: called with what begins.
        verbose: let Ray's own messages through.

    Raises:
        RunFailedError: a trial failed.
    """
    from fasray.bench.noop_method import NoOp
    from fasray.faces.synthetic import generate

    watch = _Watch(say)
    with scratch() as folder, registered(NoOp), _installed_for_ray(folder / "site", NoOp):
        say("generating a few faces")
        data = str(folder / "faces")
        generate(data, subjects=4, domains="OCIM", image_size=32, processes=1)
        outcome = run_sweep(synthetic_spec(data, NoOp.name, trials, cells, 1), str(folder / "run"), watch, verbose)
    if outcome.failures:
        raise RunFailedError(
            f"a trial of the benchmark failed: {outcome.failures[0]}", remedy="-v shows Ray's messages"
        )
    warm = [seen for seen in watch.seen if seen.done >= _WARM_UP * outcome.trials]
    begin, most = warm[0].resident_bytes, max(seen.resident_bytes for seen in warm)
    return Benchmark(
        "engine",
        "s",
        (Measurement("trial", "a trial that does nothing, in a reused process", _paces(warm), baseline=False),),
        lower_is_better=True,
        facts={
            "trials": outcome.trials,
            "cells": cells,
            "driver_MiB_once_warm": begin / 2**20,
            "driver_MiB_at_most": most / 2**20,
            "driver_growth_percent": 100 * (most / begin - 1),
            **machine(),
        },
    )


def _paces(seen: list[_Seen]) -> tuple[float, ...]:
    """Return wall seconds a trial, all that run at once together, in parts of the sweep that are about equal."""
    marks = [seen[round(part * (len(seen) - 1) / _PARTS)] for part in range(_PARTS + 1)]
    pairs = [(one, two) for one, two in zip(marks, marks[1:], strict=False) if two.done > one.done]
    return tuple((two.at - one.at) / (two.done - one.done) for one, two in pairs)


@contextlib.contextmanager
def _installed_for_ray(site: Path, method: type) -> Iterator[None]:
    """Let Ray's processes find a method like those of other packages, by an entry point."""
    info = site / "fasray_bench_method-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fasray-bench-method\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\n{method.__name__.lower()} = {method.__module__}:{method.__qualname__}\n"
    )
    before = os.environ.get(_PYTHONPATH)
    os.environ[_PYTHONPATH] = os.pathsep.join([str(site), *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PYTHONPATH]
        else:
            os.environ[_PYTHONPATH] = before


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
