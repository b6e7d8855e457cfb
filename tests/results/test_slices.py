"""Figures by group are those of the group's own videos, and a group of few people says so."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from score_runs import MadeTrial, score_path, score_table, write_record, write_scores
from sklearn.metrics import roc_auc_score

import fasray
from fasray.cli import cli
from fasray.errors import SpecError
from fasray.results.calibrated import calibration_frame, calibration_grid
from fasray.results.frame import compute_results
from fasray.results.report import build_report
from fasray.results.report.page import to_html
from fasray.results.slices import FEW_IN_GROUP, SLICE_COLUMNS, UNKNOWN, slices_frame, slices_grid
from fasray.results.tables.text import TABLE_SELECTIONS, to_text
from fasray.results.transfer import gap_frame, gap_grid, thresholds_frame, thresholds_grid
from fasray.runs.record import RunRecord
from fasray.runs.videos import write_videos


def made(folder: Path, videos: int = 96) -> RunRecord:
    """Two seeds; the camera ``dim`` makes live faces look like attacks, and three people are young."""
    trials = [MadeTrial(f"erm{seed}", seed=seed, steps=(10,)) for seed in (0, 1)]
    for trial in trials:
        columns = score_table(np.random.default_rng(trial.seed), 0.5, 0.5, videos=videos, frames=2)
        columns["instrument"] = [
            {"print": "printer1", "replay": "pad"}.get(kind, "") for kind in columns["attack_type"]
        ]
        dim = [
            label == 1 and number_of(name) % 4 == 1
            for label, name in zip(columns["label"], columns["video"], strict=True)
        ]
        columns["score"] = [score - 0.35 * shifted for score, shifted in zip(columns["score"], dim, strict=True)]
        write_scores(score_path(folder, trial.id, 10), trial.id, 10, columns)
    run = write_record(folder, trials)
    names = sorted({*columns["video"]})
    facts: dict[str, Any] = {name: np.full(len(names), "") for name in ("session", "ethnicity", "sex", "modality")}
    facts["video"] = np.array(names)
    facts["camera"] = np.array(["dim" if number_of(name) % 4 == 1 else "bright" for name in names])
    facts["age_group"] = np.array(["young" if number_of(name) < 12 else "" for name in names])
    write_videos(run.uri, cast(Any, SimpleNamespace(**facts)))
    return run


def number_of(video: str) -> int:
    return int(video.partition("-v")[2])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return made(tmp_path_factory.mktemp("sliced") / "run")


def test_every_figure_is_that_of_the_groups_own_videos(run: RunRecord) -> None:
    frame = slices_frame(run, resamples=100)
    assert list(frame.columns) == list(SLICE_COLUMNS)
    scores = fasray.load_scores(run.uri).query("role == 'target'")
    videos = scores.groupby(["trial", "video"], as_index=False).first().drop(columns="score")
    videos = videos.merge(scores.groupby(["trial", "video"], as_index=False)["score"].mean())
    videos["camera"] = ["dim" if number_of(name) % 4 == 1 else "bright" for name in videos["video"]]
    videos["accepted"] = videos["score"] >= videos["threshold"]
    assert set(frame["by"]) == {"all", "attack_type", "instrument", "camera", "age_group"}

    def of_group(rows: pd.DataFrame, figure: str) -> float:
        live, attacks = rows[rows["label"] == 1], rows[rows["label"] == 0]
        rates = {
            "far": attacks["accepted"].mean(),
            "apcer": attacks.groupby("attack_type")["accepted"].mean().max(),
            "bpcer": 1 - live["accepted"].mean(),
        }
        rates["hter"] = (rates["far"] + rates["bpcer"]) / 2
        return float(rates[figure] if figure in rates else roc_auc_score(rows["label"], rows["score"]))

    compared = 0
    for row in frame[frame["by"].isin(["all", "camera", "attack_type"])].to_dict("records"):
        here = videos if row["by"] == "all" else videos[videos[row["by"]] == row["group"]]
        expected = np.mean([of_group(rows, row["figure"]) for _, rows in here.groupby("trial")])
        assert row["value"] == pytest.approx(expected, abs=1e-12), row
        compared += 1
    assert compared == 5 + 2 + 5 + 1  # the dim camera saw no attack


def test_the_worst_group_and_how_far_it_is_behind_are_named(run: RunRecord) -> None:
    frame = slices_frame(run, by=["camera"])
    bpcer = frame[frame["figure"] == "bpcer"].set_index("group")
    assert bpcer["worst"].to_dict() == {"all": False, "bright": False, "dim": True}
    assert bpcer.loc["dim", "gap"] == pytest.approx(bpcer.loc["dim", "value"] - bpcer.loc["bright", "value"])
    assert bpcer.loc["dim", "gap_lower"] > 0
    assert math.isnan(bpcer.loc["bright", "gap"])


def test_a_group_of_few_people_warns_and_is_neither_best_nor_worst(run: RunRecord) -> None:
    frame = slices_frame(run, by=["age_group"]).query("by == 'age_group' and figure == 'bpcer'").set_index("group")
    assert frame.loc["young", ["subjects", "few_subjects"]].tolist() == [3, True]
    assert frame.loc[UNKNOWN, "subjects"] >= FEW_IN_GROUP
    assert not frame["worst"].any()
    text = to_text(slices_grid(slices_frame(run, by=["age_group"])))
    assert "young !" in text
    assert "fewer than 10 subjects" in text


def test_a_run_of_before_has_the_columns_of_its_score_files(run: RunRecord, tmp_path: Path) -> None:
    old = made(tmp_path / "old", videos=24)
    (tmp_path / "old" / "videos.parquet").unlink()
    assert set(slices_frame(old, resamples=100)["by"]) == {"all", "attack_type", "instrument"}
    with pytest.raises(SpecError, match="applies to no single confirmed run"):
        slices_frame(old, "oracle-search")


def test_the_report_has_the_slices_of_each_cell(run: RunRecord) -> None:
    report = build_report(run, compute_results(run, TABLE_SELECTIONS, resamples=0), with_pictures=False)
    (cell,) = report.cells
    assert cell.groups is not None
    whole, of_command = cell.groups.rows, slices_grid(slices_frame(run)).rows
    assert [row[:2] for row in whole] == [row[2:4] for row in of_command]
    assert [cells.split()[0] for row in whole for cells in row[2:]] == [
        cells.split()[0] for row in of_command for cells in row[4:]
    ]


def test_the_report_has_thresholds_calibration_and_the_parts_of_the_gap(run: RunRecord) -> None:
    report = build_report(run, compute_results(run, TABLE_SELECTIONS, resamples=0), with_pictures=False)
    (cell,) = report.cells
    assert cell.thresholds is not None
    assert cell.calibration is not None
    assert cell.thresholds.rows == tuple(row[2:] for row in thresholds_grid(thresholds_frame(run)).rows)
    assert cell.calibration.rows == tuple(row[2:] for row in calibration_grid(calibration_frame(run)).rows)
    assert report.gap_parts == gap_grid(gap_frame(run))
    page = to_html(report)
    assert "What of it is due to the step" in page
    assert page.count("Thresholds of source-dev for erm on C&amp;M-&gt;I") == 1


def test_the_command_prints_slices_in_percent_and_as_fractions(run: RunRecord) -> None:
    def command(*arguments: str) -> str:
        return (
            CliRunner().invoke(cli, ["results", run.uri, "--what", "slices", *arguments], catch_exceptions=False).output
        )

    assert "C&M->I    camera       dim" in command()
    assert command("--format", "csv").splitlines()[0] == ",".join(SLICE_COLUMNS)
