"""Every registered method keeps the contract that ships as ``fasray.testing``."""

import pytest
from toy_draws import SMALL

from fasray.methods import registry
from fasray.testing import MethodContract


class TestERM(MethodContract):
    method = registry.get("erm")


class TestSAFAS(MethodContract):
    method = registry.get("safas")


class TestHFNMP(MethodContract):
    method = registry.get("hfn_mp")
    settings = SMALL["hfn_mp"]
    learning = {"optimizer": "adam", "learning_rate": 2e-3}
    steady = {"learning_rate": 1e-6}  # a hundred layers of BatchNorm make 1e-3 of 1e-15 within three published steps


class TestSSDG(MethodContract):
    method = registry.get("ssdg")


class TestSDFANet(MethodContract):
    method = registry.get("sdfanet")


class TestRFMeta(MethodContract):
    method = registry.get("rfmeta")


class TestOneSideTriplet(MethodContract):
    method = registry.get("oneside_triplet")


class TestSSANR(MethodContract):
    method = registry.get("ssan")
    learning = {"learning_rate": 1e-3}


@pytest.mark.slow
class TestSSANM(MethodContract):
    method = registry.get("ssan")
    settings = {"variant": "m"}
    learning = {"learning_rate": 1e-3}


class TestGACFAS(MethodContract):
    method = registry.get("gacfas")
    learning = {"gac_from": 0.8}  # a step with ascents costs that of four


class TestFLIPMCL(MethodContract):
    method = registry.get("flip")
    settings = {"learning_rate": 1e-3}
    steady = {"learning_rate": 1e-6}


@pytest.mark.slow
class TestFLIPIT(MethodContract):
    method = registry.get("flip")
    settings = {
        "learning_rate": 1e-3, "variant": "it", "text_tower": "freeze", "image_tower": "last_4", "prompts": "one"
    }  # fmt: skip
    steady = {"learning_rate": 1e-6}


@pytest.mark.slow
class TestFLIPV(MethodContract):
    method = registry.get("flip")
    settings = {"learning_rate": 1e-3, "variant": "v"}
    steady = {"learning_rate": 1e-6}


class TestGDFAS(MethodContract):
    method = registry.get("gdfas")
    settings = {"learning_rate": 1e-3}
    steady = {"learning_rate": 1e-6}


def test_no_method_is_left_out() -> None:
    checked = {kind.method.name for kind in MethodContract.__subclasses__() if kind.__module__ == __name__}
    assert checked == set(registry.names())
