"""The networks whose weights can be loaded by path: their tensors, and where people find published ones."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fasray.nets import backbones
from fasray.nets.backbones import Backbone

CLIP = "clip_vit_b_16"
"""Both towers of CLIP in one file; a backbone of that name is its image tower."""

CLASSIFIERS = ("fc.", "head.")
"""Prefixes of torchvision's and timm's classifiers, which a feature extractor does not have."""
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")

_POSITIONS = {"pos_embed": 1, "visual.positional_embedding": 0, "positional_embedding": 0}
"""Position embeddings by name, and along which dimension their positions are."""

_KNOWN_FILES = {
    "resnet18": ("torchvision: resnet18-f37072fd.pth, also as `imagenet`", "timm: resnet18.tv_in1k"),
    "resnet50": ("torchvision: resnet50-0676ba61.pth, also as `imagenet`", "timm: resnet50.tv_in1k"),
    "vit_s_16": ("timm: vit_small_patch16_224.augreg_in21k",),
    "vit_b_16": ("timm: vit_base_patch16_224.augreg_in21k", "Hugging Face: google/vit-base-patch16-224-in21k"),
    "vit_s_14": ("Meta: dinov2_vits14_pretrain.pth", "timm: vit_small_patch14_dinov2.lvd142m"),
    "vit_b_14": ("Meta: dinov2_vitb14_pretrain.pth", "timm: vit_base_patch14_dinov2.lvd142m"),
    "dinov2_vit_s_14_reg": (
        "Meta: dinov2_vits14_reg4_pretrain.pth",
        "Hugging Face: facebook/dinov2-with-registers-small",
        "timm: vit_small_patch14_reg4_dinov2.lvd142m",
    ),
    "dinov2_vit_b_14_reg": (
        "Meta: dinov2_vitb14_reg4_pretrain.pth",
        "Hugging Face: facebook/dinov2-with-registers-base",
        "timm: vit_base_patch14_reg4_dinov2.lvd142m",
    ),
    "mobilevit_s": ("timm: mobilevit_s.cvnets_in1k",),
    CLIP: (
        "OpenAI: ViT-B-16.pt",
        "Hugging Face: openai/clip-vit-base-patch16",
        "open_clip: ViT-B-16-quickgelu, openai",
    ),
}


@dataclass(frozen=True)
class Misfit:
    """How the tensors of a file differ from those of an architecture."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def __str__(self) -> str:
        return "; ".join(
            f"{kind}: {', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
            for kind, names in (
                ("missing", self.missing), ("unexpected", self.unexpected), ("different shapes", self.shapes)
            )
            if names
        )  # fmt: skip


def names() -> tuple[str, ...]:
    """Return the names of all architectures."""
    return tuple(dict.fromkeys((*backbones.names(), CLIP)))


def family(architecture: str) -> str:
    """Return the family of an architecture: networks of one share their tensors' names."""
    return "clip" if architecture == CLIP else backbones.get(architecture).family


def known_files(architecture: str) -> Sequence[str]:
    """Return names of published weights that fit, each after who publishes it."""
    return _KNOWN_FILES.get(architecture, ())


def tensors_of(architecture: str, width: float = 1.0) -> Mapping[str, Tensor]:
    """Return the tensors of an architecture on torch's meta device: names, shapes and types without values.

    Raises:
        SpecError: there is no such architecture.
    """
    return _tensors_of(None if architecture == CLIP else backbones.get(architecture), width)


@functools.lru_cache(maxsize=32)
def _tensors_of(backbone: Backbone | None, width: float) -> Mapping[str, Tensor]:
    with torch.device("meta"):
        if backbone is not None:
            return backbones.make(backbone.name, width=width, image_size=backbone.image_size).state_dict()
        from fasray.nets import clip

        return clip.CLIP(width).state_dict()


def parameters(tensors: Mapping[str, Tensor]) -> int:
    """Return how many numbers of a state dict are trained: all but the statistics of batch normalisation."""
    return sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(_STATISTICS))


def misfit(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Misfit:
    """Compare a network's tensors with those of a file.

    Position embeddings may be of another grid. The batch counters of batch normalisation may be missing, as they are
    in old files.
    """
    return Misfit(
        tuple(name for name in own if name not in given and not name.endswith("num_batches_tracked")),
        tuple(name for name in given if name not in own),
        tuple(
            f"{name} is {tuple(given[name].shape)} in the file and {tuple(own[name].shape)} in the network"
            for name in own
            if name in given and _without_positions(name, given[name]) != _without_positions(name, own[name])
        ),
    )


def _without_positions(name: str, tensor: Tensor) -> tuple[int, ...]:
    shape = list(tensor.shape)
    if name in _POSITIONS and len(shape) > _POSITIONS[name]:
        shape[_POSITIONS[name]] = 0
    return tuple(shape)
