"""Images in [0, 1] to the mean and spread that pretrained weights expect."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Subtract an RGB mean and divide by a standard deviation.

    The constants move with the module but are not part of its state: a checkpoint does not hold them.

    Args:
        mean: of each channel, of images in [0, 1].
        std: of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return [B, 3, H, W] normalised images for RGB images in [0, 1]."""
        return (x_BCHW - self.mean) / self.std


class ImageNetNormalize(Normalize):
    """With ImageNet's mean and standard deviation."""

    def __init__(self) -> None:
        super().__init__(IMAGENET_MEAN, IMAGENET_STD)
