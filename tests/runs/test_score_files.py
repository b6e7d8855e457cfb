"""A score file is written once, and nothing is read from one that is damaged or of something else."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fasray.errors import DataError
from fasray.runs.scores import SCORE_SCHEMA, encode_scores, find_scores, parse_scores, write_scores


def rows(trial: str = "t1", step: int = 20, score: float = 0.5) -> pa.Table:
    columns: dict[str, list[object]] = {name: ["x"] * 4 for name in SCORE_SCHEMA.names}
    columns |= {"score": [score] * 4, "label": [1, 0, 1, 0], "frame": [0, 1, 2, 3]}
    table = pa.Table.from_pydict(columns, schema=SCORE_SCHEMA)
    return table.replace_schema_metadata({"fasray.trial": trial, "fasray.step": str(step)})


def test_what_was_written_is_read_back_with_its_trial_and_step(tmp_path: Path) -> None:
    uri = str(tmp_path / "eval.parquet")
    assert write_scores(uri, rows()).equals(rows())
    found = parse_scores(Path(uri).read_bytes(), uri)
    assert (found.trial, found.step) == ("t1", 20)
    assert found.rows.equals(rows())


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    uri = str(tmp_path / "eval.parquet")
    write_scores(uri, rows(score=0.5))
    assert write_scores(uri, rows(score=0.75)).equals(rows(score=0.5))
    assert Path(uri).read_bytes() == encode_scores(rows(score=0.5))


@pytest.mark.parametrize("there", [b"", encode_scores(rows(step=10)), encode_scores(rows())[:-9]])
def test_a_file_that_is_cut_or_of_another_step_is_replaced(tmp_path: Path, there: bytes) -> None:
    file = tmp_path / "eval.parquet"
    file.write_bytes(there)
    assert find_scores(str(file), "t1", 20) is None
    assert write_scores(str(file), rows(score=0.75)).equals(rows(score=0.75))
    assert file.read_bytes() == encode_scores(rows(score=0.75))


def test_a_flipped_bit_is_an_error_of_the_data_or_without_effect() -> None:
    content, noticed = encode_scores(rows()), 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x80
        try:
            found = parse_scores(bytes(damaged), "eval.parquet")
        except DataError:
            noticed += 1
        else:
            assert found.rows.equals(rows())
    assert noticed > len(content) / 2


def test_other_columns_and_a_file_that_names_no_trial_are_refused(tmp_path: Path) -> None:
    other = pa.BufferOutputStream()
    pq.write_table(rows().drop_columns(["video"]), other)
    with pytest.raises(DataError, match="check column video"):
        parse_scores(other.getvalue().to_pybytes(), "eval.parquet")
    with pytest.raises(DataError, match="does not name its trial and step"):
        parse_scores(encode_scores(rows(trial="")), "eval.parquet")
    assert find_scores(str(tmp_path / "none.parquet"), "t1", 20) is None
