"""From shards to a pool on every node: each image once, bad ones named, nothing left in the object store."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_sweeps import environment, rewritten, wait_until

from fasray.errors import DataError
from fasray.execution.ray_session import ray_session
from fasray.faces.loading.pool import FacePool, pool_folder, pool_key
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.reading import read_index
from fasray.faces.sets.verify import verify
from fasray.ingest.fill import PoolFacts, fill_pools
from fasray.ingest.node_pool import open_or_fill_pool

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with environment({"FASRAY_POOL_DIR": str(tmp_path_factory.mktemp("pools"))}), ray_session():
        import ray

        yield ray


def fill(uri: Path) -> tuple[PoolFacts, FacePool, list[int]]:
    """Fill the pool of this machine; also return its pool and what was said while it filled."""
    manifest = read_manifest(str(uri))
    told: list[Any] = []
    (facts,) = fill_pools(str(uri), manifest, read_index(str(uri)), told.append)
    return facts, FacePool.open(pool_folder(pool_key(manifest.hash, manifest.image_size))), told


@pytest.fixture(scope="module")
def filled(ray: Any, small_faces: Path) -> tuple[PoolFacts, FacePool, list[int]]:
    return fill(small_faces)


def test_every_row_is_decoded_once_and_lies_where_the_index_says(filled: Any, small_faces: Path) -> None:
    facts, pool, told = filled
    assert facts.decoded == facts.rows == len(pool) == 480
    assert told[-1] == 480
    index = read_index(str(small_faces))
    assert (pool.index.video == index.video).all()
    assert pool.valid.all()
    live = index.label == 1
    assert (pool.depth[live].reshape(live.sum(), -1).max(1) > 0).all(), "a live face has depth"
    assert not pool.depth[~live].any(), "an attack has none"


def test_pixels_are_those_of_the_shards(filled: Any, small_faces: Path) -> None:
    import pyarrow.parquet as pq

    from fasray.faces import jpeg

    _, pool, _ = filled
    shard = read_manifest(str(small_faces)).shards[0]
    images = pq.read_table(small_faces / shard.name, columns=["image"])["image"].to_pylist()
    for row in (0, 17, 255, 256, 479):
        assert (pool.images[row] == jpeg.decode(images[row])).all()


def test_what_a_node_fills_by_itself_is_what_the_pass_over_the_cluster_gives(
    filled: Any, small_faces: Path, tmp_path: Path
) -> None:
    _, pool, _ = filled
    with environment({"FASRAY_POOL_DIR": str(tmp_path)}):
        own = open_or_fill_pool(pool.key, str(small_faces))
    assert own.folder.parent == tmp_path
    for name in ("images", "depth", "parsing", "valid"):
        assert (getattr(own, name) == getattr(pool, name)).all(), name
    assert own.excluded == pool.excluded


def test_a_second_pass_over_the_same_data_decodes_nothing(filled: Any, small_faces: Path) -> None:
    facts, _, told = fill(small_faces)
    assert facts.decoded == 0
    assert facts.rows == 480
    assert told == []


def test_afterwards_the_object_store_holds_no_image(ray: Any, filled: Any) -> None:
    """The tolerance is a twentieth of the smallest block that went through it."""
    _, pool, _ = filled
    block = 96 * pool.images[0].nbytes
    capacity = ray.cluster_resources()["object_store_memory"]

    def held() -> float:
        return float(capacity - ray.available_resources()["object_store_memory"])

    probe = ray.put(bytes(block))
    wait_until(lambda: held() >= block, 30)
    del probe
    wait_until(lambda: held() < block / 20, 30)


SHARE = """
import os, sys
from fasray.faces.loading.pool import FacePool
pool = FacePool.open(sys.argv[1])
print(int(pool.images.sum()), flush=True)
sys.stdin.readline()
"""


def test_two_processes_that_map_a_pool_share_its_pages(filled: Any) -> None:
    _, pool, _ = filled
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", SHARE, pool.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        sums = {reader.stdout.readline() for reader in readers if reader.stdout}
        assert sums == {f"{int(pool.images.sum())}\n"}
        for reader in readers:
            mapped = mapping(reader.pid, pool.folder / "images.u8")
            assert mapped["Rss"] * 1024 >= pool.images.nbytes, "this process has read it all"
            assert mapped["Private_Dirty"] == mapped["Private_Clean"] == 0, "and nothing of it is its own"
            assert mapped["Pss"] <= mapped["Rss"] / 2
    finally:
        for reader in readers:
            reader.communicate("\n")


def mapping(process: int, file: Path) -> dict[str, int]:
    """Return the kernel's figures of one mapped file, KiB."""
    figures: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            inside = line.endswith(str(file))
        elif inside and rest[-1] == "kB":
            figures[name[:-1]] = figures.get(name[:-1], 0) + int(rest[0])
    return figures


def test_bad_images_are_counted_and_named_and_the_rest_goes_on(ray: Any, small_faces: Path, tmp_path: Path) -> None:
    videos: list[str] = []

    def damage(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        records[3]["image"] = records[3]["image"][: len(records[3]["image"]) // 2]
        records[200]["sha256"] = "0" * 64
        records[479]["image"] = b"no image at all"
        videos.extend(records[row]["video"] for row in (3, 200, 479))
        return records

    broken = rewritten(small_faces, tmp_path / "broken", damage)
    facts, pool, _ = fill(broken)
    assert facts.decoded == 477
    assert [entry.row for entry in facts.excluded] == [3, 200, 479]
    assert [entry.video for entry in facts.excluded] == videos
    assert [entry.shard for entry in facts.excluded] == [
        "shard-00000.parquet",
        "shard-00001.parquet",
        "shard-00003.parquet",
    ]
    reasons = [entry.reason for entry in facts.excluded]
    assert reasons[0] == reasons[2] == "the image cannot be decoded"
    assert "sha256" in reasons[1]
    assert pool.valid.sum() == 477
    assert not pool.images[[3, 200, 479]].any()
    assert fill(broken)[0].excluded == facts.excluded, "a pool that is there already names them again"


def test_a_shard_that_is_missing_or_short_is_named_before_anything_is_read(
    ray: Any, small_faces: Path, tmp_path: Path
) -> None:
    faces = rewritten(small_faces, tmp_path / "faces", lambda records: records[::-1])
    manifest, index = read_manifest(str(faces)), read_index(str(faces))
    shard = faces / manifest.shards[1].name
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-7])
    with pytest.raises(DataError, match="bytes, the manifest says") as error:
        fill_pools(str(faces), manifest, index)
    assert error.value.where.endswith(shard.name)
    shard.unlink()
    with pytest.raises(DataError, match="missing") as error:
        fill_pools(str(faces), manifest, index)
    assert error.value.where.endswith(shard.name)
    assert verify(str(faces))
    assert not list(Path(os.environ["FASRAY_POOL_DIR"]).glob(f"{manifest.hash[:24]}*")), "no half pool stays"
