"""Score files are read as they were written, and broken ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from score_runs import score_table, write_scores
from sklearn.metrics import roc_auc_score

from fasray.errors import DataError
from fasray.results.scores import read_scores


@pytest.fixture
def columns() -> dict[str, list[object]]:
    return score_table(np.random.default_rng(0), 0.3, 0.1)


def test_a_score_file_reads_back_by_role(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    write_scores(tmp_path / "a.parquet", "t1", 20, columns)
    found = read_scores(str(tmp_path / "a.parquet"))
    assert (found.trial, found.step) == ("t1", 20)
    assert set(found.source_dev.domain) == {"C", "M"}
    assert set(found.target.domain) == {"I"}
    role = np.array(columns["role"])
    np.testing.assert_array_equal(found.target.score, np.array(columns["score"])[role == "target"])
    assert len(found.target.videos.video) == 12
    assert found.target.videos.frames.tolist() == [3] * 12


def test_frame_level_source_dev_counts_frames(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    write_scores(tmp_path / "a.parquet", "t1", 20, columns)
    found = read_scores(str(tmp_path / "a.parquet"))
    expected = []
    for domain in ("C", "M"):
        here = np.array(columns["domain"]) == domain
        expected.append(roc_auc_score(np.array(columns["label"])[here], np.array(columns["score"])[here]))
    assert found.source_dev_summary("frame").auc == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused_naming_the_file(
    tmp_path: Path, columns: dict[str, list[object]], value: float
) -> None:
    columns["score"][3] = value
    write_scores(tmp_path / "bad.parquet", "t1", 20, columns)
    with pytest.raises(DataError, match="1 of 108 scores are not finite") as error:
        read_scores(str(tmp_path / "bad.parquet"))
    assert error.value.where.endswith("bad.parquet")


def test_damaged_missing_and_foreign_files_are_refused(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="no such file"):
        read_scores(str(path))
    write_scores(path, "t1", 20, columns)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        read_scores(str(path))
    pq.write_table(pa.table({"score": [0.1], "label": ["live"]}), path)
    with pytest.raises(DataError, match="not a score file: check column role, label"):
        read_scores(str(path))


def test_a_file_of_a_sealed_target_has_source_dev_figures_alone(
    tmp_path: Path, columns: dict[str, list[object]]
) -> None:
    path = tmp_path / "a.parquet"
    write_scores(path, "t1", 20, {**columns, "role": ["source-dev"] * len(columns["role"])})
    evaluation = read_scores(str(path))
    assert len(evaluation.source_dev.score) == len(columns["role"])
    with pytest.raises(DataError, match="no target row was scored at step 20 of trial t1"):
        _ = evaluation.target


def test_a_file_without_identity_is_refused(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    path = tmp_path / "a.parquet"
    write_scores(path, "t1", 20, columns)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    with pytest.raises(DataError, match="name its trial"):
        read_scores(str(path))
