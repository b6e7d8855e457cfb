"""A small generated set, made once for the tests of this folder."""

import shutil

import pytest

from fasray.faces.synthetic import generate


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces") / "set"
    generate(str(folder), subjects=3, domains="OI", image_size=48, processes=1)
    return folder


@pytest.fixture
def face_set(made_once, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made_once, tmp_path / "set")
