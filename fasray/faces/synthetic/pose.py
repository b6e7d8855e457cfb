"""Turn the canonical head and light it: one frame, with its depth and part map exact to the pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.record import FACE_CLASSES
from fasray.faces.synthetic.head import Head
from fasray.faces.synthetic.light import Light, shade
from fasray.faces.synthetic.raster import EXTENT, Map, canonical_grid

_PIVOT = 0.45
"""Height of the axis the head turns about."""


@dataclass(frozen=True)
class Pose:
    """Angles in radians, scale and shift in units of the canonical frame."""

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift_x: float
    shift_y: float


@dataclass(frozen=True)
class View:
    """One frame before any medium or camera: linear RGB, depth 0..1 (near = 1, zero off the face), part ids."""

    image: Map
    depth: Map
    parts: NDArray[np.uint8]


def draw_pose(rng: np.random.Generator, scale: float) -> Pose:
    """Draw a near-frontal pose (yaw within 29 degrees, pitch within 17)."""
    return Pose(
        yaw=float(np.clip(rng.normal(0, 0.22), -0.5, 0.5)),
        pitch=float(np.clip(rng.normal(0, 0.12), -0.3, 0.3)),
        roll=float(rng.normal(0, 0.06)),
        scale=float(np.clip(rng.normal(scale, 0.05), scale - 0.12, scale + 0.12)),
        shift_x=float(rng.normal(0, 0.04)),
        shift_y=float(rng.normal(0, 0.04)),
    )


def pose_maps(height: Map, pose: Pose) -> tuple[Map, Map]:
    """Return for every view pixel the canonical pixel (x, y) that is seen there.

    A point (u, v, h) of the head appears at ``u cos(yaw) + h sin(yaw)``; the inverse is found by a damped fixed point
    on the smoothed height field, so that image, depth and parts are warped alike.
    """
    size = height.shape[0]
    grid_x, grid_y = canonical_grid(size)
    cos, sin = float(np.cos(pose.roll)), float(np.sin(pose.roll))
    x, y = (grid_x - pose.shift_x) / pose.scale, (grid_y - pose.shift_y) / pose.scale
    x, y = cos * x + sin * y, -sin * x + cos * y
    per_unit = size / EXTENT
    smooth = cv2.GaussianBlur(height, (0, 0), size / 60)

    def pixel(value: Map) -> Map:
        return np.asarray((value + EXTENT / 2) * per_unit - 0.5, np.float32)

    u, v = x.copy(), y.copy()
    for _ in range(4):
        h = cv2.remap(smooth, pixel(u), pixel(v), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) - _PIVOT
        u = 0.35 * u + 0.65 * (x - float(np.sin(pose.yaw)) * h) / float(np.cos(pose.yaw))
        v = 0.35 * v + 0.65 * (y - float(np.sin(pose.pitch)) * h) / float(np.cos(pose.pitch))
    return pixel(u), pixel(v)


def render(head: Head, pose: Pose, light: Light, background: Map, plastic: float = 0.0) -> View:
    """Return the frame of ``head`` in this pose and light."""
    map_x, map_y = pose_maps(head.height, pose)

    def warp(image: Map, how: int = cv2.INTER_LINEAR) -> Map:
        return np.asarray(cv2.remap(image, map_x, map_y, how, borderMode=cv2.BORDER_REPLICATE), np.float32)

    height = warp(head.height)
    parts = cv2.remap(head.parts, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
    image = shade(height, parts, warp(head.albedo), warp(head.gloss), light, background, plastic)
    face = np.isin(parts, FACE_CLASSES)
    depth = np.where(face, np.clip(0.1 + 0.9 * (height - 0.1) / 1.05, 0.05, 1), 0).astype(np.float32)
    return View(image, depth, parts)
