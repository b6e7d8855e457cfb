"""MobileViT-S by timm, with timm's state-dict names: a small network for phones.

Source: Mehta and Rastegari, MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer, ICLR
2022.

Batch normalisation before activations that are not flat at zero makes the gradients of a batch of equal images grow by
a factor of 300 with each layer, up to NaN; real faces are never equal.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from timm import create_model
from timm.models.byobnet import register_block
from timm.models.mobilevit import MobileVitBlock, model_cfgs
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.batchnorm import own_batchnorm
from fasray.nets.resnet import blocks

_HEADS = 4
"""Of each transformer, whatever its width."""
_BLOCK = "fasray_mobilevit"


class Block(MobileVitBlock):
    """timm's block of convolutions and a transformer, whose maps keep the layout channels last.

    The tokens at the same place of each patch attend to each other.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, H, W] for [B, C, H, W]."""
        shortcut, (high, wide) = x, self.patch_size
        x = self.conv_1x1(self.conv_kxk(x))
        size = (x.shape[2], x.shape[3])
        rows, columns = math.ceil(size[0] / high), math.ceil(size[1] / wide)
        x = _resized(x, (rows * high, columns * wide))
        x = x.permute(0, 2, 3, 1).reshape(-1, rows, high, columns, wide, x.shape[1]).permute(0, 2, 4, 1, 3, 5)
        tokens = self.norm(self.transformer(x.reshape(-1, rows * columns, x.shape[-1])))
        x = tokens.reshape(-1, high, wide, rows, columns, x.shape[-1]).permute(0, 3, 1, 4, 2, 5)
        x = x.reshape(-1, rows * high, columns * wide, x.shape[-1]).permute(0, 3, 1, 2)
        assert self.conv_fusion is not None  # noqa: S101
        merged: Tensor = self.conv_fusion(torch.cat((shortcut, self.conv_proj(_resized(x, size))), dim=1))
        return merged


register_block(_BLOCK, Block)  # type: ignore[arg-type]  # timm means the class


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
        block = replace(block, type=_BLOCK)
        more["transformer_dim"] = _channels(more["transformer_dim"], width, of=2 * _HEADS)
        more["transformer_depth"] = blocks(more["transformer_depth"], width)
    return replace(block, d=blocks(block.d, width), c=_channels(block.c, width), block_kwargs=more)


def _channels(number: int, width: float, of: int = 4) -> int:
    return max(of, of * round(number * width / of))


def _resized(x_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    if x_BCHW.shape[-2:] == size:
        return x_BCHW
    return functional.interpolate(x_BCHW, size=size, mode="bilinear", align_corners=False)
