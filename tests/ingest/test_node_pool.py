"""A node without a pool: whoever needs it first fills it, once, and gets what the shards hold."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_sweeps import MISHAPS, environment, rewritten, wait_until

from fasray.errors import DataError
from fasray.faces.loading.pool import FacePool, pool_folder, pool_key
from fasray.faces.sets.manifest import read_manifest
from fasray.ingest.node_pool import open_or_fill_pool

NEED = """
import sys
from fasray.ingest.node_pool import open_or_fill_pool
pool = open_or_fill_pool(sys.argv[1], sys.argv[2], lambda pool: print("filled"))
print(int(pool.images.sum()))
"""


def key_of(faces: Path) -> str:
    manifest = read_manifest(str(faces))
    return pool_key(manifest.hash, manifest.image_size)


def needing(faces: Path, pools: Path, tally: Path) -> subprocess.Popen[str]:
    """A process that needs the pool; ``tally`` grows by a byte with each image that it decodes."""
    env = {**os.environ, "PYTHONPATH": str(MISHAPS), "FASRAY_POOL_DIR": str(pools), "FASRAY_TEST_TALLY": str(tally)}
    return subprocess.Popen(
        [sys.executable, "-c", NEED, key_of(faces), faces], env=env, stdout=subprocess.PIPE, text=True
    )


def test_of_three_that_need_it_at_once_one_fills_it_and_no_image_is_decoded_twice(
    small_faces: Path, tmp_path: Path
) -> None:
    tally = tmp_path / "decoded"
    waiting = [needing(small_faces, tmp_path / "pools", tally) for _ in range(3)]
    said = sorted(process.communicate(timeout=120)[0] for process in waiting)
    assert [text.count("filled") for text in said] == [0, 0, 1]
    assert len({text.splitlines()[-1] for text in said}) == 1
    assert tally.stat().st_size == 480


def test_one_that_is_killed_while_it_fills_leaves_the_next_one_free_to_start(small_faces: Path, tmp_path: Path) -> None:
    tally = tmp_path / "decoded"
    with needing(small_faces, tmp_path / "pools", tally) as first:
        wait_until(lambda: tally.exists() and tally.stat().st_size > 0, 60)
        first.send_signal(signal.SIGKILL)
    with environment({"FASRAY_POOL_DIR": str(tmp_path / "pools")}):
        pool = open_or_fill_pool(key_of(small_faces), str(small_faces))
    assert pool.valid.all()
    assert len(pool) == 480
    assert not list((tmp_path / "pools").glob("*.partial-*")), "what the killed one had begun is gone"


@pytest.fixture
def pools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path / "pools"))
    return tmp_path / "pools"


def test_a_pool_that_is_there_is_opened_without_a_look_at_the_shards(
    small_faces: Path, pools: Path, tmp_path: Path
) -> None:
    key = key_of(small_faces)
    told: list[FacePool] = []
    open_or_fill_pool(key, str(small_faces), told.append)
    assert len(told) == 1
    assert open_or_fill_pool(key, str(tmp_path / "nowhere"), told.append).key == key
    assert len(told) == 1, "it was not filled again"


def test_a_damaged_pool_is_filled_again(small_faces: Path, pools: Path) -> None:
    key = key_of(small_faces)
    whole = open_or_fill_pool(key, str(small_faces)).images.sum()
    with (pools / key / "images.u8").open("r+b") as file:
        file.truncate(1000)
    assert open_or_fill_pool(key, str(small_faces)).images.sum() == whole


def test_other_faces_than_those_of_the_run_are_refused(small_faces: Path, pools: Path, tmp_path: Path) -> None:
    key = key_of(small_faces)
    other = rewritten(small_faces, tmp_path / "other", lambda records: records[:-1])
    with pytest.raises(DataError, match="has changed since the run began"):
        open_or_fill_pool(key, str(other))
    assert not pool_folder(key).exists()


def test_a_shard_with_other_bytes_is_named_and_leaves_no_half_pool(
    small_faces: Path, pools: Path, tmp_path: Path
) -> None:
    faces = rewritten(small_faces, tmp_path / "faces", lambda records: records)
    shard = faces / read_manifest(str(faces)).shards[2].name
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read") as error:
        open_or_fill_pool(key_of(faces), str(faces))
    assert error.value.where.endswith(f"{shard.name} row group 0")
    assert [path.name for path in pools.iterdir() if path.is_dir()] == []


def test_without_an_address_a_missing_pool_is_an_error(small_faces: Path, pools: Path) -> None:
    with pytest.raises(DataError, match="no finished pool"):
        open_or_fill_pool(key_of(small_faces), "")
