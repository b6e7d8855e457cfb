"""Parts of SDFANet's generator and its region discriminators, as we read its abstract.

Sources of the parts: Wang et al., Towards Universal Object Detection by Domain Attention, CVPR 2019 (the adapters);
Woo et al., CBAM, ECCV 2018 (channel and spatial attention); He et al., CVPR 2016 (ResNet-18).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.nets.batchnorm import BatchNorm2d
from fasray.nets.resnet import ResNet18, scaled

REDUCTION = 16
"""Channels per channel of the narrow layer in adapters and channel attention."""
FUSED = 256
"""Channels that each level has in the fusion, at width 1."""


class DomainAdapter(nn.Module):
    """A bank of squeeze-and-excitation adapters, mixed by attention: x * sigmoid(sum over n of a_n SE_n(x)).

    The attention a = softmax(FC(GAP(x))) takes the place of a domain label, which no test image has.

    Args:
        channels: of the map.
        count: adapters in the bank, one a source domain.
    """

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.bank = nn.ModuleList(_bottleneck(channels) for _ in range(count))
        self.attention = nn.Linear(channels, count)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the map with its channels scaled, each by a factor in (0, 1)."""
        mean_BC = x_BCHW.mean(dim=(2, 3))
        answer_BNC = torch.stack([adapter(mean_BC) for adapter in self.bank], dim=1)
        share_BN1 = self.attention(mean_BC).softmax(1)[:, :, None]
        gate_BC: Tensor = (share_BN1 * answer_BNC).sum(1).sigmoid()
        return x_BCHW * gate_BC[:, :, None, None]


class Attention(nn.Module):
    """CBAM: channels weighed by their mean and maximum, then places by the mean and maximum over the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = _bottleneck(channels)
        self.place = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the map, each value multiplied by two factors in (0, 1)."""
        answer_BC: Tensor = self.channel(x_BCHW.mean(dim=(2, 3))) + self.channel(x_BCHW.amax(dim=(2, 3)))
        gate_BC = answer_BC.sigmoid()
        x_BCHW = x_BCHW * gate_BC[:, :, None, None]
        summary_B2HW = torch.stack([x_BCHW.mean(1), x_BCHW.amax(1)], dim=1)
        gate_B1HW: Tensor = self.place(summary_B2HW).sigmoid()
        return x_BCHW * gate_B1HW


class Generator(nn.Module):
    """ResNet-18 with a domain adapter after each stage and the last three stages fused by attention.

    Args:
        width: channel multiplier.
        num_domains: source domains.
        adapters: without them a stage's output passes as it is.
        fusion: without it the last stage alone is the result.
    """

    def __init__(self, width: float, num_domains: int, *, adapters: bool = True, fusion: bool = True) -> None:
        super().__init__()
        self.backbone = ResNet18(width)
        channels = self.backbone.channels
        self.adapters = nn.ModuleList(
            DomainAdapter(count, num_domains) if adapters else nn.Identity() for count in channels
        )
        self.num_features = self.backbone.num_features
        self.levels = nn.ModuleList()
        if fusion:
            fused = scaled(FUSED, width)
            self.levels.extend(nn.Sequential(nn.Conv2d(count, fused, 1), Attention(fused)) for count in channels[1:])
            self.fuse = nn.Sequential(
                nn.Conv2d(len(self.levels) * fused, self.num_features, 1, bias=False),
                BatchNorm2d(self.num_features),
                nn.ReLU(inplace=True),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return F, [B, num_features, h, h], at 1/32 of the image's size, rounded up."""
        net = self.backbone
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        maps = []
        for stage, adapter in zip((net.layer1, net.layer2, net.layer3, net.layer4), self.adapters, strict=True):
            x = adapter(stage(x))
            maps.append(x)
        if not self.levels:
            return x
        size = (x.shape[2], x.shape[3])
        refined = [
            functional.adaptive_avg_pool2d(level(one), size) for level, one in zip(self.levels, maps[1:], strict=True)
        ]
        fused: Tensor = self.fuse(torch.cat(refined, dim=1))
        return fused


class RegionDiscriminators(nn.Module):
    """A domain discriminator of its own for each of K = grid * grid cells of a map, all of the same shape.

    Args:
        features: channels of the map.
        grid: cells a side.
        num_domains: D.
    """

    def __init__(self, features: int, grid: int, num_domains: int) -> None:
        super().__init__()
        self.grid = grid
        cells, hidden = grid * grid, max(1, features // 2)
        self.hidden = nn.Conv1d(cells * features, cells * hidden, 1, groups=cells)
        self.out = nn.Conv1d(cells * hidden, cells * num_domains, 1, groups=cells)
        nn.init.normal_(self.hidden.weight, 0, 0.01)
        nn.init.normal_(self.out.weight, 0, 0.3)
        nn.init.zeros_(self.hidden.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, x_BFHW: Tensor) -> Tensor:
        """Return [B, K, D] logits, cells row by row; a cell is seen as its mean."""
        cell_BKF = functional.adaptive_avg_pool2d(x_BFHW, self.grid).flatten(2).transpose(1, 2)
        count, cells, _ = cell_BKF.shape
        logits: Tensor = self.out(functional.relu(self.hidden(cell_BKF.reshape(count, -1, 1))))
        return logits.view(count, cells, -1)


def _bottleneck(channels: int) -> nn.Sequential:
    narrow = max(1, channels // REDUCTION)
    return nn.Sequential(nn.Linear(channels, narrow), nn.ReLU(inplace=True), nn.Linear(narrow, channels))
