"""A score file that contradicts itself is refused with the row and what helps; one that agrees is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from score_files import Columns, as_parquet, text

from fasray.errors import DataError
from fasray.results.external.evaluate import MetricOptions, evaluate_external
from fasray.results.external.read import read_external

CONTRADICTIONS = {
    "1 is fake": (("1 print", "1 replay", "0 live"), "--live-label 0"),
    "1 is fake, live rows unnamed": (("1 print", "1 replay", "0 "), "--live-label 0"),
    "1 is fake, in other words": (("1 print", "0 Bona-Fide", "0 bona fide"), "--live-label 0"),
    "several codes on live rows": (("1 1", "1 2", "0 0"), "--live-label 0"),
    "one attack is called real": (("1 live", "0 print", "0 real"), "attack_type=-"),
    "one attack is unnamed like the live rows": (("1 ", "0 print", "0 "), "attack_type=-"),
    "one live row is an attack": (("1 live", "1 print", "0 print"), "attack_type=-"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_attack_types_that_contradict_the_labels_are_refused(tmp_path: Path, case: str, kind: str) -> None:
    rows, remedy = CONTRADICTIONS[case]
    label, types = zip(*(row.split(" ", 1) for row in rows), strict=True)
    columns: Columns = {"score": [0.1, 0.2, 0.3], "label": [int(word) for word in label], "attack_type": types}
    file = tmp_path / f"scores.{kind}"
    file.write_bytes(text(columns).encode() if kind == "csv" else as_parquet(columns))
    with pytest.raises(DataError, match=f"(?s)contradict their own attack type.*{remedy}"):
        read_external(str(file), "higher")
    read_external(str(file), "higher", columns={"attack_type": "-"})
    if remedy != "attack_type=-":
        read_external(str(file), "higher", live_label="0")


CONSISTENT = (
    ("1 live", "0 print", "0 replay"), ("1 ", "0 print", "0 mask"), ("1 real", "0 print", "0 "), ("1 0", "0 1", "0 2"),
    ("1 ", "0 ", "0 "), ("1 Bona_Fide", "0 print", "0 print"), ("1 nan", "0 print", "0 1"), ("1 none", "0 a", "0 b"),
)  # fmt: skip


@pytest.mark.parametrize("rows", CONSISTENT)
def test_attack_types_that_agree_with_the_labels_are_taken(tmp_path: Path, rows: tuple[str, ...]) -> None:
    label, types = zip(*(row.split(" ", 1) for row in rows), strict=True)
    file = tmp_path / "scores.csv"
    file.write_text(text({"score": [0.1, 0.2, 0.3], "label": label, "attack_type": types}))
    assert read_external(str(file), "higher").label.tolist() == [1, 0, 0]


def test_a_frame_that_is_there_twice_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_text("score,label,video,frame\n0.5,1,a,0\n0.1,0,b,0\n0.4,1,a,1\n0.9,1,a,0\n")
    with pytest.raises(DataError, match=r"line 5 \(first: line 2\): video 'a' has frame 0 twice"):
        read_external(str(file), "higher")


UNNAMED = {
    "one test_label for all rows": "claimed_id,test_label,is_bonafide,attack_type,score\n"
    "x,foo,True,,2\nx,foo,False,a,1\n",
    "live and attacks share names": "x x x_1 2\ny y y_1 3\nx a x_1 1\n",
    "a name a frame": "claimed_id,test_label,is_bonafide,attack_type,score,frame_id\n"
    "x,v_0,True,,2,0\nx,v_1,True,,3,1\nx,w_0,False,a,1,0\n",
}


@pytest.mark.parametrize("case", UNNAMED)
def test_videos_that_are_none_are_refused_and_read_as_frames(tmp_path: Path, case: str) -> None:
    file = tmp_path / "scores"
    file.write_text(UNNAMED[case])
    read = read_external(str(file), "higher")
    with pytest.raises(DataError, match="(?s)->.*--level frame"):
        evaluate_external(read, MetricOptions())
    assert evaluate_external(read, MetricOptions(level="frame")).rows == len(read.score)
