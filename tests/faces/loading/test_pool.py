"""The pool: what is written is read, nothing twice, nothing missing, nothing half."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fasray.errors import DataError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import FacePool, PoolWriter, pool_folder, pool_key

N, SIZE = 10, 16


def small_index(rows: int = N) -> FaceIndex:
    text = ["x"] * rows
    names = ("domain", "attack_type", "instrument", "subject", "camera", "session", "split")
    return FaceIndex.of(
        {
            "label": [i % 2 for i in range(rows)],
            "video": [f"v{i}" for i in range(rows)],
            "frame": list(range(rows)),
            **{name: text for name in names},
        }
    )


def pixels(rows: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = ((rows, SIZE, SIZE, 3), (rows, 32, 32), (rows, 64, 64))
    images, depth, parsing = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes)
    return images, depth, parsing


def writer(folder: Path) -> PoolWriter:
    return PoolWriter(folder, SIZE, small_index(), "abc")


def filled(folder: Path) -> FacePool:
    unfinished = writer(folder)
    unfinished.write(np.arange(N), *pixels())
    return unfinished.finish()


def test_what_was_written_in_any_order_is_picked(tmp_path: Path) -> None:
    images, depth, parsing = pixels()
    unfinished = writer(tmp_path / "pool")
    for part in np.array_split(np.random.default_rng(1).permutation(N - 1), 3):
        unfinished.write(part, images[part], depth[part], parsing[part])
    unfinished.exclude(N - 1, "not a JPEG", shard="part-3.parquet")
    unfinished.finish()

    pool = FacePool.open(tmp_path / "pool")
    rows = np.array([3, 1, 3, 8])
    faces = pool.pick(rows, depth=True, parsing=True)
    assert np.array_equal(faces.images, images[rows])
    assert faces.depth is not None
    assert np.array_equal(faces.depth, depth[rows])
    assert faces.parsing is not None
    assert np.array_equal(faces.parsing, parsing[rows])
    assert pool.pick(rows).depth is None
    assert (pool.decoded, len(pool), pool.image_size) == (N - 1, N, SIZE)
    assert pool.key == pool_key("abc", SIZE)
    assert np.array_equal(pool.index.video, small_index().video)
    assert np.flatnonzero(~pool.valid).tolist() == [N - 1]
    (entry,) = pool.excluded
    assert (entry.row, entry.video, entry.frame, entry.shard) == (N - 1, f"v{N - 1}", N - 1, "part-3.parquet")
    assert "JPEG" in entry.reason


def test_a_pool_cannot_be_written_through_its_readers(tmp_path: Path) -> None:
    pool = filled(tmp_path / "pool")
    for array in (pool.images, pool.depth, pool.parsing, pool.valid):
        assert not array.flags.writeable
    assert pool.pick(np.array([0])).images.flags.writeable


def test_a_row_that_comes_twice_is_refused(tmp_path: Path) -> None:
    unfinished = writer(tmp_path / "pool")
    images, depth, parsing = pixels()
    unfinished.write(np.array([0, 4]), images[:2], depth[:2], parsing[:2])
    with pytest.raises(DataError, match="row 4"):
        unfinished.write(np.array([4, 5]), images[:2], depth[:2], parsing[:2])
    with pytest.raises(DataError, match="twice"):
        unfinished.write(np.array([6, 6]), images[:2], depth[:2], parsing[:2])
    with pytest.raises(DataError, match="row 0"):
        unfinished.exclude(0, "again")
    assert unfinished.decoded == 2
    unfinished.abandon()


def test_a_row_outside_or_a_wrong_shape_is_refused(tmp_path: Path) -> None:
    unfinished = writer(tmp_path / "pool")
    images, depth, parsing = pixels(1)
    with pytest.raises(DataError, match="row 10"):
        unfinished.write(np.array([N]), images, depth, parsing)
    with pytest.raises(DataError, match=r"images\.u8"):
        unfinished.write(np.array([1]), images[:, :8], depth, parsing)
    unfinished.abandon()


def test_a_pool_with_missing_rows_never_becomes_final(tmp_path: Path) -> None:
    unfinished = writer(tmp_path / "pool")
    images, depth, parsing = pixels()
    unfinished.write(np.arange(N - 1), images[:-1], depth[:-1], parsing[:-1])
    with pytest.raises(DataError, match="1 of 10 rows"):
        unfinished.finish()
    with pytest.raises(DataError, match="no finished pool"):
        FacePool.open(tmp_path / "pool")
    unfinished.abandon()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_writer_left_is_removed_and_a_live_one_is_let_be(tmp_path: Path) -> None:
    live = writer(tmp_path / "pool")
    dead = tmp_path / ".pool.partial-dead"
    dead.mkdir()
    (dead / "lock").touch()
    other = writer(tmp_path / "pool")
    assert not dead.exists()
    live.write(np.arange(N), *pixels())
    other.write(np.arange(N), *pixels())
    live.finish()
    assert other.finish().decoded == N
    assert [path.name for path in tmp_path.iterdir()] == ["pool"]


@pytest.mark.parametrize("name", ["images.u8", "depth.u8", "parsing.u8", "index.npz", "pool.json"])
def test_a_truncated_or_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    filled(tmp_path / "pool")
    path = tmp_path / "pool" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        FacePool.open(tmp_path / "pool")
    path.unlink()
    with pytest.raises(DataError):
        FacePool.open(tmp_path / "pool")


def test_a_damaged_pool_makes_way_for_a_new_one(tmp_path: Path) -> None:
    filled(tmp_path / "pool")
    (tmp_path / "pool" / "depth.u8").unlink()
    assert filled(tmp_path / "pool").decoded == N


def test_a_pool_of_another_format_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "pool")
    card = json.loads((tmp_path / "pool" / "pool.json").read_text())
    (tmp_path / "pool" / "pool.json").write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(DataError, match="format"):
        FacePool.open(tmp_path / "pool")


def test_the_pool_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path))
    assert pool_folder("k-16") == tmp_path / "k-16"
    monkeypatch.delenv("FASRAY_POOL_DIR")
    assert pool_folder("k-16").parts[-2:] == ("pools", "k-16")
