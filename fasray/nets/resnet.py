"""ResNet-18 and ResNet-50 as feature extractors, narrow or wide, with torchvision's state-dict names.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (table 1, 18 and 50 layers). At width 1
weights files made for torchvision's ``resnet18`` and ``resnet50`` load as they are, but for the 1000-class ``fc``,
which is not built here. As there, a bottleneck's stride is that of its 3x3 convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from fasray.nets.batchnorm import BatchNorm2d


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

    EXPANSION = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, out_channels, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the output has ``EXPANSION`` times the inner channels."""

    EXPANSION = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = self.EXPANSION * channels
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.bn3 = BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, 4 * channels, H / stride, W / stride]."""
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Return the 1x1 convolution that fits a shortcut to its block's output; None where the input fits as it is."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """From [B, 3, H, W] to [B, ``num_features``] by global average pooling; H and W any multiple of 32 or near it.

    Args:
        block: ``BasicBlock`` or ``Bottleneck``.
        depths: blocks of each of the four stages.
        width: channel multiplier of every layer.
    """

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int], width: float) -> None:
        super().__init__()
        inner = [scaled(c, width) for c in (64, 128, 256, 512)]
        self.channels = tuple(block.EXPANSION * c for c in inner)
        self.conv1 = nn.Conv2d(3, inner[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(inner[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        before = (inner[0], *self.channels)
        stages = [
            _stage(block, before[i], inner[i], stride=1 if i == 0 else 2, depth=depth) for i, depth in enumerate(depths)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def num_features(self) -> int:
        """Length of the feature vector."""
        return self.channels[-1]

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the outputs of the four stages, at 1/4, 1/8, 1/16 and 1/32 of the image's size."""
        x1 = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        x2 = self.layer2(x1)
        x3 = self.layer3(x2)
        return x1, x2, x3, self.layer4(x3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the [B, num_features] average of the last stage over the image."""
        return self.maps(x)[-1].mean(dim=(2, 3))


class ResNet18(ResNet):
    """Two basic blocks a stage; at width 1 it has 11,176,512 parameters and 512 features."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(BasicBlock, (2, 2, 2, 2), width)


class ResNet50(ResNet):
    """Bottlenecks, 3, 4, 6 and 3 a stage; at width 1 it has 23,508,032 parameters and 2048 features.

    Below width 1 it also has fewer blocks, by the square root of the width.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(Bottleneck, [blocks(depth, width) for depth in (3, 4, 6, 3)], width)


def blocks(depth: int, width: float) -> int:
    """Return how many of ``depth`` blocks a network of less than full width has: a share of the root of the width."""
    return max(1, round(depth * min(1.0, math.sqrt(width))))


def make_resnet18(width: float, image_size: int) -> ResNet18:
    """Return ResNet-18, whatever the image size."""
    del image_size
    return ResNet18(width)


def make_resnet50(width: float, image_size: int) -> ResNet50:
    """Return ResNet-50, whatever the image size."""
    del image_size
    return ResNet50(width)


def _stage(
    block: type[BasicBlock] | type[Bottleneck], in_channels: int, channels: int, stride: int, depth: int
) -> nn.Sequential:
    first = block(in_channels, channels, stride)
    return nn.Sequential(first, *(block(block.EXPANSION * channels, channels, 1) for _ in range(depth - 1)))
