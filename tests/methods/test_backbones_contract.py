"""ERM keeps the contract with every backbone, in its small form; the whole of it, processes included, is slow."""

from typing import Any

import pytest
import torch

from fasray.inference.onnx import TOLERANCE, export_method
from fasray.methods import registry
from fasray.methods.base import Build
from fasray.nets import backbones
from fasray.testing import MethodContract, built, run, toy_draw, weights


class _OfERM(MethodContract):
    method = registry.get("erm")


@pytest.mark.slow
class TestResNet50(_OfERM):
    settings = {"backbone": "resnet50"}
    steady = {"learning_rate": 1e-6}  # fifty layers of BatchNorm make much of rounding


def _settings(name: str) -> dict[str, Any]:
    return {"backbone": name, **backbones.recommended(name, pretrained=False)}


@pytest.mark.slow
class TestViT16(_OfERM):
    settings = _settings("vit_s_16")


@pytest.mark.slow
class TestViT14(_OfERM):
    settings = _settings("vit_b_14")


@pytest.mark.slow
class TestDINOv2WithRegisters(_OfERM):
    settings = _settings("dinov2_vit_s_14_reg")


@pytest.mark.slow
class TestCLIP(_OfERM):
    settings = _settings("clip_vit_b_16")


@pytest.mark.slow
class TestMobileViT(_OfERM):
    settings = _settings("mobilevit_s")
    steady = {"learning_rate": 1e-6}

    def test_constant_images_give_finite_losses_and_scores(self) -> None:
        """Of a fresh network: the gradients of equal images are not finite, as the network's module says."""
        for level in (0.0, 0.5, 1.0):
            method = self._built()
            images = torch.full_like(toy_draw(method, 3).views[0], level)
            assert method.score(images).isfinite().all()


@pytest.mark.parametrize("method", ["erm", "ssdg", "safas", "gacfas"])
@pytest.mark.parametrize("name", ["resnet50", "vit_s_14", "clip_vit_b_16", "mobilevit_s"])
def test_every_method_with_the_setting_takes_a_step_with_each_family(method: str, name: str) -> None:
    kind = registry.get(method)
    settings = {"backbone": name, **kind.Config.for_backbone(name, pretrained=False)}
    trained = built(kind, **settings)
    before = weights(trained)
    loss = run(trained, 1)["loss"]
    assert loss.isfinite()
    moved = [key for key, value in weights(trained).items() if not torch.equal(value, before[key])]
    assert any(key.startswith("backbone.") for key in moved)
    assert type(trained.optimizers["all"]).__name__ == ("SGD" if name == "resnet50" else "AdamW")


@pytest.mark.slow
@pytest.mark.parametrize("name", backbones.names())
def test_a_model_with_it_is_exported_and_scores_the_same(name: str) -> None:
    torch.manual_seed(0)
    method = registry.get("erm")(registry.config("erm", _settings(name)))
    method.build(Build(num_domains=2, image_size=96, total_steps=1, width=0.125))
    assert export_method(method, 96).difference <= TOLERANCE
