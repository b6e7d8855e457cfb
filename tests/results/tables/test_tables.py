"""Tables say what the frame says, in percent, with the oracle marked; files keep fractions and stay harmless."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from score_runs import MadeTrial, make_run

from fasray.results.frame import COLUMNS, results_frame
from fasray.results.tables import export
from fasray.results.tables import text as tables


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    trials = [
        MadeTrial("a"),
        MadeTrial("b", seed=1),
        MadeTrial("c", method="safas"),
        MadeTrial("d", method="bad", status="failed"),
    ]
    return results_frame(make_run(tmp_path, trials))


def test_the_text_table_shows_percent_deviation_dagger_and_gap(frame: pd.DataFrame) -> None:
    text = tables.to_text(tables.grid(frame))
    lines = text.splitlines()
    header = lines[0]
    for name in ("HTER", "AUC", "HTER last", "HTER†", "AUC†", "gap HTER", "gap AUC", "source-dev AUC"):
        assert name in header
    honest = frame.query("method == 'erm' and selection == 'source-dev' and level == 'video'").iloc[0]
    assert f"{100 * honest['hter']:.2f} ± {100 * honest['hter_std']:.2f}" in lines[2]
    assert f"{100 * honest['optimism_gap']:+.2f}" in lines[2]
    assert "±" not in lines[3]
    assert "0 (+1 failed)" in lines[4]
    assert "nan" not in text.lower()
    assert "oracle: best step and EER threshold chosen on the target itself" in text


def test_columns_line_up(frame: pd.DataFrame) -> None:
    lines = tables.to_text(tables.grid(frame)).splitlines()
    gaps = [i for i, mark in enumerate(lines[1]) if mark == " "]
    for line in (lines[0], *lines[2:5]):
        assert all(line[i : i + 1] in {" ", ""} for i in gaps)


def test_honest_rows_alone_have_no_dagger(frame: pd.DataFrame) -> None:
    text = tables.to_text(tables.grid(frame[frame["selection"] == "source-dev"]))
    assert "†" not in text
    assert "gap" not in text


def test_acer_columns_appear_with_oulu_protocols(tmp_path: Path) -> None:
    frame = results_frame(make_run(tmp_path, [MadeTrial("a", protocol="oulu-npu-1")]))
    assert "ACER†" in tables.grid(frame).headers


def test_markdown_has_one_cell_per_column(frame: pd.DataFrame) -> None:
    lines = [line for line in tables.to_markdown(tables.grid(frame)).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 3
    assert len({line.count("|") for line in lines}) == 1


def test_json_is_a_list_of_rows_in_fractions_with_null_for_nan(frame: pd.DataFrame) -> None:
    rows = json.loads(export.to_json(frame))
    assert [list(row) for row in rows] == [list(COLUMNS)] * len(frame)
    for row, original in zip(rows, frame.to_dict("records"), strict=True):
        assert row["trials"] == original["trials"]
        if math.isnan(original["hter"]):
            assert row["hter"] is None
        else:
            assert row["hter"] == original["hter"]


def test_csv_reads_back_to_the_same_fractions(frame: pd.DataFrame) -> None:
    rows = list(csv.DictReader(io.StringIO(export.to_csv(frame))))
    assert [row["hter"] for row in rows] == ["" if math.isnan(v) else repr(v) for v in frame["hter"]]
    assert rows[0]["trials"] == "a b"


def test_words_that_a_spreadsheet_would_run_are_quoted(frame: pd.DataFrame) -> None:
    hostile = frame.assign(method="=cmd()")
    rows = list(csv.DictReader(io.StringIO(export.to_csv(hostile))))
    assert {row["method"] for row in rows} == {"'=cmd()"}


def test_parquet_reads_back_whole(frame: pd.DataFrame, tmp_path: Path) -> None:
    target = tmp_path / "results.parquet"
    export.write_parquet(frame, str(target))
    back = pq.read_table(target).to_pylist()
    assert [row["trials"] for row in back] == frame["trials"].tolist()
    assert [row["steps"] for row in back] == frame["steps"].tolist()
    assert {type(row["oracle"]) for row in back} == {bool}
    first = target.read_bytes()
    export.write_parquet(frame, str(target))
    assert target.read_bytes() == first


def test_an_empty_frame_says_so(tmp_path: Path) -> None:
    empty = results_frame(make_run(tmp_path, []))
    assert tables.to_text(tables.grid(empty)) == "no confirmed runs yet\n"
    assert json.loads(export.to_json(empty)) == []
    export.write_parquet(empty, str(tmp_path / "empty.parquet"))
    assert pq.read_table(tmp_path / "empty.parquet").num_rows == 0
