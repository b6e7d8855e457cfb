"""The engine's own share of a sweep, and long runs, stay within what a researcher would wait for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from fasray.bench.ledger import measure_ledger


def bench(*arguments: str) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Run a benchmark in a process of its own; return its readings by row, and its facts."""
    ran = subprocess.run(
        [sys.executable, "-m", "fasray", "bench", *arguments, "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=560,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    return {row["name"]: row["values"] for row in found["rows"]}, found["facts"]


def test_a_made_run_is_listed_resumed_and_tabulated() -> None:
    found = measure_ledger(trials=24, evaluations=2, cells=2, repetitions=1)
    assert {row.name for row in found.rows} == {"list", "resume", "table", "first_table"}
    assert all(len(row.values) == 1 and row.median > 0 for row in found.rows)
    assert (found.facts["trials"], found.facts["cache_bytes"]) == (24, 0)


@pytest.mark.slow
def test_the_engine_spends_at_most_150_ms_a_trial_and_its_memory_stays() -> None:
    """300 trials that do nothing over 12 cells; the best fifth of the sweep counts, for others may be at work here.

    On two idle cores it is a quarter of that throughout.
    """
    rows, facts = bench("engine")
    assert (facts["trials"], facts["cells"]) == (300, 12)
    assert len(rows["trial"]) == 5
    assert min(rows["trial"]) <= 0.15, rows
    assert facts["driver_growth_percent"] <= 10, facts


@pytest.mark.slow
def test_ten_thousand_trials_are_listed_resumed_and_tabulated_in_five_seconds() -> None:
    """Each of the three; the least of three readings, for others may be at work here."""
    rows, facts = bench("ledger")
    assert facts["trials"] >= 9_990
    assert facts["evaluations_each"] == 20
    assert facts["cache_bytes"] > 0
    for name in ("list", "resume", "table"):
        assert min(rows[name]) <= 5, rows
