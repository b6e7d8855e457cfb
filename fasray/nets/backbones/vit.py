"""Vision transformers by timm, with timm's state-dict names: plain ones, and DINOv2's with and without registers.

Sources: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021; Oquab et al., DINOv2, TMLR 2024; Darcet et al.,
Vision Transformers Need Registers, ICLR 2024. The features are the class token after the last normalisation.
"""

from __future__ import annotations

import math
from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.resnet import blocks

_DEPTH, _HEAD = 12, 64
_DINOV2 = {"init_values": 1e-5, "no_embed_class": True}
"""Scaled residual branches; registers and the class token have no position embedding."""


class ViT(VisionTransformer):
    """A vision transformer for square images of one size, which are resized to a whole number of patches if need be.

    Args:
        width: 1 is the published network: 12 blocks, heads of 64 channels.
        image_size: side of the images.
        patch: side of a patch.
        channels: of a token at width 1.
        more: what distinguishes the architecture, as timm names it.
    """

    def __init__(self, width: float, image_size: int, patch: int, channels: int, **more: Any) -> None:
        heads = max(1, round(channels // _HEAD * width))
        head = max(8, 8 * round(channels * width / heads / 8))
        side = whole_patches(image_size, patch)
        super().__init__(
            img_size=side,
            patch_size=patch,
            embed_dim=heads * head,
            depth=blocks(_DEPTH, width),
            num_heads=heads,
            num_classes=0,
            **more,
        )
        self.side = side

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Return the [B, num_features] class token of images [B, 3, image_size, image_size]."""
        return super().forward(resized(x, self.side), attn_mask, is_causal)


def whole_patches(image_size: int, patch: int) -> int:
    """Return the multiple of ``patch`` nearest to ``image_size``, the larger of two; at least one patch."""
    return patch * max(1, math.floor(image_size / patch + 0.5))


def resized(x_BCHW: Tensor, side: int) -> Tensor:
    """Return the images at side x side pixels, bilinearly; as they are where they have that size."""
    if x_BCHW.shape[-1] == side:
        return x_BCHW
    return functional.interpolate(x_BCHW, size=(side, side), mode="bilinear", align_corners=False)


def vit_s_16(width: float, image_size: int) -> nn.Module:
    """Return ViT-S/16."""
    return ViT(width, image_size, 16, 384)


def vit_b_16(width: float, image_size: int) -> nn.Module:
    """Return ViT-B/16."""
    return ViT(width, image_size, 16, 768)


def vit_s_14(width: float, image_size: int) -> nn.Module:
    """Return DINOv2's ViT-S/14 without registers; its class token has a position embedding."""
    return ViT(width, image_size, 14, 384, init_values=1e-5)


def vit_b_14(width: float, image_size: int) -> nn.Module:
    """Return DINOv2's ViT-B/14 without registers."""
    return ViT(width, image_size, 14, 768, init_values=1e-5)


def dinov2_vit_s_14_reg(width: float, image_size: int) -> nn.Module:
    """Return DINOv2's ViT-S/14 with four registers."""
    return ViT(width, image_size, 14, 384, reg_tokens=4, **_DINOV2)


def dinov2_vit_b_14_reg(width: float, image_size: int) -> nn.Module:
    """Return DINOv2's ViT-B/14 with four registers."""
    return ViT(width, image_size, 14, 768, reg_tokens=4, **_DINOV2)
