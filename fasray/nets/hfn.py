"""The hierarchical fusion network of HFN+MP: two ResNet-50 feature pyramids that are averaged level by level.

Sources: Cai et al., Learning Meta Pattern for Face Anti-Spoofing, TIFS 2022 (arXiv 2110.06753) and its official code;
He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (table 1, 50 layers); Lin et al., Feature Pyramid
Networks for Object Detection, CVPR 2017. Shapes: H W image size, c 256 * width channels of the pyramid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.convolution import Convolution
from fasray.nets.normalize import ImageNetNormalize
from fasray.nets.resnet import Bottleneck, ResNet, scaled
from fasray.nets.weights import load_backbone


class Stream(nn.Module):
    """A trunk with the layers of its pyramid; the levels are joined by :class:`HFN`, not here.

    Args:
        width: channel multiplier; 1 gives 30,915,392 parameters and 256 channels in the pyramid.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled(256, width)
        self.trunk = ResNet(Bottleneck, (3, 4, 6, 3), width)  # of all its blocks at any width
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
        _, c3, c4, c5 = self.trunk.maps(x)
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
