"""What a run keeps of its videos: found by name, whatever the order, and unknown where nothing is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from protocol_tables import oulu_table, table_of

from fasray.errors import DataError
from fasray.runs.layout import VIDEO_FILE
from fasray.runs.videos import VIDEO_COLUMNS, read_videos, write_videos


def test_each_videos_facts_are_those_of_its_rows(tmp_path: Path) -> None:
    table = oulu_table()
    write_videos(str(tmp_path), table)
    facts = read_videos(str(tmp_path))
    assert facts is not None
    rows = np.random.default_rng(0).permutation(len(table))[:500]
    for name in VIDEO_COLUMNS:
        assert facts.of_videos(name, table.video[rows]).tolist() == getattr(table, name)[rows].tolist()


def test_what_is_not_known_is_empty(tmp_path: Path) -> None:
    people = {"domain": "CeFA", "subject": "CeFA-1"}
    write_videos(str(tmp_path), table_of([{**people, "video": "b", "sex": "female"}, {**people, "video": "d"}]))
    facts = read_videos(str(tmp_path))
    assert facts is not None
    assert facts.of_videos("sex", np.array(["z", "b", "a", "d", "c"])).tolist() == ["", "female", "", "", ""]
    write_videos(str(tmp_path), table_of([{**people, "video": "b", "sex": "male"}]))
    assert read_videos(str(tmp_path)).of_videos("sex", np.array(["b"])).tolist() == ["female"]


def test_a_run_of_before_has_none_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_videos(str(tmp_path)) is None
    (tmp_path / VIDEO_FILE).write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"videos is damaged") as caught:
        read_videos(str(tmp_path))
    assert str(tmp_path / VIDEO_FILE) in str(caught.value)
