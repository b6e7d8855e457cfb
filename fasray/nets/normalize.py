"""Images in [0, 1] to the mean and spread that ImageNet weights expect."""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageNetNormalize(nn.Module):
    """Subtract ImageNet's RGB mean and divide by its standard deviation.

    The constants move with the module but are not part of its state: a checkpoint does not hold them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return [B, 3, H, W] normalised images for RGB images in [0, 1]."""
        return (x_BCHW - self.mean) / self.std
