"""Light and surroundings of a scene, and how a posed head looks in it (linear RGB)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.synthetic.raster import EXTENT, Map, blur, canonical_grid, cloud, rgb
from fasray.faces.synthetic.shape import BACKGROUND


@dataclass(frozen=True)
class Light:
    """A key light with a colour, a weak fill from the other side, and light from all around."""

    direction: Map  # unit vector towards the light: x right, y down, z to the viewer
    key: float
    ambient: float
    colour: Map
    fill_direction: Map
    fill: float


def draw_light(rng: np.random.Generator, key: float, ambient: float) -> Light:
    """Draw direction and colour of a light of the given strengths."""
    azimuth, elevation = rng.normal(0, 0.75), rng.normal(0.45, 0.35)
    direction = rgb(np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation))
    warmth = rng.normal(0, 0.12)
    fill_direction = rgb(-direction[0], direction[1] * 0.3, 0.6)
    fill_direction = fill_direction / np.linalg.norm(fill_direction)
    return Light(direction, key, ambient, rgb(1 + warmth, 1, 1 - warmth), fill_direction, float(rng.uniform(0, 0.35)))


def draw_background(rng: np.random.Generator, size: int, kind: str) -> Map:
    """Draw the background: ``plain``, ``wall`` (textured) or ``office`` (blurred boxes); reflectance 0.01..1."""
    tint = rng.uniform(0.05, 0.75, 3).astype(np.float32)
    tint = tint.mean() * 0.6 + tint * 0.4
    x, y = canonical_grid(size)
    ramp = 1 + 0.25 * (x * rng.normal() + y * rng.normal()) / (EXTENT / 2)
    image = np.ones((size, size, 3), np.float32) * tint * ramp[..., None]
    if kind == "wall":
        image *= (1 + 0.05 * cloud(rng, size, (8, 16, 32, 64)))[..., None]
    if kind == "office":
        for _ in range(int(rng.integers(5, 14))):
            corner = rng.uniform(0, size, 2).astype(int)
            opposite = corner + (rng.uniform(0.05, 0.6, 2) * size).astype(int)
            colour = tuple(float(v) for v in rng.uniform(0.03, 0.9, 3))
            cv2.rectangle(image, corner.tolist(), opposite.tolist(), colour, -1)
        image = blur(image, float(rng.uniform(0.6, 4)) * size / 160)
    return np.asarray(np.clip(image, 0.01, 1.0), np.float32)


def shade(
    height: Map,
    parts: NDArray[np.uint8],
    albedo: Map,
    gloss: Map,
    light: Light,
    background: Map,
    plastic: float = 0.0,
) -> Map:
    """Return the lit image, linear RGB ``[S, S, 3]``.

    Wrapped diffuse light (red bleeds round the terminator, as skin does), cavity occlusion, a soft cast shadow and two
    specular lobes; ``plastic`` > 0 makes the surface shinier than skin.
    """
    size = height.shape[0]
    per_unit = size / EXTENT
    smooth = cv2.GaussianBlur(height, (0, 0), size / 200)
    nx = -cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) / 8 * per_unit
    ny = -cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) / 8 * per_unit
    nz = 1 / np.sqrt(nx * nx + ny * ny + 1)
    nx, ny = nx * nz, ny * nz

    def facing(direction: Map, wrap: float) -> Map:
        cosine = nx * direction[0] + ny * direction[1] + nz * direction[2]
        return np.asarray(np.clip((cosine + wrap) / (1 + wrap), 0, None))

    diffuse = np.stack([facing(light.direction, wrap) for wrap in (0.30, 0.12, 0.08)], -1) * light.key * light.colour
    diffuse += (facing(light.fill_direction, 0.2) * light.fill)[..., None]
    cavity = np.clip(cv2.GaussianBlur(height, (0, 0), size / 18) - height, 0, 0.3)
    open_sky = np.clip(1 - 3.0 * cavity, 0.25, 1)
    lit = _cast_shadow(height, light.direction, per_unit)
    half = light.direction + rgb(0, 0, 1)
    half = half / np.linalg.norm(half)
    mirror = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1)
    specular = (0.05 * mirror**12 + 0.10 * mirror**48) * gloss * light.key * (1 + plastic * 3)
    image = albedo * (
        diffuse * (lit * open_sky)[..., None] + light.ambient * (open_sky * (0.75 - 0.25 * ny))[..., None]
    )
    image = image + (specular * lit)[..., None] * light.colour
    inside = cv2.GaussianBlur((parts != BACKGROUND).astype(np.float32), (0, 0), size / 320)[..., None]
    return np.asarray(image * inside + backdrop(background, light) * (1 - inside), np.float32)


def backdrop(background: Map, light: Light) -> Map:
    """Return the background in this light, linear RGB ``[H, W, 3]``."""
    return background * (light.ambient + 0.5 * light.key) * light.colour


def _cast_shadow(height: Map, direction: Map, per_unit: float) -> Map:
    """March the height field towards the light; 1 = lit, down to .25 in full shadow."""
    size = height.shape[0]
    lit = np.ones_like(height)
    if direction[2] <= 0.05:
        return lit
    slope = max(float(direction[2]), 0.25)
    for step in (0.06, 0.12, 0.2, 0.3):
        dx, dy = direction[0] / slope * step, direction[1] / slope * step
        shift = rgb(1, 0, -dx * per_unit, 0, 1, -dy * per_unit).reshape(2, 3)
        towards = cv2.warpAffine(height, shift, (size, size))
        lit = np.minimum(lit, 1 - np.clip((towards - height - step * 0.9) * 6, 0, 0.75))
    return np.asarray(cv2.GaussianBlur(lit, (0, 0), size / 70), np.float32)
