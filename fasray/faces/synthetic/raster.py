"""What all drawing shares: the canonical face frame, smooth bumps and steps, noise, blur, the display transfer curve.

The canonical frame spans 3.2 units: x to the right, y down, the face within about ``|x| < 0.75, |y| < 1``. Images are
float32 in linear light unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Map: TypeAlias = NDArray[Any]
"""float32; one value a pixel, ``[S, S]``, or three, ``[S, S, 3]``."""

EXTENT = 3.2
"""Side of the canonical frame in face units."""


@lru_cache(maxsize=4)
def canonical_grid(size: int) -> tuple[Map, Map]:
    """Return the canonical x and y of every pixel centre of a ``size`` x ``size`` canvas (read-only)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * EXTENT - EXTENT / 2
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def bump(x: Map, y: Map, cx: float, cy: float, sx: float, sy: float) -> Map:
    """Return a Gaussian hill of height 1 at (cx, cy) with radii sx, sy."""
    return np.asarray(cv2.exp(-(((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)), np.float32)


def smoothstep(t: Map, start: float, end: float) -> Map:
    """Return the cubic step from 0 at ``start`` to 1 at ``end``."""
    u = np.clip((t - start) / (end - start), 0, 1)
    return u * u * (3 - 2 * u)


def noise(rng: np.random.Generator, size: int, cells: int) -> Map:
    """Return smooth value noise of unit variance with ``cells`` knots a side."""
    knots = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    field = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field / max(float(field.std()), 1e-6), np.float32)


def cloud(rng: np.random.Generator, size: int, cells: Sequence[int] = (4, 8, 16, 32)) -> Map:
    """Return fractal noise of unit variance: one octave for each entry of ``cells``, each .6 of the one before."""
    field: Map = np.zeros((size, size), np.float32)
    amplitude = 1.0
    for knots in cells:
        field = field + amplitude * noise(rng, size, knots)
        amplitude *= 0.6
    return field / max(float(field.std()), 1e-6)


def white_noise(rng: np.random.Generator, *shape: int) -> Map:
    """Return independent standard normal values."""
    return rng.standard_normal(shape).astype(np.float32)


def blur(image: Map, sigma: float) -> Map:
    """Return the image under a Gaussian of ``sigma`` pixels; below .05 pixels nothing happens."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(sigma)), np.float32) if sigma > 0.05 else image


def to_display(linear: Map) -> Map:
    """Return display values 0..1 of linear light (gamma 2.2)."""
    return np.asarray(cv2.pow(np.clip(linear, 0, 1).astype(np.float32), 1 / 2.2), np.float32)


def saturate(image: Map, amount: float) -> Map:
    """Return the image with its distance from gray multiplied by ``amount``."""
    gray: Map = image.mean(2, keepdims=True)
    return gray + (image - gray) * amount


def rgb(*values: float) -> Map:
    """Return a colour or any short vector as float32."""
    return np.array(values, np.float32)
