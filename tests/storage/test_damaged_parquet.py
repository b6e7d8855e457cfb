"""A flipped bit anywhere in a Parquet file is an error that names the file, or changes nothing; never a traceback."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from locations import GOLDEN

import fasray
from fasray.errors import DataError
from fasray.faces.sets import reading
from fasray.faces.sets.manifest import read_manifest
from fasray.results.audit.verify import RunFinding, verify_run
from fasray.results.external.read import read_external
from fasray.results.tables.export import write_parquet
from fasray.runs.layout import RESULTS_FILE
from fasray.runs.record import read_run


def flipped(file: Path, positions: Iterable[int]) -> Iterator[int]:
    """Write the file with one bit flipped at each position in turn."""
    content = file.read_bytes()
    for position in positions:
        damaged = bytearray(content)
        damaged[position] ^= 0x80
        file.write_bytes(bytes(damaged))
        yield position


def test_a_score_file_of_another_program(tmp_path: Path) -> None:
    columns = {"score": [0.1, 0.9] * 20, "label": [0, 1] * 20, "video": [f"v{n}" for n in range(40)]}
    file = tmp_path / "scores.parquet"
    named: list[str] = []
    pq.write_table(pa.table({**columns, "domain": ["O"] * 40}), file)
    for _ in flipped(file, range(file.stat().st_size)):
        try:
            read_external(str(file), "higher")
        except DataError as error:
            named.append(error.where)
    assert len(named) > 500
    assert all(where.startswith(str(file)) for where in named)


def test_the_footer_of_a_face_shard(small_faces: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(small_faces, folder)
    shard = read_manifest(str(folder)).shards[0]
    file = folder / shard.name
    named: list[str] = []
    size = file.stat().st_size
    footer = int.from_bytes(file.read_bytes()[-8:-4], "little") + 8
    for _ in flipped(file, range(size - footer, size, 11)):
        reading._footer.cache_clear()
        for read in (
            lambda: reading.read_columns(str(folder), shard, ["video"]),
            lambda: reading.fetch_row_group(str(folder), shard.name, 0, shard.row_groups[0], ["video"]),
        ):
            try:
                read()
            except DataError as error:
                named.append(error.where)
    assert len(named) > 100
    assert all(where.startswith(str(file)) for where in named)


def test_the_stored_table_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "frozen_sweep" / "run", run)
    file = run / RESULTS_FILE
    write_parquet(fasray.load_results(str(run)), str(file))

    def findings() -> set[RunFinding]:
        return set(verify_run(read_run(str(run))).findings)

    whole, size = findings(), file.stat().st_size
    for _ in flipped(file, [4, 33, 2000, size - 4000, size - 600, size - 6]):
        assert {finding.where for finding in findings() - whole} == {RESULTS_FILE}
