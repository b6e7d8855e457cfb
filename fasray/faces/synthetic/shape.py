"""Geometry of a head in the canonical frame: where eyes, nose, mouth and brows are, the height field, the part map.

Heights are in units of the canonical frame, towards the viewer; the part map has the ids of PARSING_CLASSES.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasray.faces.record import PARSING_CLASSES
from fasray.faces.synthetic.identity import BALD, FRINGE, LONG, SHORT, Identity
from fasray.faces.synthetic.raster import Map, bump, canonical_grid, cloud, smoothstep

BACKGROUND, SKIN, BROW, EYE, NOSE, LIP, MOUTH, HAIR, NECK, CLOTH, GLASSES = range(len(PARSING_CLASSES))

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Expression:
    """What changes between sessions: 0..1 each, gaze in eye widths."""

    open_mouth: float
    smile: float
    blink: float
    gaze_x: float
    gaze_y: float


@dataclass(frozen=True)
class Eyes:
    """Both eyes at once, mirrored: offsets from the eye line and the two lid curves."""

    across: Map  # -1 at one corner, 1 at the other, clipped
    below: Map  # height under the eye line
    upper_lid: Map
    lower_lid: Map
    mask: Mask


@dataclass(frozen=True)
class Mouth:
    """Lips and the gap between them; ``below`` is the height under the line between the lips."""

    below: Map
    half_width: float
    taper: Map
    gap: Map
    lips: Mask
    inside: Mask


@dataclass(frozen=True)
class Nose:
    """Profile along the bridge and where it starts and ends."""

    top: float
    base: float
    profile: Map
    width: Map


@dataclass(frozen=True)
class Features:
    """The drawn parts of one face."""

    x: Map
    y: Map
    side: Map  # |x|: faces are symmetric
    face: Mask
    eyes: Eyes
    mouth: Mouth
    nose: Nose
    brow: Map


def draw_features(who: Identity, size: int, mood: Expression) -> Features:
    """Lay out the face of ``who`` on a ``size`` x ``size`` canvas."""
    x, y = canonical_grid(size)
    side = np.abs(x)
    jaw = 1 - who.jaw_taper * smoothstep(y, 0.15, 1.15) ** 1.4
    half_width = who.half_width * jaw * (1 - 0.10 * smoothstep(-y, 0.45, 1.2))
    face = (side / half_width) ** 2.2 + (np.abs(y) / who.half_height) ** 2.4 < 1
    return Features(
        x=x,
        y=y,
        side=side,
        face=face,
        eyes=_eyes(who, side, y, mood),
        mouth=_mouth(who, side, y, mood),
        nose=_nose(who, side, y),
        brow=_brow(who, side, y),
    )


def _eyes(who: Identity, side: Map, y: Map, mood: Expression) -> Eyes:
    below = y - who.eye_y + who.eye_slant * (side - who.eye_x)
    opening = who.eye_half_height * (1 - 0.92 * mood.blink)
    across = np.clip((side - who.eye_x) / who.eye_half_width, -1, 1)
    arc = 1 - across * across
    upper, lower = -opening * arc**0.75, opening * 0.62 * arc**0.85
    mask = (np.abs(side - who.eye_x) < who.eye_half_width) & (below > upper) & (below < lower)
    return Eyes(across, below, upper, lower, mask)


def _mouth(who: Identity, side: Map, y: Map, mood: Expression) -> Mouth:
    line = who.mouth_y - 0.10 * mood.smile * (side / who.mouth_half_width) ** 2 + 0.012 * mood.smile
    below = y - line
    half_width = who.mouth_half_width * (1 + 0.18 * mood.smile)
    taper = np.sqrt(np.clip(1 - np.clip(side / half_width, 0, 1) ** 2, 0, 1))
    gap = mood.open_mouth * 0.11 * taper**1.3
    bow = 1 - who.cupid_bow * 0.35 * np.exp(-((side / 0.045) ** 2)) + 0.15 * np.exp(-(((side - 0.07) / 0.05) ** 2))
    upper = -gap * 0.35 - who.upper_lip * taper**0.8 * bow
    lower = gap + who.lower_lip * taper**0.9
    lips = (side < half_width) & (below > upper) & (below < lower)
    inside = (side < half_width * 0.93) & (below > -gap * 0.35) & (below < gap) & (gap > 0.006)
    return Mouth(below, half_width, taper, gap, lips, inside)


def _nose(who: Identity, side: Map, y: Map) -> Nose:
    top = who.eye_y + 0.02
    base = top + who.nose_length + 0.25
    along = np.clip((y - top) / (base - top), 0, 1.25)
    ridge = np.where(along < 1, along**1.25, np.clip(1 - (along - 1) / 0.22, 0, 1)) * who.nose_height
    profile = ridge + who.nose_bridge * np.exp(-(((y - top) / 0.16) ** 2)) * 0.6
    width = 0.055 + (who.nose_width * 0.52 - 0.055) * np.clip(along, 0, 1) ** 1.6
    return Nose(top, base, profile, width)


def _brow(who: Identity, side: Map, y: Map) -> Map:
    arch = who.brow_arch * np.cos(np.clip((side - who.eye_x) / who.brow_half_width, -1, 1) * 1.6)
    below = y - (who.brow_y - arch + 0.35 * np.maximum(side - 0.40, 0))
    along = np.clip(1 - ((side - who.eye_x + 0.02) / who.brow_half_width) ** 2, 0, 1)
    thickness = who.brow_thickness * (0.5 + 0.5 * along) + 0.006
    return np.exp(-((below / thickness) ** 2)) * smoothstep(along, 0, 0.5)


def draw_shape(
    who: Identity, features: Features, mood: Expression, rng: np.random.Generator
) -> tuple[Map, NDArray[np.uint8]]:
    """Return the height field ``[S, S]`` and the part map, uint8 ``[S, S]``, without glasses.

    Args:
        who: the subject.
        features: of the same subject.
        mood: the expression they were drawn with.
        rng: the subject's own texture stream (hair line).
    """
    f = features
    skull = 1 - (f.x / (who.half_width * 1.10)) ** 2 * 0.92 - (f.y / (who.half_height * 1.13)) ** 2 * 0.85
    dome = np.sqrt(np.clip(skull, 0, 1))
    height = _relief(who, f, mood, who.head_depth * dome)
    neck = (f.side < who.half_width * 0.62 + 0.12 * smoothstep(f.y, 1.15, 1.5)) & (f.y > 0.55)
    cloth = (f.y > 1.22 + 0.28 * f.side + 0.25 * np.exp(-((f.side / 0.35) ** 2))) & (f.side < 1.5)
    around = np.where(neck, 0.25 - 0.25 * (f.x / 0.6) ** 2, np.where(cloth, 0.15, 0))
    height = np.where(f.face, height, around).astype(np.float32)

    parts = np.zeros(f.x.shape, np.uint8)
    parts[neck] = NECK
    parts[cloth] = CLOTH
    parts[f.face] = SKIN
    nose_width = f.nose.width * 1.45
    ridge = f.nose.profile * np.exp(-((f.side / nose_width) ** 2)) > 0.25 * who.nose_height
    parts[f.face & ridge & (f.y < f.nose.base + 0.07) & (f.y > f.nose.top + 0.12)] = NOSE
    parts[f.face & (f.brow > 0.35)] = BROW
    parts[f.face & f.eyes.mask] = EYE
    parts[f.face & f.mouth.lips] = LIP
    parts[f.face & f.mouth.inside] = MOUTH

    hair = _hair(who, f, rng)
    ear = bump(f.side, f.y, who.half_width * 1.02, 0.02, 0.085, 0.20) > 0.42
    parts[ear & ~f.face & ~hair] = SKIN
    height = np.where(ear & ~f.face, 0.12, height)
    parts[hair] = HAIR
    height = np.where(hair, np.maximum(height, 0.55 * dome) + 0.05, height)
    return height.astype(np.float32), parts


def _relief(who: Identity, f: Features, mood: Expression, height: Map) -> Map:
    """Raise nose, brow ridge, cheeks, chin and lips on the skull, and sink eye sockets and creases."""
    side, x, y = f.side, f.x, f.y
    nostril = who.nose_height * 0.30 * bump(side, y, who.nose_width * 0.62, f.nose.base - 0.01, 0.065, 0.06)
    height = height + 0.62 * (f.nose.profile * np.exp(-((side / (f.nose.width * 1.25)) ** 2)) + nostril)
    height = height + who.brow_ridge * bump(side, y, 0.26, who.brow_y + 0.03, 0.26, 0.09)
    height = height - 0.085 * bump(side, y, who.eye_x, who.eye_y, 0.17, 0.105)
    height = height - 0.05 * bump(side, y, 0.12, who.eye_y, 0.06, 0.10)
    height = height + who.cheek * bump(side, y, 0.43, 0.12, 0.20, 0.18) + who.chin * bump(x, y, 0, 0.92, 0.20, 0.12)
    height = height - 0.035 * bump(x, y, 0, 0.76, 0.22, 0.05) - 0.02 * bump(x, y, 0, 0.40, 0.035, 0.06)
    height = height - 0.03 * bump(side, y, 0.30, 0.36, 0.05, 0.16) * (1 + 1.5 * mood.smile + who.age)
    height = height + 0.055 * bump(side, f.eyes.below, who.eye_x, 0, 0.12, 0.085)  # eyeballs
    return height + _lip_relief(who, f.x, f.mouth)


def _lip_relief(who: Identity, x: Map, mouth: Mouth) -> Map:
    upper, lower = mouth.below + mouth.gap * 0.35, mouth.below - mouth.gap
    relief = 0.055 * bump(x, upper, 0, -who.upper_lip * 0.5, mouth.half_width * 0.75, who.upper_lip * 0.9)
    relief = relief + 0.065 * bump(x, lower, 0, who.lower_lip * 0.5, mouth.half_width * 0.62, who.lower_lip * 0.8)
    return relief - 0.045 * np.exp(-((mouth.below / 0.016) ** 2)) * mouth.taper - 0.10 * mouth.inside


def _hair(who: Identity, f: Features, rng: np.random.Generator) -> Mask:
    strands = cloud(rng, f.x.shape[0], (6, 12, 24))
    edge = who.hair_line + 0.05 * strands + 0.27 * (f.side / 0.8) ** 2
    outer_x, outer_y = who.half_width + who.hair_volume * 0.9, who.half_height + who.hair_volume
    cap = (f.side / outer_x) ** 2.2 + (np.abs(f.y + 0.05) / outer_y) ** 2.2 < 1 + 0.05 * strands
    hair: Mask = cap & ((f.y < edge) | (~f.face & (f.y < (-0.05 if who.hair_style == SHORT else 0.1))))
    if who.hair_style == LONG:
        curtain = (f.side < who.half_width + who.hair_volume * 1.1 + 0.03 * strands) & (f.y < 1.15 + 0.1 * strands)
        hair |= ~f.face & curtain & (f.y > -0.9) & ~((f.side < who.half_width * 0.5) & (f.y > 0.6))
    if who.hair_style == FRINGE:
        wave = who.hair_line + 0.18 + 0.12 * np.sin(6 * f.x + who.texture_seed % 7)
        hair |= cap & (f.y < wave) & (f.y < -0.5)
    if who.hair_style == BALD:
        hair = np.zeros_like(hair)
    return hair


def glasses_frame(who: Identity, f: Features) -> Mask:
    """Return where rims, bridge and temples of the glasses are."""
    lens = np.maximum(np.abs(f.side - who.eye_x - 0.01) / 0.215, np.abs(f.y - who.eye_y - 0.03) / 0.15)
    rim = np.abs(lens - 1) * 0.18 < 0.018
    bridge = (f.side < 0.10) & (np.abs(f.y - who.eye_y + 0.02) < 0.015)
    temple = (f.side > 0.52) & (f.side < who.half_width) & (np.abs(f.y - who.eye_y + 0.03) < 0.016)
    frame: Mask = rim | bridge | temple
    return frame
