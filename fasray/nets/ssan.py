"""Networks of SSAN: a content and a style of each face, assembled to one map, and the discriminators of content.

Source: Wang et al., CVPR 2022 (arXiv 2203.05340), and the published program, whose layers these are. Convolutions have
no bias; all weights start as torch makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.batchnorm import BatchNorm2d
from fasray.nets.convolution import Convolution
from fasray.nets.resnet import ResNet, scaled
from fasray.nets.ssdg import BLOCKS

EPSILON = 1e-5
"""Added to a variance before its root is taken."""
LEAK = 0.2
"""Slope of the map discriminator's leaky ReLU."""

Block = Literal["residual", "adain"]
"""An assembly block: two convolutions, each normalised by the style, around a shortcut; or that normalisation alone."""


def standardised(x: Tensor, *, unbiased: bool) -> Tensor:
    """Return [B, C, h, w] maps with mean 0 and variance 1 over each map; a map of one place becomes 0.

    Args:
        x: maps; in half precision the statistics are taken in float32, and so is the result.
        unbiased: whether the variance divides by h w - 1, as ``torch.var`` does, or by h w.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    correction = int(unbiased and x.shape[2] * x.shape[3] > 1)
    variance, mean = torch.var_mean(x, dim=(2, 3), keepdim=True, correction=correction)
    return (x - mean) / torch.sqrt(variance + EPSILON)


def restyled(x: Tensor, gamma_BC: Tensor, beta_BC: Tensor) -> Tensor:
    """Return AdaIN of [B, C, h, w] maps: standardised, then scaled by gamma and shifted by beta, each [B, C]."""
    return standardised(x, unbiased=True) * gamma_BC[:, :, None, None] + beta_BC[:, :, None, None]


class PlainStages(nn.Module):
    """Ten 3x3 convolutions in three blocks, each of which halves the map: the encoder of SSAN-M.

    Args:
        width: channel multiplier; 1 gives 1,727,960 parameters.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        previous, stages = 3, []
        for block in BLOCKS:
            layers: list[nn.Module] = []
            for channels in (scaled(c, width) for c in block):
                layers += [*convolution(previous, channels), nn.ReLU(inplace=True)]
                previous = channels
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(3, stride=2, padding=1)))
        self.stages = nn.ModuleList(stages)
        self.channels = (previous,) * len(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the three blocks, at 1/2, 1/4 and 1/8 of the image's size."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class ResNetStages(nn.Module):
    """The stem and the first three stages of a ResNet: the encoder of SSAN-R.

    Args:
        trunk: the whole network, filled with its weights; its fourth stage is dropped.
    """

    def __init__(self, trunk: ResNet) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels = trunk.channels[:3]
        trunk.layer4 = nn.Sequential()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the three stages, at 1/4, 1/8 and 1/16 of the image's size."""
        return self.trunk.maps(x)[:3]


class ContentAndStyle(nn.Module):
    """Content, a map, and style, a scale and a shift of each channel, from three maps of an encoder.

    Args:
        channels: of the three maps, each half the size of the one before.
        features: C, channels of the content.
    """

    def __init__(self, channels: Sequence[int], features: int) -> None:
        super().__init__()
        first, second, third = channels
        self.content = nn.Sequential(*convolution(third, features, stride=2), nn.ReLU(inplace=True))
        self.style = nn.ModuleList(
            Convolution(before, after, stride=2)
            for before, after in ((first, second), (second, third), (third, features))
        )
        self.shared = nn.Linear(features, features, bias=False)
        self.gamma = nn.Linear(features, features, bias=False)
        self.beta = nn.Linear(features, features, bias=False)

    def forward(self, f1: Tensor, f2: Tensor, f3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the content [B, C, h, w], half the size of ``f3``, and gamma and beta, each [B, C]."""
        x = functional.relu(standardised(self.style[0](f1), unbiased=False)) + f2
        x = functional.relu(standardised(self.style[1](x), unbiased=False)) + f3
        x = standardised(self.style[2](x), unbiased=False)
        style_BC = functional.relu(self.shared(x.amax(dim=(2, 3))))
        return self.content(f3), self.gamma(style_BC), self.beta(style_BC)


class Assembly(nn.Module):
    """Content and style to one map: assembly blocks with the same style, then a convolution that halves the map.

    Args:
        features: C, channels of the content.
        out_features: channels of the assembled map.
        blocks: assembly blocks.
        block: what a block does; ``adain`` has no weights, so the published program's dead convolutions are not built.
    """

    def __init__(self, features: int, out_features: int, blocks: int, block: Block) -> None:
        super().__init__()
        self.blocks = blocks
        self.convolutions = nn.ModuleList(
            Convolution(features, features) for _ in range(2 * blocks if block == "residual" else 0)
        )
        self.final = nn.Sequential(*convolution(features, out_features, stride=2))

    def forward(self, content: Tensor, gamma_BC: Tensor, beta_BC: Tensor) -> Tensor:
        """Return [B, out_features, h / 2, w / 2] for the content [B, C, h, w] and the style, each [B, C]."""
        x = content.to(torch.promote_types(content.dtype, torch.float32))
        for first, second in zip(self.convolutions[::2], self.convolutions[1::2], strict=True):
            inner = functional.relu(restyled(first(x), gamma_BC, beta_BC))
            x = x + restyled(second(inner), gamma_BC, beta_BC)
        for _ in range(0 if len(self.convolutions) else self.blocks):
            x = x + restyled(x, gamma_BC, beta_BC)
        assembled: Tensor = self.final(x)
        return assembled


class DepthDecoder(nn.Module):
    """A depth map from the assembled map: twice doubled, three 3x3 convolutions, rectified.

    Args:
        features: channels of the assembled map.
        width: channel multiplier of the two hidden layers.
    """

    def __init__(self, features: int, width: float = 1.0) -> None:
        super().__init__()
        first, second = scaled(128, width), scaled(64, width)
        self.first = nn.Sequential(*convolution(features, first), nn.ReLU(inplace=True))
        self.second = nn.Sequential(*convolution(first, second), nn.ReLU(inplace=True))
        self.last = Convolution(second, 1)

    def forward(self, assembled: Tensor, side: int) -> Tensor:
        """Return [B, 1, side, side], 0 or more; ``side`` is four times that of the assembled map, or a little less."""
        x = functional.interpolate(assembled, size=(side + 1) // 2, mode="bilinear", align_corners=False)
        x = functional.interpolate(self.first(x), size=side, mode="bilinear", align_corners=False)
        return functional.relu(self.last(self.second(x)))


class VectorDiscriminator(nn.Module):
    """Which of D domains the content comes from, by its average: linear, ReLU, dropout by a given mask, linear."""

    def __init__(self, features: int, num_domains: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, features)
        self.out = nn.Linear(features, num_domains)

    def forward(self, pooled_BF: Tensor, mask_BF: Tensor) -> Tensor:
        """Return [B, D] logits; the mask is multiplied to the hidden layer."""
        logits: Tensor = self.out(functional.relu(self.hidden(pooled_BF)) * mask_BF)
        return logits


class MapDiscriminator(nn.Module):
    """Which of D domains the content comes from, by its map: two convolutions that halve it, average, linear."""

    def __init__(self, features: int, out_features: int, num_domains: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *convolution(features, features, stride=2),
            nn.LeakyReLU(LEAK, inplace=True),
            *convolution(features, out_features, stride=2),
            nn.LeakyReLU(LEAK, inplace=True),
        )
        self.out = nn.Linear(out_features, num_domains)

    def forward(self, content: Tensor) -> Tensor:
        """Return [B, D] logits."""
        logits: Tensor = self.out(self.convolutions(content).mean(dim=(2, 3)))
        return logits


def convolution(before: int, after: int, stride: int = 1) -> tuple[nn.Conv2d, BatchNorm2d]:
    """Return a 3x3 convolution without bias and its batch normalisation."""
    return Convolution(before, after, stride), BatchNorm2d(after)
