"""ResNet-18 as a feature extractor, narrow or wide, with torchvision's state-dict names.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (table 1, 18 layers). At width 1 weights
files made for torchvision's ``resnet18`` load as they are, but for its 1000-class ``fc``, which is not built here.
"""

from __future__ import annotations

from torch import Tensor, nn

from fasray.nets.batchnorm import BatchNorm2d


def scaled(channels: int, width: float) -> int:
    """Return ``channels`` times ``width``, rounded, at least 1."""
    return max(1, round(channels * width))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the shortcut is a 1x1 convolution where the shape changes."""

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


def projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Return the 1x1 convolution that fits a shortcut to its block's output; None where the input fits as it is."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))


class ResNet18(nn.Module):
    """From [B, 3, H, W] to [B, ``num_features``] by global average pooling; H and W any multiple of 32 or near it.

    Args:
        width: channel multiplier of every layer; 1 gives 11,176,512 parameters and 512 features.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, c4 = self.channels = tuple(scaled(c, width) for c in (64, 128, 256, 512))
        self.conv1 = nn.Conv2d(3, c1, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(c1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(c1, c1, stride=1)
        self.layer2 = _stage(c1, c2, stride=2)
        self.layer3 = _stage(c2, c3, stride=2)
        self.layer4 = _stage(c3, c4, stride=2)
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


def _stage(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(in_channels, out_channels, stride), BasicBlock(out_channels, out_channels, 1))
