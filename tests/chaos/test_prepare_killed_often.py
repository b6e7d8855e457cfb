"""A preparation is killed with SIGKILL at ten random moments, on a local disk and on an object store."""

import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from object_store import ObjectStore, without_aws
from small_sweeps import COMMAND, pause, wait_until

from fasray import storage
from fasray.faces.mimics import MimicSettings, write
from fasray.faces.sets.manifest import MANIFEST_NAME, read_manifest
from fasray.faces.sets.reading import read_index
from fasray.faces.sets.verify import verify
from fasray.ingest.worklog import FOLDER

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

KILLS = 10
CORPUS = "msu-mfsd"
OPTIONS = ("--frames", "4", "--image-size", "64", "--shard-rows", "4")
"""One video a shard."""
CHUNK = re.compile(r"chunk-\d+\.json")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mimic") / CORPUS
    write(str(folder), MimicSettings(CORPUS, subjects=8, frames=8))
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("undisturbed") / "set")
    with driver(source, out, {}) as running:
        assert running.wait(600) == 0
    return out


@contextmanager
def driver(source: Path, out: str, more: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FASRAY_"))}
    running = subprocess.Popen(
        [COMMAND, "data", "prepare", CORPUS, source, out, *OPTIONS],
        env={**without_aws(kept), "OMP_NUM_THREADS": "1", **more},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()


def chunks(out: str) -> set[str]:
    return {name for name in storage.listing(storage.join(out, FOLDER)) if CHUNK.fullmatch(name)}


def until_new_chunks(out: str, count: int, running: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: len(chunks(out)) >= count or running.poll() is not None, 200)


def storm(source: Path, out: str, more: dict[str, str], seed: int) -> list[int]:
    """Kill ten drivers; return how many chunks were done after each kill."""
    rng = random.Random(seed)
    done = []
    moments = ["early"] * 3 + ["working"] * (KILLS - 3)
    rng.shuffle(moments)
    for moment in moments:
        before = chunks(out)
        with driver(source, out, more) as running:
            if moment == "working":
                until_new_chunks(out, len(before) + rng.randint(1, 3), running)
            for _ in range(rng.randint(0, 3 if moment == "working" else 150)):
                pause()
            assert running.poll() is None, "the corpus was too small to be killed so often"
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
        assert MANIFEST_NAME not in storage.listing(out), "a half-made set does not look whole"
        done.append(len(chunks(out)))
        assert before <= chunks(out), "what was done stays done"
    return done


def ends_as_undisturbed(source: Path, out: str, more: dict[str, str], undisturbed: str) -> None:
    with driver(source, out, more) as running:
        assert running.wait(600) == 0
    assert set(storage.listing(out)) - {FOLDER} == set(storage.listing(undisturbed))
    assert read_manifest(out) == read_manifest(undisturbed)
    for name in storage.listing(undisturbed):
        whole = storage.read_bytes(storage.join(undisturbed, name))
        assert storage.read_bytes(storage.join(out, name)) == whole, name
    assert verify(out) == []
    index = read_index(out)
    keys = list(zip(index.video.tolist(), index.frame.tolist(), strict=True))
    assert len(set(keys)) == len(keys) > 0


def test_ten_kills_on_a_local_disk(source: Path, undisturbed: str, tmp_path: Path) -> None:
    out = str(tmp_path / "set")
    done = storm(source, out, {}, seed=1)
    assert 0 < done[-1] < len(read_manifest(undisturbed).shards), done
    ends_as_undisturbed(source, out, {}, undisturbed)
    assert not [path.name for path in (tmp_path / "set").iterdir() if path.name.endswith(".tmp")]


def test_ten_kills_on_an_object_store(source: Path, undisturbed: str, object_store: ObjectStore, s3: str) -> None:
    done = storm(source, s3, object_store.env, seed=2)
    assert 0 < done[-1] < len(read_manifest(undisturbed).shards), done
    ends_as_undisturbed(source, s3, object_store.env, undisturbed)
