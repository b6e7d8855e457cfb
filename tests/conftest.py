"""What tests of several folders share: a few generated faces, and one small sweep over them that has run to its end."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from small_sweeps import MISHAPS, Place, Ran, place

from fasray.faces.synthetic import generate

TOKEN = "7e57" * 16


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
