"""The frames behind the result frame, from a run's files and through the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from locations import GOLDEN
from sklearn.metrics import roc_auc_score

import fasray
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.results.listings import EVALUATION_COLUMNS, SCORE_COLUMNS, TRIAL_COLUMNS
from fasray.results.tables.export import to_parquet
from fasray.results.tables.published import PUBLISHED, PUBLISHED_COLUMNS
from fasray.runs.record import read_run

RUN = str(GOLDEN / "frozen_sweep" / "run")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["results", RUN, *arguments], catch_exceptions=False)


def test_trials_are_those_of_the_log_with_their_searched_settings() -> None:
    frame = fasray.load_trials(RUN)
    records = read_run(RUN).trials
    assert list(frame.columns)[: len(TRIAL_COLUMNS)] == list(TRIAL_COLUMNS)
    assert frame["trial"].tolist() == [record.id for record in records]
    assert frame["config.learning_rate"].tolist() == [record.config["learning_rate"] for record in records]
    assert [json.loads(text) for text in frame["config"]] == [dict(record.config) for record in records]
    for _, cell in frame.groupby(["method", "protocol"]):
        finished = cell[(cell["stage"] == "search") & (cell["status"] == "done")]
        assert cell.loc[cell["winner"], "trial"].tolist() == [
            finished.sort_values("best_source_dev_auc", kind="stable")["trial"].iloc[-1]
        ]


def test_evaluations_are_computed_from_every_score_file() -> None:
    frame = fasray.load_evaluations(RUN)
    assert list(frame.columns) == list(EVALUATION_COLUMNS)
    assert len(frame) == sum(len(record.steps) for record in read_run(RUN).trials)
    logged = {(r.id, reading.step): reading for r in read_run(RUN).trials for reading in r.readings}
    for row in frame.to_dict("records"):
        assert row["source_dev_auc"] == pytest.approx(logged[row["trial"], row["step"]].source_dev_auc, abs=1e-12)
        assert row["worst_source_auc"] <= row["source_dev_auc"] + 1e-12
        assert row["target_eer"] <= 1


def test_scores_are_the_rows_of_the_picked_score_files() -> None:
    frame = fasray.load_scores(RUN)
    results = fasray.load_results(RUN, ["source-dev"])
    assert list(frame.columns) == list(SCORE_COLUMNS)
    row = results[(results["method"] == "erm") & (results["level"] == "video")].iloc[0]
    for trial, step, threshold in zip(row["trials"], row["steps"], row["thresholds"], strict=True):
        here = frame[(frame["trial"] == trial) & (frame["role"] == "target")]
        assert set(here["step"]) == {step}
        assert set(here["threshold"]) == {threshold}
        stored = pq.read_table(Path(RUN) / "trials" / trial / f"eval-{step:08d}.parquet").to_pandas()
        wanted = stored[stored["role"] == "target"]
        np.testing.assert_array_equal(here["score"], wanted["score"])
        videos = here.groupby("video").agg({"score": "mean", "label": "first"})
        assert 0 <= roc_auc_score(videos["label"], videos["score"]) <= 1
    some = fasray.load_scores(RUN, "last", [row["trials"][0]])
    assert set(some["trial"]) == {row["trials"][0]}


def test_what_cannot_be_listed_is_refused() -> None:
    with pytest.raises(SpecError, match="applies to no single confirmed run"):
        fasray.load_scores(RUN, "oracle-search")
    with pytest.raises(DataError, match="no confirmed run 'nobody'"):
        fasray.load_scores(RUN, trials=["nobody"])
    assert command("--what", "trials", "--format", "latex").exit_code == 2
    assert command("--what", "trials", "--select", "last").exit_code == 2
    assert command("--what", "scores", "--published").exit_code == 2
    assert command("--format", "parquet").exit_code == 2


@pytest.mark.parametrize("what", ["trials", "evaluations", "scores"])
def test_every_listing_goes_into_every_format(what: str, tmp_path: Path) -> None:
    load = {"trials": fasray.load_trials, "evaluations": fasray.load_evaluations, "scores": fasray.load_scores}[what]
    frame: pd.DataFrame = load(RUN)
    table, rows = command("--what", what).output, json.loads(command("--what", what, "--format", "json").output)
    assert f"{len(frame)} rows" in table
    assert [row["trial"] for row in rows] == frame["trial"].tolist()
    lines = list(csv.DictReader(io.StringIO(command("--what", what, "--format", "csv").output)))
    assert len(lines) == len(frame)
    assert command("--what", what, "--format", "parquet", "-o", str(tmp_path / "x.parquet")).exit_code == 0
    stored = pq.read_table(tmp_path / "x.parquet")
    assert stored.num_rows == len(frame)
    for name, missing in frame.isna().sum().items():
        assert stored[name].null_count == missing
        if pa.types.is_floating(stored[name].type):
            assert not pc.is_nan(stored[name]).to_pylist().count(True)
    assert command("--what", what, "--format", "md").output.count("\n|") == len(frame) + 1


def test_settings_of_any_kind_go_into_parquet() -> None:
    columns: dict[str, list[Any]] = {
        "config.loss": ["hinge", None, "log"],
        "config.mixed": ["auto", 0.1, True],
        "config.whole": [3, None, 2**40],
        "config.float": [0.5, float("nan"), float("inf")],
        "config.any": [None, None, None],
        "config.switch": [True, None, False],
        "config.sizes": [[1, 2], "all", None],
    }
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    stored = pq.read_table(io.BytesIO(to_parquet(frame))).to_pydict()
    assert stored == {
        **columns,
        "config.mixed": ["auto", "0.1", "true"],
        "config.float": [0.5, None, float("inf")],
        "config.sizes": ["[1, 2]", "all", None],
    }


def test_rules_can_be_chosen_and_a_table_shows_three_unless_told() -> None:
    assert {row["selection"] for row in json.loads(command("--format", "json", "--select", "last").output)} == {"last"}
    header = command().output.splitlines()[0]
    assert "HTER last" in header
    assert "oracle-search" not in header
    chosen = command("--select", "worst-source", "--select", "oracle-min-hter", "--select", "mean-of-last-1").output
    assert "HTER worst-source" in chosen
    assert "HTER oracle-min-hter\u2020" in chosen
    assert "HTER mean-of-last-1" in chosen
    assert "\u2020 oracle-min-hter: step and threshold of the least HTER on the target itself" in chosen


def test_published_figures_say_how_far_they_are_verified() -> None:
    assert {figure.status for figure in PUBLISHED} == {"V", "R", "-"}
    assert all((figure.hter == figure.hter) == (figure.status != "-") for figure in PUBLISHED)
    found = {(figure.name, figure.protocol): figure for figure in PUBLISHED}
    assert len(found) == len(PUBLISHED)
    ssdg = found["SSDG-R", "O&C&I->M"]
    assert (ssdg.hter, ssdg.auc, ssdg.status, ssdg.method) == (0.0738, 0.9717, "V", "ssdg")
    assert "target" in ssdg.rule
    assert found["HFN+MP", "O&C&I->M"].status == "R"
    assert {figure.status for figure in PUBLISHED if figure.method in ("oneside_triplet", "sdfanet")} == {"-"}


def test_published_figures_stand_beside_ours(tmp_path: Path) -> None:
    from score_runs import MadeTrial, make_run

    from fasray.results.frame import results_frame
    from fasray.results.tables import export, latex
    from fasray.results.tables import text as tables
    from fasray.results.tables.published import with_published

    trials = [
        MadeTrial("a", method="ssdg", protocol="O&C&I->M"),
        MadeTrial("b", method="sdfanet", protocol="O&C&I->M"),
        MadeTrial("c", method="hfn_mp", protocol="I&C&M->O"),
    ]
    frame = results_frame(make_run(tmp_path, trials), ["source-dev", "oracle"])
    text = tables.to_text(tables.grid(frame, published=PUBLISHED))
    assert "7.38 (SSDG-R) 16.67 (SSDG-M)" in text
    assert "SSDG-R (published): mean of two frames a video" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith(("sdfanet", "hfn_mp"))}
    assert lines["sdfanet"][-3:] == ["-", "-", "-"]
    assert lines["hfn_mp"][-3:] == ["12.40", "94.26", "R"]
    both = with_published(frame, PUBLISHED)
    assert list(both.columns) == [*frame.columns, *PUBLISHED_COLUMNS]
    theirs = both[both["selection"] == "published"]
    assert set(theirs["protocol"]) == {"O&C&I->M", "I&C&M->O"}
    assert both[both["selection"] != "published"]["status"].eq("").all()
    assert json.loads(export.to_json(both))[-1]["oracle"] is True
    assert len(list(csv.DictReader(io.StringIO(export.to_csv(both))))) == len(both)
    tex = latex.to_latex(frame, published=PUBLISHED)
    assert "SSDG-R (V) & 7.38 & 97.17" in tex
    assert "HFN+MP (R)" in tex


def test_published_goes_into_parquet(tmp_path: Path) -> None:
    target = tmp_path / "both.parquet"
    assert command("--published", "--format", "parquet", "-o", str(target)).exit_code == 0
    assert set(PUBLISHED_COLUMNS) <= set(pq.read_table(target).column_names)
