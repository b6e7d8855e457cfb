"""What a run took adds up from evaluations to trials, cells and the sweep, and what nobody measured is told."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner
from locations import GOLDEN
from score_runs import MadeTrial, made_reading, records

import fasray
from fasray.cli import cli
from fasray.results.costs import COST_COLUMNS, cost_frame
from fasray.results.report.cost import cost_rows, duration, total
from fasray.runs.reading import Reading

RUN = str(GOLDEN / "frozen_sweep" / "run")


def reading(step: int, cpu: float | None = 2.0) -> Reading:
    if cpu is None:
        return made_reading(step, 0.5, seconds=0.0)
    return made_reading(step, 0.5, cpu_seconds=cpu, gpu_seconds=0.5, bytes_read=100, bytes_written=7)


def command(*arguments: str) -> str:
    ran = CliRunner().invoke(cli, ["results", RUN, "--what", "cost", *arguments], catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.output


def test_evaluations_add_up_to_cells_and_cells_to_the_sweep() -> None:
    trials = [
        MadeTrial("a", protocol="C&M->I", stage="search", steps=(10,), readings=(reading(10),)),
        MadeTrial("b", protocol="C&I->M", steps=(10, 20), readings=(reading(10, 1.0), reading(20, 4.0))),
        MadeTrial("c", protocol="C&M->I", variant="no x", steps=(10,), readings=(reading(10, 8.0),)),
        MadeTrial("d", protocol="C&M->I", status="failed", steps=()),
    ]
    frame = cost_frame(records(trials))
    assert list(frame.columns) == list(COST_COLUMNS)
    assert frame[["scope", "protocol", "n_trials", "optimizer_steps"]].to_numpy().tolist() == [
        ["cell", "C&M->I", 3, 20], ["cell", "C&I->M", 1, 20], ["sweep", "", 4, 40],
    ]  # fmt: skip
    assert frame["cpu_seconds"].tolist() == [10, 5, 15]
    assert frame["gpu_seconds"].tolist() == [1, 1, 2]
    assert frame["bytes_read"].tolist() == [200, 200, 400]
    assert frame["seconds"].tolist() == [3, 3, 6]
    assert frame["n_unmeasured"].tolist() == [0, 0, 0]


def test_the_share_of_evaluating_is_of_the_seconds_of_those_that_say_it() -> None:
    def took(step: int, seconds: float, evaluating: float | None) -> Reading:
        return made_reading(step, 0.5, seconds=seconds, evaluation_seconds=evaluating)

    trials = [
        MadeTrial("a", protocol="C&M->I", steps=(10, 20), readings=(took(10, 4.0, 1.0), took(20, 100.0, None))),
        MadeTrial("b", protocol="C&I->M", steps=(10,), readings=(took(10, 100.0, None),)),
        MadeTrial("c", protocol="C&M->I", steps=(10,), readings=(took(10, 6.0, 4.0),)),
    ]
    first, second, sweep = cost_frame(records(trials))["evaluation_share"].tolist()
    assert (first, sweep) == (0.5, 0.5)
    assert math.isnan(second)


def test_what_was_not_measured_is_left_out_and_counted() -> None:
    trials = [
        MadeTrial("a", protocol="C&M->I", steps=(10, 20), readings=(reading(10, None), reading(20, 3.0))),
        MadeTrial("b", protocol="C&I->M", steps=(10,), readings=(reading(10, None),)),
    ]
    frame = cost_frame(records(trials))
    assert frame["n_unmeasured"].tolist() == [1, 1, 2]
    assert frame["cpu_seconds"].tolist()[0] == 3
    assert math.isnan(frame["cpu_seconds"].tolist()[1])
    assert frame["bytes_written"].tolist()[2] == 7


def test_a_run_without_accounting_has_seconds_and_empty_figures_in_every_format(tmp_path: Path) -> None:
    trials, costs = fasray.load_trials(RUN), fasray.load_costs(RUN)
    for row in costs.to_dict("records"):
        cell = trials if row["scope"] == "sweep" else trials[trials["method"] == row["method"]]
        cell = cell if row["scope"] == "sweep" else cell[cell["protocol"] == row["protocol"]]
        assert row["seconds"] == cell["seconds"].sum() > 0
        assert row["n_unmeasured"] == row["n_evaluations"] == cell["evaluations"].sum()
    assert costs["cpu_seconds"].isna().all()
    assert trials["bytes_read"].isna().all()
    rows = json.loads(command("--format", "json"))
    assert [row["scope"] for row in rows] == ["cell"] * 4 + ["sweep"]
    assert {row["gpu_seconds"] for row in rows} == {None}
    assert {line["gpu_seconds"] for line in csv.DictReader(io.StringIO(command("--format", "csv")))} == {""}
    command("--format", "parquet", "-o", str(tmp_path / "cost.parquet"))
    assert pq.read_table(tmp_path / "cost.parquet")["n_trials"].to_pylist() == costs["n_trials"].tolist()
    assert "5 rows" in command()
    assert command("--format", "md").count("\n|") == 6


def test_the_report_tells_the_same_and_a_dash_where_nobody_measured() -> None:
    measured, unknown = records(
        [
            MadeTrial("a", protocol="C&M->I", stage="search", steps=(10,), readings=(reading(10),)),
            MadeTrial("b", protocol="C&I->M", steps=(10,), readings=(reading(10, None),)),
        ]
    )
    rows = cost_rows({("erm", trial.protocol): [trial] for trial in (measured, unknown)})
    assert [(row.cpu, row.gpu) for row in rows[:1]] == [(2.0, 0.5)]
    assert [duration(rows[1].cpu), duration(rows[1].gpu)] == ["-", "-"]
    frame = cost_frame([measured, unknown])
    assert (total(rows).cpu, total(rows).gpu) == tuple(frame[["cpu_seconds", "gpu_seconds"]].iloc[-1])
