"""The hierarchical fusion network of HFN+MP: two ResNet-50 feature pyramids that are averaged level by level.

Sources: Cai et al., Learning Meta Pattern for Face Anti-Spoofing, TIFS 2022 (arXiv 2110.06753) and its official code;
He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (table 1, 50 layers); Lin et al., Feature Pyramid
Networks for Object Detection, CVPR 2017. Shapes: H W image size, c 256 * width channels of the pyramid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.batchnorm import BatchNorm2d
from fasray.nets.convolution import Convolution
from fasray.nets.normalize import ImageNetNormalize
from fasray.nets.resnet import projection, scaled
from fasray.nets.weights import load_backbone

EXPANSION = 4
"""Output channels of a bottleneck per inner channel."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the 3x3 one has the stride, as in torchvision."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
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


class ResNet50(nn.Module):
    """The trunk of one stream; at width 1 torchvision's ``resnet50`` weights load as they are, but for ``fc``.

    Args:
        width: channel multiplier of every layer; 1 gives 23,508,032 parameters.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        stem, *inner = scaled(64, width), *(scaled(channels, width) for channels in (64, 128, 256, 512))
        self.channels = tuple(EXPANSION * channels for channels in inner)
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(stem, inner[0], 3, stride=1)
        self.layer2 = _stage(self.channels[0], inner[1], 4, stride=2)
        self.layer3 = _stage(self.channels[1], inner[2], 6, stride=2)
        self.layer4 = _stage(self.channels[2], inner[3], 3, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the outputs of the last three stages, at 1/8, 1/16 and 1/32 of the image's size."""
        c3 = self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))
        c4 = self.layer3(c3)
        return c3, c4, self.layer4(c4)


class Stream(nn.Module):
    """A trunk with the layers of its pyramid; the levels are joined by :class:`HFN`, not here.

    Args:
        width: channel multiplier; 1 gives 30,915,392 parameters and 256 channels in the pyramid.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled(256, width)
        self.trunk = ResNet50(width)
        _, c3, c4, c5 = self.trunk.channels
        self.conv6 = Convolution(c5, channels, stride=2, bias=True)
        self.conv7 = Convolution(channels, channels, stride=2, bias=True)
        self.latlayer1 = nn.Conv2d(c5, channels, 1)
        self.latlayer2 = nn.Conv2d(c4, channels, 1)
        self.latlayer3 = nn.Conv2d(c3, channels, 1)
        self.toplayer1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.toplayer2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the laterals at 1/8, 1/16, 1/32 of the image's size and p7 at 1/128, [B, c, ...] each."""
        c3, c4, c5 = self.trunk(x)
        p7 = self.conv7(functional.relu(self.conv6(c5)))
        return self.latlayer3(c3), self.latlayer2(c4), self.latlayer1(c5), p7


class HFN(nn.Module):
    """Two streams of equal initial weights, one for images and one for patterns, a map head and a class head.

    Args:
        width: channel multiplier; 1 gives 62,126,467 parameters.
        dropout: before the class head.
        backbone_weights: for both trunks: ``none``, ``imagenet``, or a path or URI, see
            :func:`fasray.nets.weights.load_backbone`.
        weights_folder: where copies of such weights are kept; empty: nowhere.
    """

    def __init__(
        self, width: float = 1.0, dropout: float = 0.0, backbone_weights: str = "none", weights_folder: str = ""
    ) -> None:
        super().__init__()
        channels, hidden = scaled(256, width), scaled(128, width)
        self.normalize = ImageNetNormalize()
        self.rgb, self.texture = Stream(width), Stream(width)
        load_backbone(self.rgb.trunk, backbone_weights, weights_folder, architecture="resnet50")
        self.texture.load_state_dict(self.rgb.state_dict())
        self.map_head = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(hidden, 1, 1), nn.Sigmoid()
        )
        for module in self.map_head:
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(dropout)
        self.class_head = nn.Linear(channels, 2)

    def pyramid(self, x_BCHW: Tensor, pattern_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return p3 [B, c, H/8, W/8] and p7 [B, c, H/128, W/128], both the average of the streams.

        Args:
            x_BCHW: images in [0, 1], seen as they are.
            pattern_BCHW: patterns in [0, 1], normalised here like ImageNet's images.
        """
        levels = zip(self.rgb(x_BCHW), self.texture(self.normalize(pattern_BCHW)), strict=True)
        c3, c4, p5, p7 = ((rgb + texture) / 2 for rgb, texture in levels)
        p4 = _smoothed(p5, c4, self.rgb.toplayer1, self.texture.toplayer1)
        return _smoothed(p4, c3, self.rgb.toplayer2, self.texture.toplayer2), p7

    def forward(self, x_BCHW: Tensor, pattern_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the live maps, [B, 1, H/8, W/8] in (0, 1), and the logits of spoof and live, [B, 2]."""
        p3, p7 = self.pyramid(x_BCHW, pattern_BCHW)
        logits: Tensor = self.class_head(self.dropout(p7.mean(dim=(2, 3))))
        return self.map_head(p3), logits


def _smoothed(above: Tensor, lateral: Tensor, rgb: nn.Module, texture: nn.Module) -> Tensor:
    """Return the average of both streams' smoothing of the level above, enlarged, plus the lateral."""
    merged = functional.interpolate(above, size=lateral.shape[2:], mode="nearest") + lateral
    return torch.add(rgb(merged), texture(merged)) / 2


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    rest = (Bottleneck(EXPANSION * channels, channels, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(in_channels, channels, stride), *rest)
