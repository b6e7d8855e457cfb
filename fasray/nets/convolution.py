"""A convolution whose gradient is right for maps of one place, too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Convolution(nn.Conv2d):
    """``torch.nn.Conv2d`` of 3x3 with a padding of 1, for maps of any size.

    oneDNN, which computes on CPUs, leaves parts of the weights' gradient as it finds the memory where the map has one
    place, the stride is 2 and autocast makes it bfloat16. Such a map is not strided here, which is the same.

    Args:
        in_channels: of the input.
        out_channels: of the result.
        stride: 1 or 2.
        bias: whether to add one.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, *, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, 3, stride, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Return [B, out_channels, h / stride, w / stride] for [B, in_channels, h, w]."""
        if input.shape[2:].numel() == 1 and torch.is_autocast_enabled(input.device.type):
            return functional.conv2d(input, self.weight, self.bias, 1, 1)
        return super().forward(input)
