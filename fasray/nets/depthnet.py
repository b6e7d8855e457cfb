"""DepthNet: a convolutional pyramid over RGB + HSV, with a head that draws a depth map and one that decides.

Source: Shao, Lan and Yuen, Regularized Fine-grained Meta Face Anti-spoofing, AAAI 2020, supplementary table 1 and the
official code. The layer order is the code's, so that state-dict entries correspond one to one, in order. The code's
pooling to a fixed 32 x 32 map is stated as pooling to an eighth of the image, which is the same at 256 pixels.
The face parser is no part of it, but our own U-Net decoder on the same maps, for methods that parse faces too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.faces.record import PARSING_CLASSES, PARSING_SIZE
from fasray.nets.batchnorm import BatchNorm2d
from fasray.nets.resnet import scaled

BatchNormInit = Literal["uniform", "normal", "ones"]
"""How the scales of batch normalisation start: uniform in [0.02, 1], normal (1, 0.02), or all 1."""


class FeatExtractor(nn.Module):
    """Ten 3x3 convolutions in four blocks; every block but the first ends with 2x2 max pooling.

    Args:
        width: channel multiplier; 1 gives 1,731,108 parameters.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.stem_channels, self.channels, middle = (scaled(c, width) for c in (64, 128, 196))
        self.inc = nn.Sequential(*_convolution(6, self.stem_channels))
        self.down1 = _block(self.stem_channels, middle, self.channels)
        self.down2 = _block(self.channels, middle, self.channels)
        self.down3 = _block(self.channels, middle, self.channels)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the outputs of the four blocks, at 1, 1/2, 1/4 and 1/8 of the image's size.

        Args:
            x_BCHW: [B, 6, H, W], sides of 16 pixels or more; all but the first block give ``channels`` channels.
        """
        x0 = self.inc(x_BCHW)
        x1 = self.down1(x0)
        x2 = self.down2(x1)
        return x0, x1, x2, self.down3(x2)


def joined(x1: Tensor, x2: Tensor, x3: Tensor) -> Tensor:
    """Return what the depth is estimated from, the maps at 1/2, 1/4 and 1/8 averaged to 1/8: [B, 3 c, H/8, W/8]."""
    return torch.cat([functional.avg_pool2d(x1, 4), functional.avg_pool2d(x2, 2), x3], dim=1)


class DepthEstimator(nn.Module):
    """Three 3x3 convolutions to one map; the last is normalised and rectified too, so depth is 0 or more, unbounded.

    Args:
        channels: of each of the three joined maps.
        width: channel multiplier; 1 gives 517,251 parameters.
    """

    def __init__(self, channels: int, width: float = 1.0) -> None:
        super().__init__()
        first, second = scaled(128, width), scaled(64, width)
        self.conv = nn.Sequential(
            *_convolution(3 * channels, first), *_convolution(first, second), *_convolution(second, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, 1, h, w] for the joined maps [B, 3 channels, h, w]."""
        return self.conv(x)  # type: ignore[no-any-return]


class FeatEmbedder(nn.Module):
    """Three 3x3 convolutions, two of them pooled, global average pooling and one logit: the meta learner.

    Args:
        channels: of the map that it reads.
        width: channel multiplier; 1 gives 1,625,217 parameters and 512 features.
        bn_momentum: share of the newest batch in the running statistics; 1 keeps those of the last batch alone.
    """

    def __init__(self, channels: int, width: float = 1.0, bn_momentum: float = 1.0) -> None:
        super().__init__()
        c1, c2, self.num_features = (scaled(c, width) for c in (128, 256, 512))
        self.features = nn.Sequential(
            *_convolution(channels, c1, bn_momentum),
            nn.MaxPool2d(2),
            *_convolution(c1, c2, bn_momentum),
            nn.MaxPool2d(2),
            *_convolution(c2, self.num_features, bn_momentum),
        )
        self.fc = nn.Linear(self.num_features, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the averaged features [B, num_features] and the live logit [B]; x has sides of 4 or more."""
        feature_BF = self.features(x).mean(dim=(2, 3))
        return feature_BF, self.fc(feature_BF)[:, 0]


class FaceParser(nn.Module):
    """U-Net decoder over the extractor's maps: double the side, join the map of that size, two 3x3 convolutions.

    Args:
        extractor: whose maps are read.
        width: channel multiplier.
        image_size: side of the images; decides how many of at most three doublings there are.
    """

    def __init__(self, extractor: FeatExtractor, width: float, image_size: int) -> None:
        super().__init__()
        channels, skips = extractor.channels, (extractor.channels, extractor.channels, extractor.stem_channels)
        stages: list[nn.Module] = []
        for doublings, (skip, out) in enumerate(zip(skips, (128, 128, 64), strict=True)):
            if image_size // 8 * 2**doublings >= PARSING_SIZE:
                break
            wanted = scaled(out, width)
            layers: list[nn.Module] = []
            for before in (channels + skip, wanted):
                layers += [nn.Conv2d(before, wanted, 3, padding=1), BatchNorm2d(wanted), nn.ReLU()]
            stages.append(nn.Sequential(*layers))
            channels = wanted
        self.stages = nn.ModuleList(stages)
        self.classes = nn.Conv2d(channels, len(PARSING_CLASSES), 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return [B, K, 64, 64] logits for the maps of :class:`FeatExtractor`, from the largest to the smallest."""
        x = maps[-1]
        for stage, skip in zip(self.stages, reversed(maps[:-1]), strict=False):
            x = functional.interpolate(x, skip.shape[2:], mode="bilinear", align_corners=False)
            x = stage(torch.cat([x, skip], dim=1))
        logits: Tensor = self.classes(x)
        return functional.interpolate(logits, (PARSING_SIZE, PARSING_SIZE), mode="bilinear", align_corners=False)


def initialise(networks: nn.Module, bn_init: BatchNormInit) -> None:
    """Draw initial weights as the official code does, from torch's global generator.

    Weights of convolutions and linear layers: Xavier normal. Biases of linear layers and of batch normalisation: 0.
    Biases of convolutions stay as torch makes them.

    Args:
        networks: any of the above.
        bn_init: where the scales of batch normalisation start.
    """
    for module in networks.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        elif isinstance(module, BatchNorm2d):
            nn.init.zeros_(module.bias)
            if bn_init == "uniform":
                nn.init.uniform_(module.weight, 0.02, 1.0)
            elif bn_init == "normal":
                nn.init.normal_(module.weight, 1.0, 0.02)
            else:
                nn.init.ones_(module.weight)


def _convolution(in_channels: int, out_channels: int, bn_momentum: float = 0.1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        BatchNorm2d(out_channels, bn_momentum),
        nn.ReLU(),
    ]


def _block(in_channels: int, middle: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        *_convolution(in_channels, out_channels),
        *_convolution(out_channels, middle),
        *_convolution(middle, out_channels),
        nn.MaxPool2d(2),
    )
