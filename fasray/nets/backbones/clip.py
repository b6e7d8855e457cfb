"""CLIP's image tower as a backbone: ViT-B/16, the class token before the projection into the space of the texts.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021.
"""

from __future__ import annotations

from torch import Tensor, nn

from fasray.nets.backbones.vit import resized, whole_patches
from fasray.nets.clip import PATCH, ImageTower


class CLIPTower(ImageTower):
    """The image tower for square images of one size, which are resized to a whole number of patches if need be.

    Args:
        width: multiplier of width and layers.
        image_size: side of the images.
    """

    def __init__(self, width: float, image_size: int) -> None:
        self.side = whole_patches(image_size, PATCH)
        super().__init__(width, self.side)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return [B, num_features] for normalised images [B, 3, image_size, image_size]."""
        return super().forward(resized(x_BCHW, self.side))


def clip_vit_b_16(width: float, image_size: int) -> nn.Module:
    """Return CLIP's image tower."""
    return CLIPTower(width, image_size)
