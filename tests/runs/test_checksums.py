"""Every file that an evaluation leaves is on record by its SHA-256, in a run that was interrupted as well."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fasray.errors import DataError
from fasray.runs.checksums import Files, read_files, record_files


def leave(folder: Path, step: int, scores: bytes, weights: str | None) -> None:
    (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    (folder / f"eval-{step:08d}.parquet").write_bytes(scores)
    if weights:
        (folder / "checkpoint" / f"step-{step:08d}.json").write_text(f'{{"sha256": "{weights}"}}')


def test_each_evaluation_is_added(tmp_path: Path) -> None:
    leave(tmp_path, 2, b"two", "w2")
    record_files(str(tmp_path), 2, renew=True)
    leave(tmp_path, 4, b"four", None)
    record_files(str(tmp_path), 4, renew=True)
    expected = {2: hashlib.sha256(b"two").hexdigest(), 4: hashlib.sha256(b"four").hexdigest()}
    assert read_files(str(tmp_path)) == Files(scores=expected, checkpoints={2: "w2"})


def test_going_on_with_a_trial_does_not_put_a_changed_file_on_record(tmp_path: Path) -> None:
    leave(tmp_path, 2, b"two", "w2")
    record_files(str(tmp_path), 2, renew=True)
    before = read_files(str(tmp_path))
    leave(tmp_path, 2, b"changed", "w9")
    record_files(str(tmp_path), 2, renew=False)
    assert read_files(str(tmp_path)) == before
    record_files(str(tmp_path), 2, renew=True)
    assert read_files(str(tmp_path)) != before


def test_a_run_without_a_record_has_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert read_files(str(tmp_path)) is None
    (tmp_path / "files.json").write_text("{")
    with pytest.raises(DataError, match=r"files is damaged"):
        read_files(str(tmp_path))
