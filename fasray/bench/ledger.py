"""How long it takes to list, to resume and to tabulate a long run in which nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable

from fasray.bench.measurement import Benchmark, Measurement, machine, scratch, timed
from fasray.bench.synthetic_runs import synthetic_spec, write_synthetic_run
from fasray.errors import RunFailedError
from fasray.execution.engine import run_sweep
from fasray.faces.data_source import resolve_dataset
from fasray.results.load import load_results, load_trials
from fasray.results.tables.text import TABLE_SELECTIONS
from fasray.runs.layout import RESULTS_CACHE


def measure_ledger(
    trials: int = 10_000,
    evaluations: int = 20,
    cells: int = 12,
    repetitions: int = 3,
    say: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Write a finished run of so many trials and time what a user asks of it, without the imports of Python modules.

    Args:
        trials: of all cells together, five of each cell confirming.
        evaluations: of each trial.
        cells: one to twelve.
        repetitions: of each reading; of the table without a cache there is one.
        say: called with what begins.

    Raises:
        RunFailedError: resuming the finished run trained something.
    """
    from fasray.faces.synthetic import generate

    with scratch() as folder:
        data, run = str(folder / "faces"), folder / "run"
        generate(data, subjects=4, domains="OCIM", image_size=32, processes=1)
        spec = synthetic_spec(data, "erm", trials, cells, evaluations)
        say(f"writing a run of {trials} trials with {evaluations} evaluations each")
        written = write_synthetic_run(run, spec, resolve_dataset(spec.data))

        def resume() -> None:
            if run_sweep(spec, str(run)).trained_now:
                raise RunFailedError("resuming a finished run trained something")

        def tabulate() -> None:
            load_results(str(run), TABLE_SELECTIONS)

        say("listing, resuming, tabulating")
        listed = timed(lambda: load_trials(str(run)), repetitions)
        resumed = timed(resume, repetitions)
        first, again = timed(tabulate, 1), timed(tabulate, repetitions)
        rows = (
            Measurement("table", "tabulated", again, baseline=False),
            Measurement("first_table", "tabulated for the first time, without a cache", first),
            Measurement("list", "listed", listed, baseline=False),
            Measurement("resume", "resumed, with nothing to do", resumed, baseline=False),
        )
        cache = (run / RESULTS_CACHE).stat().st_size if (run / RESULTS_CACHE).exists() else 0
    return Benchmark(
        "ledger",
        "s",
        rows,
        lower_is_better=True,
        facts={
            "trials": written,
            "evaluations_each": evaluations,
            "cells": cells,
            "all_three_together_s": sum(min(row.values) for row in rows if not row.baseline),
            "cache_bytes": cache,
            **machine(),
        },
    )
