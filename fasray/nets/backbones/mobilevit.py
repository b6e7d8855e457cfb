"""MobileViT-S by timm, with timm's state-dict names: a small network for phones.

Source: Mehta and Rastegari, MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer, ICLR
2022.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from timm import create_model
from timm.models.mobilevit import model_cfgs
from torch import nn

from fasray.nets.batchnorm import own_batchnorm
from fasray.nets.resnet import blocks

_HEADS = 4
"""Of each transformer, whatever its width."""


def mobilevit_s(width: float, image_size: int) -> nn.Module:
    """Return MobileViT-S for any image size; maps of an odd side (of 1/8 to 1/32 of the image) are resampled inside."""
    del image_size
    published = model_cfgs["mobilevit_s"]
    network: nn.Module = create_model(
        "mobilevit_s",
        pretrained=False,
        num_classes=0,
        blocks=tuple(_scaled(block, width) for block in published.blocks),
        stem_chs=_channels(published.stem_chs, width),
        num_features=_channels(published.num_features, width),
    )
    return own_batchnorm(network)


def _scaled(block: Any, width: float) -> Any:
    """Return a stage's parts (one, or a tuple) with less channels and, in their transformers, less blocks."""
    if isinstance(block, tuple):
        return tuple(_scaled(part, width) for part in block)
    more = dict(block.block_kwargs or {})
    if "transformer_dim" in more:
        more["transformer_dim"] = _channels(more["transformer_dim"], width, of=2 * _HEADS)
        more["transformer_depth"] = blocks(more["transformer_depth"], width)
    return replace(block, d=blocks(block.d, width), c=_channels(block.c, width), block_kwargs=more)


def _channels(number: int, width: float, of: int = 4) -> int:
    return max(of, of * round(number * width / of))
