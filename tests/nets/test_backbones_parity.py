"""Whole backbones give what other libraries' implementations give with the same random weights.

Small forms are compared where files of these libraries are read, in ``test_weight_formats.py`` and ``test_clip.py``.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from fasray.nets import backbones
from fasray.nets.weight_files.convert import convert
from fasray.nets.weights import load_backbone


def shaken(model: nn.Module) -> nn.Module:
    """Make every tensor random: norms, scales and biases start as ones and zeros, which hides mistakes."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=generator), alpha=0.1)
    return model.eval()


def images(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def filled(name: str, theirs: nn.Module, side: int, folder: Path) -> nn.Module:
    """Return our network with the weights of theirs."""
    save_file(
        {key: value.contiguous().clone() for key, value in theirs.state_dict().items()}, folder / "theirs.safetensors"
    )
    out = str(folder / "ours.safetensors")
    assert convert(str(folder / "theirs.safetensors"), out).architecture == name
    ours = backbones.make(name, image_size=side)
    load_backbone(ours, out, architecture=name)
    return ours.eval()


def assert_alike(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 1e-3
    torch.testing.assert_close(ours / theirs.std(), theirs / theirs.std(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_resnet50_is_torchvisions() -> None:
    theirs = shaken(models.resnet50())
    ours = backbones.make("resnet50", image_size=64)
    ours.load_state_dict({name: value for name, value in theirs.state_dict().items() if not name.startswith("fc.")})
    theirs.fc = nn.Identity()
    assert_alike(ours.eval()(images(64)), theirs(images(64)))
    assert_alike(ours.train()(images(64)), theirs.train()(images(64)))


@pytest.mark.parametrize("size", [64, 72])
@torch.no_grad()
def test_mobilevit_is_timms_but_for_the_layout(size: int) -> None:
    import timm

    theirs = shaken(timm.create_model("mobilevit_s", num_classes=0))
    ours = backbones.make("mobilevit_s", image_size=size)
    ours.load_state_dict(theirs.state_dict())
    assert_alike(ours.eval()(images(size)), theirs(images(size)))


@pytest.mark.slow
@torch.no_grad()
def test_vit_b_16_is_torchvisions(tmp_path: Path) -> None:
    theirs = shaken(models.vit_b_16())
    ours = filled("vit_b_16", theirs, 224, tmp_path)
    theirs.heads = nn.Identity()
    assert_alike(ours(images(224)), theirs(images(224)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov2_vit_s_14_reg", "dinov2_vit_b_14_reg", "vit_s_14"])
@torch.no_grad()
def test_dinov2_is_that_of_hugging_face(name: str, tmp_path: Path) -> None:
    import transformers

    features = backbones.get(name).num_features
    size: dict[str, Any] = {
        "hidden_size": features,
        "num_attention_heads": features // 64,
        "image_size": 98,
        "patch_size": 14,
    }
    theirs: Any
    if name.endswith("_reg"):
        theirs = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**size))
    else:
        theirs = transformers.Dinov2Model(transformers.Dinov2Config(**size))
    ours = filled(name, shaken(theirs), 96, tmp_path)  # 7 patches of 14 both, after ours has resized its images
    resized = nn.functional.interpolate(images(96), size=(98, 98), mode="bilinear")
    assert_alike(ours(images(96)), theirs(resized).pooler_output)


OURS = {
    "conv_stem.": "stem.", "conv_1x1_exp.": "final_conv.", "encoder.layer.": "stages.", ".downsampling_layer.": ".0.",
    ".conv_1x1.convolution.": ".1.conv_1x1.", ".expand_1x1.": ".conv1_1x1.", ".conv_3x3.": ".conv2_kxk.",
    ".reduce_1x1.": ".conv3_1x1.", ".conv_kxk.": ".1.conv_kxk.", ".transformer.layer.": ".1.transformer.",
    ".attention.output.dense.": ".attn.proj.", ".intermediate.dense.": ".mlp.fc1.", ".output.dense.": ".mlp.fc2.",
    ".layernorm_before.": ".norm1.", ".layernorm_after.": ".norm2.", ".layernorm.": ".1.norm.", ".layer.": ".",
    ".conv_projection.": ".1.conv_proj.", ".fusion.": ".1.conv_fusion.", ".convolution.": ".conv.",
    ".normalization.": ".bn.",
}  # fmt: skip
"""MobileViT's names in transformers, and in timm."""


@pytest.mark.slow
@torch.no_grad()
def test_mobilevit_is_that_of_hugging_face() -> None:
    import transformers

    theirs = shaken(transformers.MobileViTModel(transformers.MobileViTConfig(image_size=96, layer_norm_eps=1e-5)))
    state: dict[str, Tensor] = {}
    for key, value in theirs.state_dict().items():
        name = key
        for before, after in OURS.items():
            name = name.replace(before, after)
        block, query, kind = name.partition(".attention.attention.query.")
        if query:
            parts = [theirs.state_dict()[key.replace("query", part)] for part in ("query", "key", "value")]
            state[f"{block}.attn.qkv.{kind}"] = torch.cat(parts)
        elif ".attention.attention." not in name:
            state[name] = value
    ours = backbones.make("mobilevit_s", image_size=96)
    ours.load_state_dict(state)
    assert_alike(ours.eval()(images(96)), theirs(images(96)).pooler_output)
