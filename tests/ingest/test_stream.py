"""Faces that pass by: the pixels of a pool, in the order announced; trials that train alike; damage that is named."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_sweeps import environment

from fasray.errors import DataError, SpecError
from fasray.execution.ray_session import ray_session
from fasray.faces.loading.pool import FacePool, pool_key
from fasray.faces.loading.read_schedule import Scoring, read_schedule
from fasray.faces.loading.row_groups import row_group_of
from fasray.faces.loading.sampler import Sampler, Sampling
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.shards import write_shards
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.methods import registry
from fasray.protocols import Roles, parse
from fasray.training.context import Context
from fasray.training.loop import evaluations
from fasray.training.trial import TrainingSpec, Trial, make_trial

pytestmark = pytest.mark.timeout(600)
PROTOCOL = parse("O&C&M->I")
TRAINING = TrainingSpec(
    image_size=32, width=0.125, steps=6, evaluations=3, eval_batch_size=50, ingest="stream", images=4
)
IN_DEFAULT_RUN = ("erm",)


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with environment({"FASRAY_POOL_DIR": str(tmp_path_factory.mktemp("pools"))}), ray_session():
        import ray

        yield ray


def rewritten(source: Path, target: Path, change: Any = lambda records: records) -> Path:
    """Write a set again with row groups that fit neither shards nor domains."""
    manifest = read_manifest(str(source))
    tables = [pq.read_table(source / shard.name) for shard in manifest.shards]
    records = change(pa.concat_tables(tables).to_pylist())
    write_shards(
        records, str(target), manifest.card, image_size=manifest.image_size, rows_per_shard=150, rows_per_group=32
    )
    return target


@pytest.fixture(scope="module")
def faces(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewritten(small_faces, tmp_path_factory.mktemp("stream") / "faces")


@pytest.fixture(scope="module")
def pool(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> FacePool:
    """A pool of the same faces that knows their row groups: its trials take the stream's order."""
    manifest = read_manifest(str(faces))
    with environment({"FASRAY_POOL_DIR": str(tmp_path_factory.mktemp("pool"))}):
        pool = open_or_fill_pool(pool_key(manifest.hash, manifest.image_size), str(faces))
    return replace(pool, row_group=row_group_of(manifest))


def stream_of(faces: Path) -> Any:
    from fasray.ingest.stream import FaceStream

    return FaceStream.open(str(faces), read_manifest(str(faces)).hash)


def assigned(pool: Any) -> Roles:
    return PROTOCOL.assign(pool.index)


def followed(stream: Any, steps: int = 5) -> Sampler:
    """Announce ``steps`` steps and an evaluation of the source-dev rows."""
    roles = assigned(stream)
    sampler = Sampler(
        stream.index, roles.train, roles.domain_id, roles.domains, Sampling(images=3), 7, stream.row_group
    )
    scoring = Scoring((roles.source_dev,), 40, stream.row_group)
    stream.set_read_order(read_schedule(sampler, scoring, 0, (steps,), 0, 1), depth=True, parsing=True)
    return sampler


def test_pixels_are_those_of_a_pool_and_nothing_is_kept(ray: Any, faces: Path, pool: FacePool) -> None:
    with closing(stream_of(faces)) as stream:
        sampler, roles = followed(stream), assigned(pool)
        for step in range(5):
            rows = sampler.rows(step)
            streamed, pooled = (one.pick(rows, depth=True, parsing=True) for one in (stream, pool))
            assert (streamed.images == pooled.images).all()
            assert (streamed.depth == pooled.depth).all()
            assert (streamed.parsing == pooled.parsing).all()
        scored = stream.pick(roles.source_dev)
        assert (scored.images == pool.pick(roles.source_dev).images).all()
        assert scored.depth is None
        assert stream.waiting == 0
        with pytest.raises(ValueError, match="was not announced"):
            stream.pick(roles.target)


def test_a_new_course_replaces_one_that_was_left_in_the_middle(ray: Any, faces: Path, pool: FacePool) -> None:
    with closing(stream_of(faces)) as stream:
        stream.pick(followed(stream, steps=50).rows(0), depth=True, parsing=True)
        rows = followed(stream).rows(0)
        assert (stream.pick(rows, depth=True, parsing=True).images == pool.pick(rows).images).all()


def trial_of(method: str, pool: FacePool) -> Trial:
    return make_trial(
        method=method, config={}, training=TRAINING, protocol=PROTOCOL.name, fingerprint=PROTOCOL.fingerprint(),
        data=pool.manifest_hash, seed=3,
    )  # fmt: skip


def trained(trial: Trial, pool: Any, folder: Path, stop_after: int = 99) -> dict[str, str]:
    """Train until the end or until that many evaluations came; return digests of score files and weights."""
    context = Context(str(folder), seed=trial.seed, total_steps=trial.training.steps)
    running = evaluations(trial, pool, assigned(pool), context)
    for number, _ in enumerate(running, start=1):
        if number == stop_after:
            break
    running.close()
    files = [*folder.glob("eval-*.parquet"), *(folder / "checkpoint").glob("*.safetensors")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    "method",
    [name if name in IN_DEFAULT_RUN else pytest.param(name, marks=pytest.mark.slow) for name in registry.names()],
)
def test_a_streamed_trial_that_was_interrupted_has_the_bits_of_one_from_a_pool_in_that_order(
    ray: Any, faces: Path, pool: FacePool, tmp_path: Path, method: str
) -> None:
    trial = trial_of(method, pool)
    expected = trained(trial, pool, tmp_path / "pool")
    assert len(expected) >= 4
    for stop_after in (1, 99):
        with closing(stream_of(faces)) as stream:
            found = trained(trial, stream, tmp_path / "stream", stop_after)
            assert stream.waiting == 0 or stop_after == 1
    assert found == expected


def test_the_order_of_a_stream_is_part_of_what_a_trial_is(pool: FacePool, tmp_path: Path) -> None:
    streamed = trial_of("erm", pool)
    pooled = make_trial(
        method="erm", config={}, training=TRAINING.model_copy(update={"ingest": "pool"}), protocol=PROTOCOL.name,
        fingerprint=PROTOCOL.fingerprint(), data=pool.manifest_hash, seed=3,
    )  # fmt: skip
    assert streamed.id != pooled.id
    assert "ingest" not in pooled.identity(), "trials from pools keep the ids that they always had"
    for trial, other in ((streamed, replace(pool, row_group=None)), (pooled, pool)):
        with pytest.raises(SpecError, match=f"ingest: {trial.training.ingest}"):
            trained(trial, other, tmp_path / trial.id)


def test_bytes_that_are_not_the_manifests_are_named(ray: Any, faces: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(faces, tmp_path / "damaged")
    for shard in read_manifest(str(damaged)).shards:
        data = bytearray((damaged / shard.name).read_bytes())
        for group in shard.row_groups:
            data[group.offset + group.bytes // 2] ^= 1
        (damaged / shard.name).write_bytes(data)
    with closing(stream_of(damaged)) as stream, pytest.raises(DataError, match="bytes changed") as caught:
        stream.pick(followed(stream).rows(0), depth=True, parsing=True)
    assert "shard-0000" in str(caught.value.where)
    assert "data verify" in str(caught.value.remedy)


def test_an_image_that_cannot_be_decoded_ends_the_trial_with_its_name(
    ray: Any, small_faces: Path, tmp_path: Path
) -> None:
    def spoil(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**record, "image": record["image"][:-40]} for record in records]

    spoilt = rewritten(small_faces, tmp_path / "spoilt", spoil)
    with closing(stream_of(spoilt)) as stream, pytest.raises(DataError, match="the image cannot be decoded") as caught:
        stream.pick(followed(stream).rows(0), depth=True, parsing=True)
    assert "ingest: pool" in str(caught.value.remedy)


def test_a_set_that_has_changed_since_the_run_began_is_refused(faces: Path) -> None:
    from fasray.ingest.stream import FaceStream

    with pytest.raises(DataError, match="has changed since the run began"):
        FaceStream.open(str(faces), "0" * 64)


def test_a_picked_row_is_not_tied_to_the_rest_of_its_row_group(ray: Any, faces: Path) -> None:
    """What is picked is writable and its own: a view would hold the whole block in the object store."""
    with closing(stream_of(faces)) as stream:
        rows = followed(stream).rows(0)
        images = stream.pick(rows, depth=True, parsing=True).images
        assert images.flags.writeable
        assert images.flags.owndata
        kept = [pixels for waiting in stream._held.values() for row in waiting for pixels in row]
        assert kept
        assert all(pixels.flags.owndata for pixels in kept)
    assert np.asarray(images).any()
