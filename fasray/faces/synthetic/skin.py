"""Colour of a head in the canonical frame: Lambert-Beer skin, hair, eyes, lips, cloth; and how much each part shines.

Skin absorbs like two pigments on white: ``albedo = base * exp(-melanin * e_m - haemoglobin * e_h)`` per colour channel.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.synthetic.identity import Identity
from fasray.faces.synthetic.raster import Map, bump, cloud, noise, rgb, white_noise
from fasray.faces.synthetic.shape import CLOTH, EYE, HAIR, LIP, Expression, Features

_BASE = rgb(0.82, 0.74, 0.66)
_MELANIN_EXTINCTION = rgb(0.42, 0.72, 1.15)
_HAEMOGLOBIN_EXTINCTION = rgb(0.06, 0.62, 0.50)


def draw_skin(
    who: Identity, features: Features, parts: NDArray[np.uint8], mood: Expression, rng: np.random.Generator
) -> tuple[Map, Map]:
    """Return linear RGB albedo ``[S, S, 3]`` and gloss ``[S, S]`` (1 = ordinary skin).

    Args:
        who: the subject.
        features: where its face is.
        parts: its part map.
        mood: the expression.
        rng: the subject's own texture stream: pores and freckles stay where they are.
    """
    size = features.x.shape[0]
    pores = noise(rng, size, size // 2) * 0.5 + noise(rng, size, size // 4) * 0.35
    albedo = _pigment(who, features, pores, rng)
    strand = cv2.GaussianBlur(white_noise(rng, size, size), (0, 0), sigmaX=size / 260, sigmaY=size / 22)
    hair = rgb(*who.hair_colour) * (1 + 0.45 * (strand / strand.std())[..., None])
    albedo = _mix(
        albedo, rgb(*who.hair_colour) * 1.1, np.clip(features.brow * who.brow_density * (0.75 + 0.35 * pores), 0, 1)
    )
    albedo = _eyes(who, features, mood, albedo, noise(rng, size, size // 4))
    albedo = _openings(who, features, albedo)
    albedo = np.where((parts == HAIR)[..., None], hair, albedo)
    cloth = rgb(*who.cloth_colour) * (1 + 0.12 * noise(rng, size, size // 3)[..., None])
    albedo = np.where((parts == CLOTH)[..., None], cloth, albedo)
    return albedo.astype(np.float32), _gloss(who, features, parts, pores)


def _mix(image: Map, other: Map, weight: Map) -> Map:
    mixed: Map = image * (1 - weight[..., None]) + other * weight[..., None]
    return mixed


def _pigment(who: Identity, f: Features, pores: Map, rng: np.random.Generator) -> Map:
    size, side, x, y = f.x.shape[0], f.side, f.x, f.y
    blotches = cloud(rng, size, (5, 10, 20))
    freckles = who.freckles * 0.35 * np.clip(noise(rng, size, size // 5) - 1.1, 0, 2)
    melanin = who.melanin * (1 + 0.10 * blotches + 0.05 * pores) + 0.04 * pores
    melanin = melanin + freckles * bump(side, y, 0.3, 0.1, 0.45, 0.35)
    flush = 0.45 * bump(side, y, 0.40, 0.20, 0.24, 0.22) + 0.35 * bump(x, y, 0, f.nose.base, 0.16, 0.12)
    haemoglobin = who.haemoglobin * (0.55 + flush + 0.12 * noise(rng, size, 9))
    haemoglobin = haemoglobin + 0.22 * bump(side, f.eyes.below, who.eye_x, 0.05, 0.16, 0.07)
    if who.beard > 0:
        region = bump(side, y, 0, 0.86, 0.62, 0.33) + 0.8 * bump(x, f.mouth.below, 0, -0.13, 0.26, 0.05)
        region = np.clip(region - 0.3 * bump(x, f.mouth.below, 0, 0.0, 0.2, 0.08), 0, 1) * (y > 0.3)
        melanin = melanin + who.beard * (0.9 + 0.6 * noise(rng, size, size // 2)) * 0.8 * region
    lips = cv2.GaussianBlur(f.mouth.lips.astype(np.float32), (0, 0), size / 200)
    haemoglobin = haemoglobin + lips * (0.85 + 0.3 * rng.random())
    near_eye = np.abs(side - who.eye_x) < who.eye_half_width * 1.08
    crease = np.exp(-(((f.eyes.below - f.eyes.upper_lid) / 0.014) ** 2)) * near_eye
    bags = (0.18 + 0.25 * who.age) * bump(side, f.eyes.below, who.eye_x, 0.13, 0.15, 0.03)
    melanin = melanin + lips * 0.12 + 0.35 * crease * (1 - 0.5 * who.lid_crease) + bags
    density = melanin[..., None] * _MELANIN_EXTINCTION + haemoglobin[..., None] * _HAEMOGLOBIN_EXTINCTION
    return np.exp(-density).astype(np.float32) * _BASE


def _eyes(who: Identity, f: Features, mood: Expression, albedo: Map, speckle: Map) -> Map:
    size, eyes = f.x.shape[0], f.eyes
    iris_x = np.sign(f.x) * who.eye_x + mood.gaze_x * 0.045
    iris_y = mood.gaze_y * 0.03 - 0.004
    radius = np.sqrt((f.x - iris_x) ** 2 + (eyes.below - iris_y) ** 2) / (who.eye_half_height * 1.15)
    lid_shadow = 0.30 * np.clip(np.exp(-(eyes.below - eyes.upper_lid) / 0.022), 0, 1)
    white = rgb(0.72, 0.68, 0.64) * (1 - 0.35 * eyes.across**2 - lid_shadow)[..., None]
    iris = rgb(*who.iris_colour) * ((1.4 - 0.5 * radius + 0.25 * speckle) * np.where(radius > 0.86, 0.4, 1))[..., None]
    pupil = rgb(0.006, 0.006, 0.006)
    eye = np.where((radius < 1)[..., None], np.where((radius < 0.42)[..., None], pupil, iris), white)
    albedo = _mix(albedo, eye, cv2.GaussianBlur(eyes.mask.astype(np.float32), (0, 0), size / 320))
    lashes = np.exp(-(((eyes.below - eyes.upper_lid) / 0.010) ** 2)) * (np.abs(f.side - who.eye_x) < who.eye_half_width)
    return _mix(albedo, rgb(0.02, 0.02, 0.02), lashes * 0.85)


def _openings(who: Identity, f: Features, albedo: Map) -> Map:
    """Darken nostrils and the line between the lips; show teeth where the mouth is open."""
    mouth = f.mouth
    nostrils = bump(f.side, f.y, who.nose_width * 0.34, f.nose.base + 0.045, 0.035, 0.018)
    albedo = albedo * (1 - 0.85 * nostrils[..., None])
    if mouth.gap.max() > 0.006:
        albedo[mouth.inside] = rgb(0.10, 0.02, 0.02)
        teeth = mouth.inside & (mouth.below < mouth.gap * 0.55) & (f.side < mouth.half_width * 0.7)
        albedo[teeth] = rgb(0.62, 0.58, 0.50)
    closed = (f.side < mouth.half_width) & (mouth.gap < 0.006)
    return albedo * (1 - 0.75 * np.exp(-((mouth.below / 0.008) ** 2)) * closed)[..., None]


def _gloss(who: Identity, f: Features, parts: NDArray[np.uint8], pores: Map) -> Map:
    oily = bump(f.x, f.y, 0, -0.55, 0.4, 0.25) + bump(f.x, f.y, 0, 0.1, 0.12, 0.3)
    oily = oily + 0.5 * bump(f.side, f.y, 0.4, 0.1, 0.2, 0.15) + 0.4 * bump(f.x, f.y, 0, 0.9, 0.15, 0.1)
    gloss = (0.35 + 0.65 * who.oil * oily) * (1 + 0.25 * pores)
    for part, value in ((EYE, 1.6), (LIP, 1.6), (HAIR, 0.35), (CLOTH, 0.05)):
        gloss = np.where(parts == part, value, gloss)
    return gloss.astype(np.float32)
