"""Sweeps over faces that no disk has room for: the command, a real Ray, workers that are killed, little memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from plain_workers import SubprocessTask, train_by
from ray_head import RayHead
from s3_sweeps import remote_place, score_files
from small_sweeps import Place, environment, place, score_digests

from fasray.errors import SpecError
from fasray.execution.capacity import Demand, check_fits, concurrent_trials
from fasray.faces import jpeg
from fasray.faces.loading.pool import pool_key
from fasray.faces.loading.row_groups import row_group_of
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.shards import write_shards
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.protocols import parse
from fasray.sweep.spec import SweepSpec
from fasray.sweep.sweep_file import parse_sweep
from fasray.training.context import Context
from fasray.training.loop import evaluations
from fasray.training.trial import Trial

STREAMED = """
name: streamed
data: {data}
ingest: stream
protocols: [O&C->I]
methods: {{erm: {{space: {{}}}}}}
scheduler: fifo
confirm: {{seeds: [0, 1]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 12, evaluations: 3, images: 4}}
"""
PATIENCE = 1800
"""Seconds; where others are busy, each trial takes a minute to start."""


@pytest.fixture(scope="module")
def rows_apart(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set in shards and row groups of its own."""
    target, manifest = tmp_path_factory.mktemp("streamed") / "faces", read_manifest(str(small_faces))
    records = [row for shard in manifest.shards for row in pq.read_table(small_faces / shard.name).to_pylist()]
    write_shards(records, str(target), manifest.card, image_size=48, rows_per_shard=150, rows_per_group=32)
    return target


def streaming_place(folder: Path, data: Path, **environment: str) -> Place:
    return place(folder, data, STREAMED, FASRAY_POOL_DIR=str(folder / "pools"), **environment)


def from_a_pool(here: Place, folder: Path) -> dict[str, str]:
    """Train the trials of a run again, here, from a pool in the stream's order; return digests of score files."""
    manifest = read_manifest(str(here.data))
    with environment({"FASRAY_POOL_DIR": str(folder / "pool")}):
        pool = open_or_fill_pool(pool_key(manifest.hash, manifest.image_size), str(here.data))
    pool = replace(pool, row_group=row_group_of(manifest))
    for spec in sorted(here.run_folder.glob("trials/*/spec.json")):
        trial = Trial.model_validate_json(spec.read_text())
        context = Context(str(folder / trial.id), seed=trial.seed, total_steps=trial.training.steps)
        assert len(list(evaluations(trial, pool, parse(trial.protocol).assign(pool.index), context))) == 3
    return digests(folder, "*")


def digests(folder: Path, trials: str = "trials/*") -> dict[str, str]:
    files = folder.glob(f"{trials}/eval-*.parquet")
    return {f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_a_streamed_sweep_fills_no_pool_and_has_the_scores_of_trials_from_one(rows_apart: Path, tmp_path: Path) -> None:
    here = streaming_place(tmp_path, rows_apart)
    ran = here.drive("--set", "confirm.seeds=[0]")
    assert ran.code == 0, ran.err
    assert "filling the pool" not in ran.err
    assert not here.pools.exists()
    found = digests(here.run_folder)
    assert len(found) == 3
    assert found == from_a_pool(here, tmp_path / "again")


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_trials_wait_for_each_other_and_a_killed_sweep_goes_on_with_the_right_faces(
    rows_apart: Path, tmp_path: Path
) -> None:
    """Two trials on two cores, one of which each of them leaves to its data; the driver is killed in the first."""
    here = streaming_place(tmp_path, rows_apart)
    with here.start() as driver:
        driver.until(lambda: len(digests(here.run_folder)) >= 1, PATIENCE)
        driver.end(signal.SIGKILL)
    begun = score_digests(here.run_folder)
    assert 1 <= len(begun) < 6
    with here.start() as driver:
        ran = driver.end(seconds=PATIENCE)
    assert ran.code == 0, ran.err
    assert score_digests(here.run_folder).items() >= begun.items(), "what was there has not been written again"
    found = digests(here.run_folder)
    assert len(found) == 6
    assert found == from_a_pool(here, tmp_path / "again")
    spec = next(here.run_folder.glob("trials/*/spec.json"))
    again = here.command("train", "--spec", spec, "--data", rows_apart, "--out", tmp_path / "alone" / spec.parent.name)
    assert again.code == 0, again.err
    assert digests(tmp_path / "alone", "*").items() <= found.items()
    assert len(digests(tmp_path / "alone", "*")) == 3


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_a_killed_worker_goes_on_from_its_checkpoint_with_the_right_faces(rows_apart: Path, tmp_path: Path) -> None:
    here = streaming_place(tmp_path, rows_apart)
    with here.start("--set", "confirm.seeds=[0]", "--set", "training.steps=300") as driver:
        driver.until(lambda: len(digests(here.run_folder)) >= 1, PATIENCE)
        workers = [process for process, name in here.processes().items() if "RayTrainWorker" in name]
        assert len(workers) == 1
        os.kill(workers[0], signal.SIGKILL)
        ran = driver.end(seconds=PATIENCE)
    assert ran.code == 0, ran.err
    assert digests(here.run_folder) == from_a_pool(here, tmp_path / "again")


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_two_workers_with_a_stream_each_compute_what_two_plain_ones_do_and_so_what_one_does(
    rows_apart: Path, tmp_path: Path
) -> None:
    """Bit for bit the former; the latter in float64, for float32 rounding grows within a few steps."""
    here = streaming_place(tmp_path / "two", rows_apart)
    with RayHead(tmp_path / "head", here.env, cpus=4) as head:
        here = replace(here, env={**here.env, **head.client})
        with here.start("--set", "resources.workers=2", "--set", "confirm.seeds=[0]") as driver:
            ran = driver.end(seconds=PATIENCE)
        assert ran.code == 0, ran.err
        held = head.held()
        assert (held.groups, held.cpus_free) == (0, 4.0)
    (spec,) = here.run_folder.glob("trials/*/spec.json")
    with environment({"FASRAY_POOL_DIR": str(tmp_path / "pool")}):
        manifest = read_manifest(str(rows_apart))
        pool = open_or_fill_pool(pool_key(manifest.hash, manifest.image_size), str(rows_apart)).folder
    scores = {}
    for workers, in_double in ((2, False), (1, True), (2, True)):
        folder = tmp_path / f"plain{workers}{in_double}" / spec.parent.name
        train_by(workers, [SubprocessTask(spec.read_text(), str(folder), str(rows_apart))], pool, in_double=in_double)
        scores[workers, in_double] = [pq.read_table(file)["score"] for file in sorted(folder.glob("eval-*.parquet"))]
    assert digests(here.run_folder) == digests(tmp_path / "plain2False", "*")
    assert len(scores[1, True]) == 3
    for one, two in zip(scores[1, True], scores[2, True], strict=True):
        np.testing.assert_allclose(one.to_numpy(), two.to_numpy(), rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_shards_on_an_object_store_are_streamed_alike(rows_apart: Path, tmp_path: Path) -> None:
    local = streaming_place(tmp_path / "local", rows_apart)
    with local.start("--set", "confirm.seeds=[0]") as driver:
        assert driver.end(seconds=PATIENCE).code == 0
    with remote_place(tmp_path / "remote", rows_apart, STREAMED) as (_, here):
        with here.start("--set", "confirm.seeds=[0]") as driver:
            ran = driver.end(seconds=PATIENCE)
        assert ran.code == 0, ran.err
        files = score_files(here.remote)
        assert not here.pools.exists()
    found = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if "eval-" in name}
    assert found == digests(local.run_folder)


LARGE, LARGE_SIZE, STORE = 24_000, 128, 80 * 2**20
"""Faces; their side in pixels; bytes of the object store. Decoded they have 1.2 GB."""
BOUND = 120 * 2**20
"""Bytes that a worker may grow by from its first evaluation on; four row groups of each of four groups have 101 MB."""


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    """A large set of smooth pictures: small as JPEG, large as pixels."""
    rng, size = np.random.default_rng(0), LARGE_SIZE
    ramps = rng.integers(0, 128, (40, size, 1, 3)) + np.linspace(0, 120, size)[None, None, :, None]
    pictures = [jpeg.encode(ramp.astype(np.uint8)) for ramp in ramps]
    hashes = [hashlib.sha256(picture).hexdigest() for picture in pictures]

    def records() -> Iterator[dict[str, Any]]:
        for number in range(LARGE):
            domain, label = "OCI"[number * 3 // LARGE], number // 20 % 2
            yield {
                "image": pictures[number % 40], "sha256": hashes[number % 40], "label": label, "domain": domain,
                "attack_type": "live" if label else "print", "subject": f"{domain}{number // 200}",
                "video": f"{domain}{number // 20}", "frame": number % 20, "split": "train",
                "depth": bytes(32 * 32), "parsing": bytes(64 * 64), "landmarks5": None, "crop_matrix": None,
                "detection_score": None,
                **dict.fromkeys(("instrument", "camera", "session", "source_path", "label_source"), ""),
            }  # fmt: skip

    target = tmp_path / "large"
    write_shards(records(), str(target), {"kind": "synthetic"}, image_size=size)
    yield target
    shutil.rmtree(target)


@dataclass
class Watch:
    """Looks five times a second at the private memory of a head's workers and at what lies on its disk."""

    head: RayHead
    memory: dict[str, list[int]] = field(default_factory=dict)
    disk: list[int] = field(default_factory=list)

    def look(self) -> None:
        for process, command in self.head.processes("ray::").items():
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except OSError:
                continue
            kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")), "0")
            self.memory.setdefault(command.split()[0].split("(")[0].strip(), []).append(int(kilobytes) * 1024)
        spilled = [path for path in self.head.logs.rglob("*spill*/*") if path.is_file()]
        self.disk.append(sum(path.stat().st_size for path in spilled if path.exists()))

    @contextmanager
    def watching(self) -> Iterator[None]:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                self.look()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_set_much_larger_than_memory_and_object_store_trains_through(large: Path, tmp_path: Path) -> None:
    """1.2 GB of decoded faces, more than one pass over them and four evaluations, past an object store of 80 MB."""
    here = streaming_place(tmp_path / "place", large)
    training = ("training.steps=140", "training.images=32", "training.evaluations=4", "confirm.seeds=[0]")
    settings = [part for one in training for part in ("--set", one)]
    with RayHead(tmp_path / "head", here.env, store_bytes=STORE) as head:
        here = replace(here, env={**here.env, **head.client})
        watch = Watch(head)
        with watch.watching(), here.start(*settings) as driver:
            driver.until(lambda: len(digests(here.run_folder)) >= 1, PATIENCE)
            before = max(watch.memory["ray::RayTrainWorker"])
            began = time.monotonic()
            ran = driver.end(seconds=PATIENCE)
        assert ran.code == 0, ran.err
    decoded = LARGE * LARGE_SIZE**2 * 3
    peaks = {name: max(sizes) for name, sizes in watch.memory.items()}
    print({name: f"{size / 2**20:.0f} MB" for name, size in peaks.items()}, f"{time.monotonic() - began:.0f} s")
    print(f"decoded {decoded / 2**20:.0f} MB, worker before {before / 2**20:.0f} MB, spilled {max(watch.disk)} bytes")
    assert len(digests(here.run_folder)) == 4
    assert peaks["ray::RayTrainWorker"] < before + BOUND
    assert peaks["ray::RayTrainWorker"] < 0.6 * decoded, "two thirds of that are torch and Ray themselves"
    assert max(watch.disk) < STORE
    assert not here.pools.exists()


def spec_of(*overrides: str) -> SweepSpec:
    return parse_sweep(STREAMED.format(data="faces"), "sweep.yaml", overrides)


def test_cores_that_read_are_counted() -> None:
    two = [{"CPU": 2.0}]
    assert concurrent_trials(two, Demand(workers=1, cpus=1, gpus=0, data_cpus=1)) == 1
    assert concurrent_trials(two, Demand(workers=1, cpus=1, gpus=0)) == 2
    assert concurrent_trials(two, Demand(workers=2, cpus=1, gpus=0, data_cpus=1)) == 0
    elsewhere = [{"CPU": 4.0, "GPU": 1.0}, {"CPU": 2.0}]
    assert concurrent_trials(elsewhere, Demand(workers=1, cpus=4, gpus=1, data_cpus=2)) == 1, (
        "a node without GPU can read"
    )
    assert concurrent_trials(elsewhere, Demand(workers=1, cpus=4, gpus=1, data_cpus=3)) == 0


def test_what_leaves_no_core_to_read_is_refused_with_what_is_missing(rows_apart: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="needs 2 CPUs and 1 CPUs to read for it; there is room for at most 0 of 1"):
        check_fits([{"CPU": 2.0}], Demand(workers=1, cpus=2, gpus=0, data_cpus=1))
    cores = os.cpu_count() or 1
    refused = streaming_place(tmp_path, rows_apart).drive("--set", f"resources.cpus_per_worker={cores}")
    assert refused.code == 2, refused.err
    assert f"{cores} CPUs and 1 CPUs to read for it" in refused.err
    assert "starting Ray" not in refused.err


def test_a_stream_needs_workers_of_its_own() -> None:
    assert spec_of().in_trainer
    assert not spec_of("ingest=pool").in_trainer
    with pytest.raises(SpecError, match="ingest stream needs backend: torchtrainer"):
        spec_of("resources={backend: inprocess}")
    with pytest.raises(SpecError, match="at the top level of a sweep file"):
        spec_of("training.ingest=stream")


def test_a_streamed_sweep_is_another_sweep_and_one_from_pools_is_what_it_always_was() -> None:
    streamed, pooled = spec_of(), spec_of("ingest=pool")
    assert streamed.hash() != pooled.hash()
    assert spec_of("resources.data_cpus=2").hash() == streamed.hash(), "how many read changes no number"
    assert "ingest" not in pooled.canonical()
    assert "data_cpus" not in pooled.canonical()["resources"]
    assert "ingest" not in pooled.canonical()["training"]
    again = SweepSpec.model_validate(streamed.canonical())
    assert again.canonical() == streamed.canonical(), "what a run keeps can be read again"
    assert again.training_of("erm").ingest == "stream"
