"""Parts of SSDG's networks: the plain convolutional backbone, the embedding and the domain discriminator.

Source: Jia et al., CVPR 2020 (arXiv 2004.14043), table 1 and the published program, whose initial values these are.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.batchnorm import BatchNorm2d
from fasray.nets.resnet import scaled

BLOCKS = ((64, 128, 196, 128), (128, 196, 128), (128, 196, 128))
"""Channels of the generator's convolutions; a pooling that halves the map follows each block."""
EMBEDDER = (128, 256, 512)
"""Channels of the embedder's convolutions; the first two are followed by a pooling."""

Norm = Literal["official", "paper", "none"]
"""Of features: as the published program divides them, as the paper writes it, or not at all."""
TINY = 1e-12
"""Norms and counts are not taken smaller than this."""


class PlainNet(nn.Module):
    """Thirteen 3x3 convolutions, from [B, 3, H, W] to [B, ``num_features``] by global average pooling.

    The ten-convolution generator is that of MADDG (Shao et al., CVPR 2019) without its depth branch; the last three are
    the embedder's. H and W are multiples of 32 or near it: the last map is 1/32 of the image.

    Args:
        width: channel multiplier; 1 gives 1,727,960 + 1,623,808 parameters and 512 features.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        previous = 3
        for block in BLOCKS:
            for channels in block:
                blocks.append(_convolution(previous, scaled(channels, width)))
                previous = scaled(channels, width)
            blocks.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.generator = nn.Sequential(*blocks)
        first, second, third = (scaled(channels, width) for channels in EMBEDDER)
        self.embedder = nn.Sequential(
            _convolution(previous, first),
            nn.MaxPool2d(3, stride=2, padding=1),
            _convolution(first, second),
            nn.MaxPool2d(3, stride=2, padding=1),
            _convolution(second, third),
        )
        self.num_features = third
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the [B, num_features] average of the last map over the image."""
        features: Tensor = self.embedder(self.generator(x)).mean(dim=(2, 3))
        return features


class Embedding(nn.Linear):
    """One linear layer, square by default, and a ReLU; dropout, if any, is a mask that the caller gives."""

    def __init__(self, features: int, out_features: int | None = None) -> None:
        super().__init__(features, out_features or features)
        nn.init.normal_(self.weight, 0, 0.005)
        nn.init.constant_(self.bias, 0.1)

    def forward(self, input: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the [B, F] embedding, multiplied by ``mask`` where given."""
        x = functional.relu(super().forward(input))
        return x if mask is None else x * mask


class Discriminator(nn.Module):
    """Which of D domains a feature comes from: linear, ReLU, dropout by a given mask, linear.

    At 512 features and 3 domains it has 264,195 parameters. Reverse the gradient before it, not in it.
    """

    def __init__(self, features: int, num_domains: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.out = nn.Linear(features, num_domains)
        nn.init.normal_(self.hidden.weight, 0, 0.01)
        nn.init.normal_(self.out.weight, 0, 0.3)
        nn.init.zeros_(self.hidden.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, feature_BF: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return [B, D] logits; ``mask`` is multiplied to the hidden layer where given."""
        x = functional.relu(self.hidden(feature_BF))
        logits: Tensor = self.out(x if mask is None else x * mask)
        return logits


def normalised_features(feature_BF: Tensor, norm: Norm) -> Tensor:
    """Return [B, F] features of norm sqrt(|f| / 2) (``official``), 1 (``paper``) or as they are; zero stays zero."""
    if norm == "none":
        return feature_BF
    length_B1 = feature_BF.norm(dim=1, keepdim=True).clamp_min(TINY)
    return feature_BF / (torch.sqrt(2 * length_B1) if norm == "official" else length_B1)


def _convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), BatchNorm2d(out_channels), nn.ReLU(inplace=True)
    )
