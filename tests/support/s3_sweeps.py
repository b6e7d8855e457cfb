"""A small sweep whose faces and run directory are on an object store."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
from object_store import BUCKET, ObjectStore, without_aws
from small_sweeps import Driver, Place, environment, place
from tensorboardX.proto.event_pb2 import Event as Point

from fasray import storage

FACES, RUN = f"s3://{BUCKET}/faces", f"s3://{BUCKET}/runs/tiny"


@contextmanager
def remote_place(folder: Path, faces: Path, text: str) -> Iterator[tuple[ObjectStore, Place]]:
    """A store of its own with the faces on it, and a sweep over them that writes there; this process can read it.

    Args:
        folder: for the store, the sweep file and a fresh pool.
        faces: local face set to put on the store, byte for byte.
        text: sweep file; ``{data}`` becomes the address of the faces.
    """
    with (
        ObjectStore(folder / "store") as store,
        tempfile.TemporaryDirectory(prefix="fr") as short,
        environment(store.env),
    ):
        for path in sorted(faces.iterdir()):
            storage.write_bytes(storage.join(FACES, path.name), path.read_bytes())
        settings = {**store.env, "FASRAY_POOL_DIR": str(folder / "pools"), "RAY_TMPDIR": short}
        here = place(folder / "place", faces, text.replace("{data}", FACES), **settings)
        yield store, replace(here, env={**without_aws(here.env), **settings}, remote=RUN)


def until_event_files(driver: Driver, count: int) -> None:
    """Wait until the log on the store has so many events."""
    driver.until(lambda: len(storage.listing(storage.join(driver.place.out, "events"))) >= count, 240)


def remote_table(run: str) -> pd.DataFrame:
    """The result table that the sweep left."""
    return pd.read_parquet(io.BytesIO(storage.read_bytes(storage.join(run, "results.parquet"))))


def score_files(run: str) -> dict[str, bytes]:
    """Every score file of a run, by trial and name."""
    trials = storage.join(run, "trials")
    return {
        f"{trial}/{name}": storage.read_bytes(storage.join(trials, trial, name))
        for trial in storage.listing(trials)
        for name in storage.listing(storage.join(trials, trial))
        if name.startswith("eval-")
    }


def curve_steps(trial_dir: str) -> list[list[int]]:
    """Steps of the points in each TensorBoard file of a trial, in the order of the files."""
    folder = storage.join(trial_dir, "tensorboard")
    (run,) = storage.listing(folder)
    files = storage.join(folder, run)
    return [_steps(storage.read_bytes(storage.join(files, name))) for name in storage.listing(files)]


def _steps(records: bytes) -> list[int]:
    """Read the framing of TensorBoard's files: length, its checksum, the event, its checksum."""
    steps, at = set(), 0
    while at < len(records):
        (length,) = struct.unpack_from("<Q", records, at)
        event = Point.FromString(records[at + 12 : at + 12 + length])
        if event.summary.value and not event.summary.value[0].tag.startswith("_hparams_"):
            steps.add(event.step)
        at += 12 + length + 4
    return sorted(steps)
