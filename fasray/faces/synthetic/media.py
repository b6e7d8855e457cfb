"""Attack media in linear light: a printed photo, a display, as a camera would be shown them; and what is worn.

A medium takes the victim's linear image, makes an ordinary JPEG of it (what an attacker has), reproduces that with its
own gamut, structure and gloss, and holds it in front of a scene.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np

from fasray.faces.synthetic.light import Light
from fasray.faces.synthetic.raster import Map, blur, rgb, saturate, to_display, white_noise

Span = tuple[float, float]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Print:
    """A printed photo. Lengths are shares of the canvas unless said otherwise.

    ``exposure_bias`` and ``colour_bias`` are no physics: they are the shortcut designed into a domain (domains.py),
    applied by the camera to every attack of the medium.
    """

    saturation: Span = (0.65, 0.95)
    cast: float = 0.04  # deviation of the ink balance
    halftone: float = 0.35  # visibility of the ink dots, 0..1
    dot_pitch: Span = (2.3, 3.6)  # pixels
    grain: float = 0.02
    paper: Triple = (0.86, 0.85, 0.80)
    black: float = 0.045  # reflectance of full ink
    bend: float = 0.6
    gloss: float = 0.10
    fill: Span = (1.05, 1.5)  # side of the sheet
    tilt: float = 0.03
    turn: float = 0.05  # radians
    border: float = 0.10
    eye_holes: float = 0.0  # probability
    exposure_bias: float = 1.0
    colour_bias: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Replay:
    """A photo or video on a display; biases as for Print."""

    softness: Span = (0.3, 0.9)  # blur of the attacker's photo, pixels
    resolution: float = 1.0  # of the attacker's photo, relative
    white: Triple = (0.93, 1.0, 1.08)
    gain: Span = (0.8, 1.3)
    saturation: float = 1.05
    leak: float = 0.02  # light through black pixels
    gloss: float = 0.25
    haze: float = 0.02
    bezel: float = 0.08
    grid: float = 0.8  # contrast of the pixel grid, 0..1
    pitch: Span = (1.25, 2.2)  # pixel grid in camera pixels
    optics: float = 0.38  # blur of the camera's optics, camera pixels
    banding: float = 0.06
    fill: Span = (1.05, 1.5)
    tilt: float = 0.025
    turn: float = 0.04
    exposure_bias: float = 1.0
    colour_bias: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Mask:
    """A worn mask, rendered like a head (worn.py): rigid and shiny, or soft as silicone; biases as for Print."""

    plastic: float = 0.5
    soft: bool = False
    exposure_bias: float = 1.0
    colour_bias: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Partial:
    """Printed paper worn on a part of a live face (worn.py); biases as for Print."""

    cut: Literal["glasses", "strip", "mouth"] = "glasses"
    saturation: float = 0.75
    paper: Triple = (0.86, 0.85, 0.80)
    black: float = 0.045
    exposure_bias: float = 1.0
    colour_bias: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Makeup:
    """Heavy make-up (worn.py); biases as for Print."""

    strength: float = 0.8
    exposure_bias: float = 1.0
    colour_bias: Triple = (1.0, 1.0, 1.0)


Worn: TypeAlias = Mask | Partial | Makeup
Medium: TypeAlias = Print | Replay | Worn


def show_print(image: Map, medium: Print, scene: Map, light: Light, rng: np.random.Generator) -> Map:
    """Return the linear image of a print of ``image`` held in front of ``scene``, ``[S, S, 3]``."""
    size = image.shape[0]
    photo = saturate(_attackers_photo(image, (0.2, 0.7), rng), rng.uniform(*medium.saturation))
    photo = np.clip(photo * (1 + medium.cast * white_noise(rng, 3)), 0, 1)
    ink = _halftone(1 - photo, medium, rng)
    ink = ink + medium.grain * white_noise(rng, size, size, 1) * (0.3 + ink)
    fibre = 1 + 0.036 * blur(white_noise(rng, size, size), 0.8)[..., None]
    reflectance = rgb(*medium.paper) * fibre * np.clip(1 - ink, 0, 1) ** 2 * (1 - medium.black)
    reflectance = reflectance + medium.black * rgb(1, 0.97, 0.93)
    reflectance, slope = _bend(reflectance.astype(np.float32), medium.bend, rng)
    facing = np.clip(0.75 + 0.45 * light.direction[0] * slope + 0.25 * light.direction[2], 0.2, 1.4)
    irradiance = light.key * 0.75 * facing + light.ambient * 0.8
    sheet = reflectance * irradiance[..., None] * light.colour
    sheet = sheet + (_glare(size, 1, medium.gloss, rng) * light.key)[..., None] * light.colour
    sheet = np.ascontiguousarray(sheet, np.float32)
    place = _placement(size, rng.uniform(*medium.fill), medium.tilt, medium.turn, rng)
    border = int(medium.border * size * rng.random())
    if border > 0:
        white = rgb(*medium.paper) * irradiance.mean() * light.colour
        cv2.rectangle(sheet, (0, 0), (size - 1, size - 1), white.tolist(), border)
    if medium.eye_holes > 0 and rng.random() < medium.eye_holes:
        for x in (0.40, 0.60):
            cv2.ellipse(sheet, ((size * x, size * 0.44), (size * 0.10, size * 0.05), 0), (0.03, 0.025, 0.02), -1)
    covered = cv2.warpPerspective(np.ones((size, size), np.float32), place, (size, size))
    seen = cv2.warpPerspective(sheet, place, (size, size))
    offset = rgb(1, 0, 0.02 * size, 0, 1, 0.03 * size).reshape(2, 3)
    shadow = cv2.warpAffine(blur(covered, size / 60), offset, (size, size))
    behind = scene * (1 - 0.5 * shadow * (1 - covered))[..., None]
    return np.asarray(seen * covered[..., None] + behind * (1 - covered)[..., None], np.float32)


def show_replay(image: Map, medium: Replay, scene: Map, light: Light, rng: np.random.Generator) -> Map:
    """Return the linear image of ``image`` on a display held in front of ``scene``, ``[S, S, 3]``."""
    size = image.shape[0]
    photo = _attackers_photo(image, medium.softness, rng)
    if medium.resolution < 1:
        small = cv2.resize(photo, None, fx=medium.resolution, fy=medium.resolution, interpolation=cv2.INTER_AREA)
        enlarge = cv2.INTER_NEAREST if medium.resolution < 0.6 else cv2.INTER_LINEAR
        photo = cv2.resize(small, (size, size), interpolation=enlarge)
    screen = cv2.pow(photo, 2.2 * rng.uniform(0.9, 1.15)) * rgb(*medium.white) * rng.uniform(*medium.gain)
    screen = np.maximum(saturate(screen, medium.saturation), 0) + medium.leak * rgb(0.9, 1.0, 1.25)
    place = _placement(size, rng.uniform(*medium.fill), medium.tilt, medium.turn, rng)
    glare = _glare(size, int(rng.integers(0, 3)), medium.gloss, rng)
    screen = screen + glare[..., None] * light.key * light.colour + medium.haze * light.ambient
    screen = np.ascontiguousarray(screen, np.float32)
    bezel = int(medium.bezel * size * rng.random())
    if bezel > 0:
        cv2.rectangle(screen, (0, 0), (size - 1, size - 1), (0.012, 0.012, 0.013), bezel)
    seen = cv2.warpPerspective(screen, place, (size, size))
    covered = cv2.warpPerspective(np.ones((size, size), np.float32), place, (size, size))
    if medium.grid > 0:
        seen = seen * _pixel_grid(size, np.linalg.inv(place), medium, rng)
    if medium.banding > 0:
        depth = medium.banding * rng.random()
        waves, phase = rng.uniform(1, 5), rng.uniform(0, 6)
        rows = np.sin(np.arange(size, dtype=np.float32) / size * 2 * np.pi * waves + phase)
        seen = seen * (1 + depth * rows)[:, None, None]
    return np.asarray(seen * covered[..., None] + scene * (1 - covered)[..., None], np.float32)


def _attackers_photo(image: Map, softness: Span, rng: np.random.Generator) -> Map:
    """Return the 8-bit JPEG an attacker has of the victim, display values 0..1."""
    display = to_display(blur(image, rng.uniform(*softness)))
    quality = int(rng.integers(75, 95))
    _, data = cv2.imencode(".jpg", (display * 255).astype(np.uint8), (cv2.IMWRITE_JPEG_QUALITY, quality))
    photo = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return photo.astype(np.float32) / 255


def _placement(size: int, fill: float, tilt: float, turn: float, rng: np.random.Generator) -> Map:
    """Return the homography from the medium's canvas to the camera's: size, turn, perspective and shift."""
    half = fill * size / 2
    corners = rgb(-half, -half, half, -half, half, half, -half, half).reshape(4, 2)
    angle = rng.normal(0, turn)
    rotation = rgb(np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)).reshape(2, 2)
    corners = corners @ rotation.T * (1 + rng.normal(0, tilt, (4, 2)).astype(np.float32))
    corners = corners + size / 2 + rng.normal(0, 0.02 * size, 2).astype(np.float32)
    canvas = rgb(0, 0, size, 0, size, size, 0, size).reshape(4, 2)
    return np.asarray(cv2.getPerspectiveTransform(canvas, corners.astype(np.float32)))


def _glare(size: int, count: int, amount: float, rng: np.random.Generator) -> Map:
    """Return soft rectangular reflections of lamps and windows."""
    image = np.zeros((size, size), np.float32)
    for _ in range(count):
        x, y = (float(v) for v in rng.uniform(0, size, 2))
        width, height = (float(v) for v in rng.uniform(0.08, 0.35, 2) * size)
        box = cv2.boxPoints(((x, y), (width, height), float(rng.uniform(0, 180))))
        cv2.fillPoly(image, [box.astype(np.int32)], float(rng.uniform(0.3, 1)))
    return blur(image, rng.uniform(0.015, 0.12) * size) * amount


def _halftone(ink: Map, medium: Print, rng: np.random.Generator) -> Map:
    """Break the ink into amplitude-modulated dots, one screen angle an ink, and mix them with continuous tone."""
    if medium.halftone <= 0:
        return ink
    size = ink.shape[0]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    frequency = 2 * np.pi / rng.uniform(*medium.dot_pitch)
    screens = []
    for degrees in (15, 75, 0):
        angle = np.deg2rad(degrees + rng.normal(0, 2))
        along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        screens.append(0.5 + 0.25 * (np.cos(frequency * along) + np.cos(frequency * across)))
    threshold = np.stack(screens, -1).astype(np.float32)
    dots = (1 / (1 + np.exp(-9 * (ink - threshold)))).astype(np.float32)
    return ink * (1 - medium.halftone) + blur(dots, 0.55) * medium.halftone


def _bend(sheet: Map, amount: float, rng: np.random.Generator) -> tuple[Map, Map]:
    """Bend the sheet like a cylinder; return it with its sideways slope ``[S, S]``, which shades it."""
    size = sheet.shape[0]
    if amount <= 0:
        return sheet, np.zeros((size, size), np.float32)
    curve = rng.uniform(0.3, 1) * amount * (1 if rng.random() < 0.5 else -1)
    phase = rng.uniform(-1, 1)
    upright = rng.random() < 0.7
    axis = np.arange(size, dtype=np.float32)
    along = axis / size * 2 - 1
    squeezed = ((along + curve * 0.10 * np.sin(np.pi * (along + phase)) + 1) / 2 * size - 0.5).astype(np.float32)
    map_x, map_y = np.meshgrid(squeezed if upright else axis, axis if upright else squeezed)
    bent = cv2.remap(sheet, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    slope = (curve * np.pi * 0.5 * np.cos(np.pi * (along + phase))).astype(np.float32)
    return bent, np.broadcast_to(slope[None] if upright else slope[:, None], (size, size))


def _pixel_grid(size: int, to_screen: Map, medium: Replay, rng: np.random.Generator) -> Map:
    """Return the gain of the display's subpixels as the camera samples them, ``[S, S, 3]``: moire arises by aliasing.

    Each colour is a stripe a third of a display pixel apart; the first two harmonics pass through optics (Gaussian of
    ``medium.optics`` camera pixels) and pixel aperture (sinc).
    """
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    h = to_screen.astype(np.float32)
    pitch = rng.uniform(*medium.pitch)
    w = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    u = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / w / pitch
    v = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / w / pitch

    def transfer(harmonic: int) -> float:
        optics = np.exp(-2 * (np.pi * medium.optics * harmonic / pitch) ** 2)
        return float(optics * abs(np.sinc(harmonic / pitch)))

    first, second = medium.grid * transfer(1), medium.grid * 0.5 * transfer(2)
    rows = 1 + medium.grid * 0.45 * transfer(1) * np.cos(2 * np.pi * v)
    gain = np.empty((size, size, 3), np.float32)
    for channel in range(3):
        stripe = 2 * np.pi * (u - channel / 3)
        gain[..., channel] = (1 + 2 * first * np.cos(stripe) + 2 * second * np.cos(2 * stripe)) * rows
    return np.maximum(gain, 0)
