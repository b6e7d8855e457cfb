"""What tests of several folders share: a few generated faces, and one small sweep over them that has run to its end."""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from object_store import BUCKET, ObjectStore
from small_sweeps import MISHAPS, Place, Ran, place
from sweep_fixtures import SWEEP, make_table, plan_of

from fasray.faces.face_index import FaceIndex
from fasray.faces.synthetic import generate
from fasray.sweep.plan import Plan

TOKEN = "7e57" * 16
settings.register_profile(  # the same examples on every machine, however busy it is
    "fasray", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fasray")


@pytest.fixture(scope="session")
def small_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """480 faces of 48 px: domains O, C, I, M with five subjects each. Read only."""
    folder = tmp_path_factory.mktemp("small") / "faces"
    generate(str(folder), subjects=5, image_size=48, processes=1)
    return folder


@dataclass(frozen=True)
class Finished:
    """A sweep that has run once, undisturbed."""

    place: Place
    ran: Ran
    token: str
    """Ray's token in this sweep."""
    decoded_images: int
    """Images that its processes decoded, counted by ``mishaps/sitecustomize``."""


@pytest.fixture(scope="session")
def finished(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    tally = folder / "decoded"
    here = place(folder, small_faces, PYTHONPATH=str(MISHAPS), FASRAY_TEST_TALLY=str(tally), RAY_AUTH_TOKEN=TOKEN)
    ran = here.drive()
    return Finished(here, ran, TOKEN, tally.stat().st_size if tally.exists() else 0)


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 server that runs for the whole session; who wants to stop one starts one's own."""
    with ObjectStore(tmp_path_factory.mktemp("object-store")) as store:
        yield store


@pytest.fixture
def s3(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh ``s3://`` prefix, with the environment of this process set to reach it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in object_store.env.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def table() -> FaceIndex:
    """Return the faces of a sweep in numbers, without pixels."""
    return make_table()


@pytest.fixture
def plan(table: FaceIndex) -> Plan:
    return plan_of(SWEEP, table)
