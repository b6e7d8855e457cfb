"""One subject in one session, drawn once in the canonical frame; every frame of the session re-projects it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasray.faces.synthetic.identity import Identity
from fasray.faces.synthetic.raster import Map
from fasray.faces.synthetic.shape import (
    BACKGROUND,
    GLASSES,
    HAIR,
    Expression,
    draw_features,
    draw_shape,
    glasses_frame,
)
from fasray.faces.synthetic.skin import draw_skin


@dataclass(frozen=True)
class Head:
    """Canonical maps, ``[S, S]`` or ``[S, S, 3]``; see shape.py and skin.py for their units."""

    height: Map
    parts: NDArray[np.uint8]
    albedo: Map
    gloss: Map


def draw_expression(rng: np.random.Generator) -> Expression:
    """Draw the expression of a session: mostly a closed mouth, a slight smile, open eyes."""
    open_mouth = max(0.0, float(rng.normal(-0.2, 0.5)))
    smile = float(np.clip(rng.normal(0.15, 0.3), 0, 1))
    blink = float(rng.random() < 0.05) * float(rng.uniform(0.5, 1))
    gaze_x, gaze_y = (float(v) for v in rng.normal(0, 0.5, 2))
    return Expression(open_mouth, smile, blink, gaze_x, gaze_y)


def draw_head(who: Identity, mood: Expression, size: int) -> Head:
    """Draw ``who`` on a ``size`` x ``size`` canvas. This is two thirds of the cost of a frame: keep the result."""
    texture = np.random.default_rng(who.texture_seed)
    features = draw_features(who, size, mood)
    height, parts = draw_shape(who, features, mood, texture)
    albedo, gloss = draw_skin(who, features, parts, mood, texture)
    if who.glasses:
        frame = glasses_frame(who, features)
        albedo[frame] = who.glasses_colour
        gloss[frame] = 3
        parts[frame & (parts != BACKGROUND) & (parts != HAIR)] = GLASSES
        height = height + 0.04 * frame
    return Head(height.astype(np.float32), parts, np.clip(albedo, 0.004, 0.95), gloss)
