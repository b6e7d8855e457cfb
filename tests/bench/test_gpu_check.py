"""``gpu-check`` in miniature on the CPU: the record, the page, the time budget, and what it calls wrong."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from locations import ROOT
from torch import Tensor

from fasray.bench.gpu import PACKAGES
from fasray.bench.gpu.check import Check, run_checks
from fasray.bench.gpu.command import CHECKS, gpu_check
from fasray.bench.gpu.numbers import Correctness
from fasray.bench.gpu.page import page
from fasray.bench.gpu.record import Part, Record, Row
from fasray.bench.gpu.speed import Prices, Sharing, union
from fasray.bench.gpu.workplace import MINIATURE, Workplace
from fasray.cli import cli
from fasray.errors import RunFailedError, SpecError
from fasray.methods import registry
from fasray.methods.base import Draw, StepContext
from fasray.methods.erm import ERM


def record_of(*parts: Part, minutes: float = 1) -> Record:
    return Record(
        check="gpu-check", minutes=minutes, complete=True, device={"name": "Toy 1"}, versions={}, setting={},
        parts=list(parts),
    )  # fmt: skip


class Toy(Check):
    """Measures by what it is given; an exception is raised."""

    name, title, about, share, judges = "toy", "Toy", "Nothing.", 1.0, True
    columns = {"method": "name", "value": "points"}

    def __init__(self, values: dict[str, float | Exception]) -> None:
        self.values = values

    def measure(self, item: str) -> Row:
        value = self.values[item]
        if isinstance(value, Exception):
            raise value
        return {"method": item, "value": value}

    def wrong(self, rows: Sequence[Row]) -> list[str]:
        return [f"{row['method']}: {row['value']} points" for row in rows if row["value"] < 0]

    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        return {"training": {"points": len(rows)}}


def ran(folder: Path, *checks: Check, items: Sequence[str] = ("a", "b"), minutes: float = 1) -> Record:
    return run_checks(record_of(minutes=minutes), checks, items, folder, lambda text: None)


def test_an_exception_ends_an_item_and_nothing_else(tmp_path: Path) -> None:
    error = torch.OutOfMemoryError("no room\nfor more")
    found = ran(tmp_path, Toy({"a": error, "b": 3.0}), Toy({"a": error, "b": error}), Toy({"a": 1.0, "b": 2.0}))
    assert [(part.status, len(part.rows)) for part in found.parts] == [("partly", 1), ("failed", 0), ("done", 2)]
    assert found.parts[0].reason == "a: OutOfMemoryError: no room"
    assert Record.model_validate_json((tmp_path / "gpu-check.json").read_text()) == found
    text = (tmp_path / "gpu-check.md").read_text()
    assert "**Nothing is wrong** in: toy (only b); toy. **Not checked**: toy." in text
    assert "points: 2" in text


def test_a_part_without_time_is_skipped_with_the_reason(tmp_path: Path) -> None:
    found = ran(tmp_path, Toy({"a": 1.0, "b": 2.0}), minutes=-1)
    (part,) = found.parts
    assert (part.status, part.reason, part.rows) == ("skipped", "no time was left for a, b", [])


def test_a_wrong_result_is_the_first_that_the_page_says(tmp_path: Path) -> None:
    found = ran(tmp_path, Toy({"a": -1.0, "b": 2.0}))
    assert found.wrong == ["a: -1.0 points"]
    assert page(found).index("WRONG RESULTS") < page(found).index("a: -1.0 points") < page(found).index("What to set")


def test_right_numbers_settings_and_waiting_are_measured_on_a_cpu(tmp_path: Path) -> None:
    """The very code that runs on a card: this device is the CPU itself, so every float32 distance is zero."""
    parts = ["correctness", "resume", "waiting", "prices", "residence"]
    found = gpu_check(tmp_path, minutes=1, device="cpu", methods=["erm"], parts=parts)
    assert found.complete
    assert [(part.name, part.status) for part in found.parts] == [(name, "done") for name in parts]
    assert not found.wrong
    exact, resume, waiting, prices, residence = (part.rows for part in found.parts)
    assert [row["method"] for row in exact] == ["erm"]
    for row in exact:
        assert row["pixels"] == row["published pixels"] == row["loss"] == row["gradient"] == row["score"] == 0
        assert row["bf16 gradient"] == row["CPU bf16 gradient"] > 0
    assert all(row["equal"] for row in resume)
    assert all(0 < row["bf16 busy %"] <= 100 for row in waiting)
    assert all(row[name] > 0 for row in prices for name in ("fp32", "bf16", "fp32 free", "bf16 free"))
    assert all(row[name] > 0 for row in residence for name in ("resident", "prefetch", "direct"))
    assert "**Nothing is wrong**" in (tmp_path / "gpu-check.md").read_text()


def test_a_device_that_computes_other_numbers_is_found(tmp_path: Path) -> None:
    check = Correctness(Workplace(torch.device("cpu"), MINIATURE, tmp_path))
    good: Row = {**dict.fromkeys(check.columns, 0.0), "method": "erm", "resampled": ["published pixels"]}
    assert check.wrong([good]) == []
    for name, value in (
        ("pixels", 1e-6),
        ("published pixels", 0.01),
        ("gradient", 0.02),
        ("loss", float("nan")),
        ("bf16 score", 0.03),
    ):
        (line,) = check.wrong([good | {name: value}])
        assert line.startswith(f"erm: {name} differs from the CPU's by ")
    assert check.wrong([good | {"published pixels": 1e-4}]) == []
    assert check.wrong([good | {"bf16 gradient": 0.9, "CPU bf16 gradient": 0.45}]) == []


def test_settings_follow_the_figures(tmp_path: Path) -> None:
    place = Workplace(torch.device("cpu"), MINIATURE, tmp_path)
    fast: Row = {"method": "erm", "fp32": 100.0, "bf16": 150.0, "fp32 free": 110.0, "bf16 free": 160.0}
    assert Prices(place).settings([fast]) == {"training": {"precision": "bf16"}}
    assert Prices(place).settings([fast | {"bf16": 90.0}]) == {}
    shared = [{"best": 3, "ratio": 1.5}, {"best": 3, "ratio": 1.4}, {"best": 2, "ratio": 1.01}]
    assert Sharing(place).settings(shared)["resources"]["most_per_gpu"] == 3


def test_busy_time_counts_kernels_at_the_same_time_once() -> None:
    assert union([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    with pytest.raises(RunFailedError, match="saw no work"):
        union([])


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is no part 'correctnes'"):
        gpu_check(tmp_path, device="cpu", parts=["correctnes"])


class Drifting(ERM):
    """Takes another step each time, as a device with a fault does."""

    name = "drifting"
    steps = 0

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        Drifting.steps += 1
        moved = [replace(draw, views=tuple(view / Drifting.steps for view in draw.views)) for draw in draws]
        return super().step(moved, ctx)


def test_wrong_results_end_the_command_with_an_error(tmp_path: Path) -> None:
    arguments = ["bench", "gpu-check", "--device", "cpu", "--methods", Drifting.name, "--parts", "correctness"]
    with registry.registered(Drifting):
        said = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path)])
    assert isinstance(said.exception, RunFailedError)
    assert "results on this device are wrong, the first: drifting: loss differs" in str(said.exception)
    assert "WRONG RESULTS" in said.stdout


HIDING = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, *more):
        return None if name.partition(".")[0] in {hidden!r} else self.finder.find_spec(name, *more)

sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


def without_other_packages(statement: str) -> list[str]:
    """Return a command that runs a statement where the named packages, and what they require, are all there is."""
    there = needed(set(map(plain, PACKAGES))) | {"fasray", "setuptools"}
    hidden = sorted(
        name for name, owners in metadata.packages_distributions().items() if not there & set(map(plain, owners))
    )
    return [sys.executable, "-c", HIDING.format(hidden=hidden) + statement]


def test_nothing_is_imported_but_the_packages_that_are_named() -> None:
    """``make gpu-check`` and ``bench train`` are for rented machines, where Ray and the like are not installed."""
    assert {"ray", "pandas", "hyperopt", "cv2"} <= set(metadata.packages_distributions())
    modules = "fasray.cli.bench, fasray.bench.gpu.command, fasray.bench.training"
    assert subprocess.run(without_other_packages(f"import {modules}"), timeout=120).returncode == 0
    assert f"pip install {' '.join(PACKAGES)}" in (ROOT / "Makefile").read_text()


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(names: set[str]) -> set[str]:
    """Return packages with all that they require, extras left out."""
    found: set[str] = set()
    while names - found:
        name = (names - found).pop()
        found.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            required = [line for line in metadata.requires(name) or [] if "extra ==" not in line]
            names |= {plain(re.match(r"[\w.-]+", line)[0]) for line in required}
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_check_runs_without_other_packages(tmp_path: Path) -> None:
    """All parts and methods by the command; those for which a busy machine leaves no time say so."""
    arguments = ["bench", "gpu-check", "--device", "cpu", "--minutes", "3", "--out", str(tmp_path)]
    command = without_other_packages(f"sys.argv = {['fasray', *arguments]!r}; import fasray.__main__")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "gpu-check.json").read_text())
    assert [part["name"] for part in found["parts"]] == [check.name for check in CHECKS]
    for part in found["parts"]:
        assert part["status"] == "done" or "no time was left for" in part["reason"], part
    measured = [row["method"] for row in found["parts"][0]["rows"]]
    assert measured == list(registry.names())[: len(measured)] != []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_sweeps_share_a_logical_gpu_and_a_killed_one_ends_in_the_same_table(tmp_path: Path) -> None:
    arguments = ["bench", "gpu-check-ray", "--device", "cpu", "--methods", "erm", "--minutes", "12"]
    ran = subprocess.run(
        [sys.executable, "-m", "fasray", *arguments, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert ran.returncode == 0, ran.stderr
    found = Record.model_validate_json((tmp_path / "gpu-check-ray.json").read_text())
    sweep, methods, killed = found.parts
    assert [part.status for part in found.parts] == ["done"] * 3
    assert [(row["trials"], row["failed"], row["out of memory"]) for row in sweep.rows] == [(4, 0, 0)] * 2
    assert all(0 < row["held %"] <= 100 for row in sweep.rows)
    assert 0 < methods.rows[0]["share"] < 1  # 3 GiB of 16, on as many cores as there are
    assert killed.rows[0]["equal"]
    assert "# gpu-check-ray: CPU" in ran.stdout
