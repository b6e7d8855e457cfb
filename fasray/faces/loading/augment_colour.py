"""What happens to an image's colours, sharpness and parts: drawn by NumPy, applied on the device in float32.

As with the geometry, a draw is made for the images of all workers, and always of as many numbers, so that neither the
number of workers nor what else a recipe does changes what is drawn for an image.
"""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fasray.faces.loading.augment_recipe import Augment

UNIFORMS = 18
"""Uniform numbers per image that everything off by default draws of together; one more would come last."""
_CONTRAST, _BRIGHTNESS, _SATURATION, _FACTORS, _KINDS = 0, 1, 2, 3, 6
_HUE, _HUE_AT, _GREY, _SIGMA, _BOX = 9, 10, 11, 12, 13
COLUMNS = 16
"""Numbers per image of a look: what :func:`recolour` needs."""
_ORDERS = np.array(list(permutations(range(4))))
"""[24, 4] orders of jitter's brightness, contrast, saturation and hue."""
_LUMA = (0.2989, 0.587, 0.114)
_TAIL = 4
"""Standard deviations after which a Gaussian ends."""


def sample_look(uniforms: NDArray[np.float64], spec: Augment) -> NDArray[np.float32]:
    """Return what happens to each image, [B, 16]; unless its recipe recolours, nothing does.

    Args:
        uniforms: [18, B] in [0, 1).
        spec: what may happen to an image.
    """
    _, contrast, brightness, saturated, saturation, jittered, order, *factors, hue, grey, blurred, blur = uniforms[:14]
    cut, cut_y, cut_x, cut_size = uniforms[14:]
    look = np.zeros((uniforms.shape[1], COLUMNS), dtype=np.float32)
    look[:, _CONTRAST] = _between(spec.contrast, contrast)
    look[:, _BRIGHTNESS] = spec.brightness * (2 * brightness - 1)
    look[:, _SATURATION] = np.where(saturated < spec.saturation_probability, _between(spec.saturation, saturation), 1)
    jitters = jittered < spec.jitter_probability
    drawn = [
        np.where(jitters, _between((max(0.0, 1 - strength), 1 + strength), factor), 1)
        for strength, factor in zip(spec.jitter[:3], factors, strict=True)
    ]
    orders = _ORDERS[(order * len(_ORDERS)).astype(np.int64)]
    kinds = orders[orders != 3].reshape(-1, 3)
    look[:, _FACTORS : _FACTORS + 3] = np.take_along_axis(np.stack(drawn, axis=1), kinds, axis=1)
    look[:, _KINDS : _KINDS + 3] = kinds
    look[:, _HUE] = np.where(jitters, spec.jitter[3] * (2 * hue - 1), 0)
    look[:, _HUE_AT] = np.argmax(orders == 3, axis=1)
    look[:, _GREY] = grey < spec.grey
    look[:, _SIGMA] = np.where(blurred < spec.blur_probability, _between(spec.blur, blur), 0)
    size = _between(spec.cutout_size, cut_size)
    side = np.sqrt(size) if spec.cutout_law == "area" else size
    look[:, _BOX:] = np.stack([cut_y, cut_x, np.where(cut < spec.cutout, side, -1)], axis=1)
    return look


def recolour(x: Tensor, look: Tensor, spec: Augment) -> Tensor:
    """Return images [B, 3, S, S] in [0, 1] with what ``look`` [B, 16] says of each; only what ``spec`` has is computed.

    What an image becomes does not depend on the others of its batch.
    """
    column = [look[:, number, None, None, None] for number in range(COLUMNS)]
    if spec.tones:
        x = (x * column[_CONTRAST] + column[_BRIGHTNESS]).clamp_(0, 1)
    if spec.saturates:
        x = saturate(x, column[_SATURATION])
    if spec.jitters:
        x = _jitter(x, column, spec)
    if spec.grey > 0:
        x = torch.where(column[_GREY] > 0, grey_of(x).expand_as(x), x)
    if spec.blurs:
        x = blur(x, column[_SIGMA], spec.blur[1])
    if spec.cutout > 0:
        x = cut_out(x, *column[_BOX:], mean=spec.cutout_fill == "mean")
    return x


def grey_of(x: Tensor) -> Tensor:
    """Return the luma [B, 1, S, S] of images [B, 3, S, S], weighted as by ITU-R 601."""
    red, green, blue = (x[:, number] * weight for number, weight in enumerate(_LUMA))
    return (red + green + blue)[:, None]


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Return images [B, 3, S, S] with HSV's saturation times a factor [B, 1, 1, 1], at most 1; hue and value stay."""
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    changed = value - (value - x) * torch.minimum(factor, value / chroma.clamp_min(1e-12))
    return torch.where(factor == 1, x, changed)


def turn_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Return images [B, 3, S, S] with the hue of HSV turned by ``shift`` [B, 1, 1, 1], fractions of a circle."""
    red, green, blue = (x[:, number, None] for number in range(3))
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(chroma > 0, chroma, 1)
    sixth = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    turned = sixth + 6 * shift
    channels = []
    for start in (5, 3, 1):
        place = turned + start
        place = place.sub_(6 * torch.floor(place / 6))  # modulo 6, whose own operator is slow
        channels.append(value - chroma * torch.minimum(place, 4 - place).clamp_(0, 1))
    return torch.cat(channels, 1)


def blur(x: Tensor, sigma: Tensor, most: float) -> Tensor:
    """Return images [B, 3, S, S] under Gaussians of each its ``sigma`` [B, 1, 1, 1], at the edges mirrored.

    Args:
        x: images.
        sigma: standard deviations, fractions of the side; 0 changes nothing.
        most: the largest that there may be; with the side it decides how far the Gaussians go.
    """
    size = x.shape[-1]
    reach = min(size - 1, math.ceil(_TAIL * most * size))
    width = (sigma * size).clamp_min(1e-3)
    weights = [torch.exp(-(place**2) / (2 * width * width)) for place in range(reach + 1)]
    total = weights[0] + 2 * sum(weights[1:])
    weights = [weight / total for weight in weights]
    for dim in (-2, -1):
        padded = functional.pad(x, (0, 0, reach, reach) if dim == -2 else (reach, reach, 0, 0), mode="reflect")
        x = padded.narrow(dim, reach, size) * weights[0]
        for place in range(1, reach + 1):
            pair = padded.narrow(dim, reach - place, size) + padded.narrow(dim, reach + place, size)
            x.addcmul_(pair, weights[place])
    return x


def cut_out(x: Tensor, y: Tensor, across: Tensor, side: Tensor, *, mean: bool) -> Tensor:
    """Return images [B, 3, S, S] with a square filled: all [B, 1, 1, 1], fractions of the side; none if ``side`` < 0.

    Args:
        x: images.
        y: of the square's centre, from the top.
        across: the same from the left.
        side: of the square.
        mean: fill it with its own mean colour; else with black.
    """
    size = x.shape[-1]
    along = (torch.arange(size, device=x.device, dtype=x.dtype) + 0.5) / size
    rows, columns = (2 * (along - centre).abs() < side for centre in (y, across))
    inside = rows.transpose(-2, -1) & columns
    if not mean:
        return x.masked_fill(inside, 0)
    weight = inside.to(x.dtype)
    # Sums by lines first: over whole images torch may share the work out, and round, by how many there are.
    total, count = (part.contiguous().sum(-1).sum(-1)[..., None, None] for part in (x * weight, weight))
    return torch.where(inside, total / count.clamp_min(1), x)


def _jitter(x: Tensor, column: list[Tensor], spec: Augment) -> Tensor:
    """Blend in each image's order; the hue is turned for all at once, between the blends before it and those after."""
    before = [column[_HUE_AT] > number for number in range(3)]
    if spec.jitter[3] == 0:
        return _blends(x, column, [torch.ones_like(part) for part in before])
    x = _blends(x, column, before)
    x = torch.where(column[_HUE] == 0, x, turn_hue(x, column[_HUE]))
    return _blends(x, column, [~part for part in before])


def _blends(x: Tensor, column: list[Tensor], now: list[Tensor]) -> Tensor:
    """Scale, by the factors that are due, the distance from black (kind 0), mean grey (1) or the grey image (2)."""
    for number, due in enumerate(now):
        factor, kind = torch.where(due, column[_FACTORS + number], 1), column[_KINDS + number]
        grey = grey_of(x)
        mean = grey.mean(-1, keepdim=True).mean(-2, keepdim=True)
        base = grey.mul_((1 - factor) * (kind == 2)).add_(mean * ((1 - factor) * (kind == 1)))
        x = (x * factor).add_(base).clamp_(0, 1)
    return x


def _between(ends: tuple[float, float], uniform: NDArray[np.float64]) -> NDArray[np.float64]:
    return ends[0] + (ends[1] - ends[0]) * uniform
