"""RGB images to the six channels RGB + HSV that depth-supervised methods read.

Hue, saturation and value are those of Pillow's ``convert("HSV")``, to the level, because the methods' authors made
their inputs with it: three whole levels 0 to 255, hue 255 for a full turn, fractions cut off rather than rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def rgb_to_hsv(x_BCHW: Tensor) -> Tensor:
    """Return hue, saturation and value of RGB images, each a level divided by 255; carries no gradient.

    Grey pixels have hue 0 and saturation 0. NaN gives NaN or garbage, as it would anywhere.

    Args:
        x_BCHW: [B, 3, H, W] in [0, 1]; brought to the nearest of the levels k / 255 first.

    Returns:
        [B, 3, H, W] of the images' own type.
    """
    level = (x_BCHW * 255).round().to(torch.float32)
    high, low = level.amax(1), level.amin(1)
    spread = high - low
    grey = spread == 0
    # Pillow divides in float32, goes on in float64 and cuts: the order decides the level where it falls on a whole one.
    r, g, b = level.unbind(1)
    rc, gc, bc = ((high[:, None] - level) / spread.clamp_min(1)[:, None]).unbind(1)
    sector = torch.where(
        r == high,
        (bc - gc).double(),
        torch.where(g == high, 2 + rc.double() - bc.double(), 4 + gc.double() - rc.double()),
    ).float()
    hue = (sector.double() / 6 + 1).fmod(1).float().double() * 255
    saturation = (spread / high.clamp_min(1)).double() * 255
    hsv = torch.stack([hue.floor().masked_fill(grey, 0), saturation.floor(), high.double()], dim=1)
    return (hsv / 255).to(x_BCHW.dtype)


def with_hsv(x_BCHW: Tensor) -> Tensor:
    """Return [B, 6, H, W], the RGB images in [0, 1] followed by their HSV, in the images' layout; not normalised."""
    last = x_BCHW.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.cat([x_BCHW, rgb_to_hsv(x_BCHW)], dim=1).contiguous(memory_format=layout)
