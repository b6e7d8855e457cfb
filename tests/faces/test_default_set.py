"""The default set is frozen: later figures are measured on the same pictures."""

import importlib.util
import json
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from locations import GOLDEN

from fasray.faces.synthetic.corpus import GENERATOR

HERE = GOLDEN


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return load("make_generated_faces")


@pytest.fixture(scope="module")
def golden() -> Any:
    return json.loads((HERE / "generated_faces.json").read_text(encoding="utf-8"))


def test_the_pictures_are_the_frozen_ones(maker, golden) -> None:
    assert golden["generator"] == GENERATOR
    now = maker.first_pictures()
    assert now.keys() == golden["pictures"].keys()
    for video, expected in golden["pictures"].items():
        np.testing.assert_allclose(now[video]["mean"], expected["mean"], atol=0.05, err_msg=video)
        np.testing.assert_allclose(now[video]["std"], expected["std"], atol=0.05, err_msg=video)
        np.testing.assert_allclose(now[video]["depth"], expected["depth"], rtol=1e-3, err_msg=video)
    if maker.arithmetic() != golden["arithmetic"]:
        pytest.skip("another CPU or another library: the same pictures, but the last bit may differ")
    assert {v: p["sha256"] for v, p in now.items()} == {v: p["sha256"] for v, p in golden["pictures"].items()}


@pytest.mark.slow
def test_the_whole_default_set_has_the_frozen_manifest(maker, golden) -> None:
    if maker.arithmetic() != golden["arithmetic"]:
        pytest.skip("another CPU or another library: the last bit of a picture may differ")
    assert maker.manifest_hash() == golden["manifest_hash"]
