"""What an attacker wears: a mask, printed paper on a part of the face, make-up. Each changes the canonical head."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.record import FACE_CLASSES
from fasray.faces.synthetic.head import Head
from fasray.faces.synthetic.media import Makeup, Mask, Partial, Worn
from fasray.faces.synthetic.raster import EXTENT, Map, blur, bump, canonical_grid, rgb, saturate, to_display
from fasray.faces.synthetic.shape import BROW, EYE, LIP, NOSE, SKIN

_EYE_X, _EYE_Y, _MOUTH_Y = 0.315, -0.20, 0.53
"""Where eyes and mouth are on average (identity.py), for a face on which they are hidden."""
_PRINTED_LARGER = 1.12
"""Size of what is printed on paper that is worn, relative to the face: a cut-out never fits."""


def wear(head: Head, medium: Worn) -> Head:
    """Return the head as a camera sees it with this on."""
    if isinstance(medium, Partial):
        return _with_paper(head, medium)
    if isinstance(medium, Makeup):
        return _made_up(head, medium.strength)
    return _silicone(head) if medium.soft else _as_mask(head)


def shine_of(medium: Worn) -> float:
    """Return how much shinier than skin the surface is (``plastic`` of pose.render)."""
    return medium.plastic if isinstance(medium, Mask) and not medium.soft else 0.0


def _as_mask(head: Head) -> Head:
    """Return the head as a resin mask of it: flat skin colour, no fine texture, eye-hole rims, a shiny surface."""
    skin = np.isin(head.parts, (SKIN, NOSE, LIP, BROW))
    flat = blur(head.albedo, head.parts.shape[0] / 90) * 0.45
    flat = flat + head.albedo[skin].mean(0) * 0.55 * rgb(1.05, 1.0, 0.9)
    albedo = np.where(skin[..., None], flat, head.albedo)
    eyes = (head.parts == EYE).astype(np.uint8)
    rim = cv2.dilate(eyes, np.ones((3, 3), np.uint8)) > eyes
    albedo[rim] *= 0.35
    return Head(head.height, head.parts, albedo.astype(np.float32), np.where(skin, 1.3, head.gloss).astype(np.float32))


def _silicone(head: Head) -> Head:
    """Keep the colours of the parts, lose pores and wrinkles; dark gaps round eyes and mouth, an even dull sheen."""
    size = head.parts.shape[0]
    skin = np.isin(head.parts, (SKIN, NOSE, BROW))
    waxy = blur(head.albedo, size / 110) * 0.75 + head.albedo[skin].mean(0) * 0.25 * rgb(1.08, 0.98, 0.88)
    albedo = np.where(skin[..., None], waxy, head.albedo)
    openings = np.isin(head.parts, (EYE, LIP)).astype(np.uint8)
    gap = blur((cv2.dilate(openings, np.ones((3, 3), np.uint8)) > openings).astype(np.float32), size / 200)
    albedo = albedo * (1 - 0.65 * np.clip(gap, 0, 1)[..., None])
    height = np.where(skin, blur(head.height, size / 50), head.height)
    gloss = np.where(skin, 0.9, head.gloss)
    return Head(height.astype(np.float32), head.parts, albedo.astype(np.float32), gloss.astype(np.float32))


def _with_paper(head: Head, paper: Partial) -> Head:
    """Lay a cut-out of printed paper, a little too large and flat, on the face, with a white edge round it."""
    size = head.parts.shape[0]
    eye_y, mouth_y = _middle(head.parts, EYE, _EYE_Y), _middle(head.parts, LIP, _MOUTH_Y)
    face = blur(np.isin(head.parts, FACE_CLASSES).astype(np.float32), size / 160) > 0.3
    sheet = _cut(paper.cut, size, eye_y, mouth_y) & face
    printed = _enlarged(head.albedo, mouth_y if paper.cut == "mouth" else eye_y)
    photo = np.clip(saturate(to_display(printed * 1.25), paper.saturation), 0, 1)
    ink = rgb(*paper.paper) * photo**2 * (1 - paper.black) + paper.black
    inner = cv2.erode(sheet.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    albedo = np.where(inner[..., None], ink, np.where(sheet[..., None], rgb(*paper.paper), head.albedo))
    flat = blur(head.height, size / 14) + 0.06
    return replace(
        head,
        height=np.where(sheet, np.maximum(flat, head.height), head.height).astype(np.float32),
        albedo=np.clip(albedo, 0.004, 0.95).astype(np.float32),
        gloss=np.where(sheet, 0.25, head.gloss).astype(np.float32),
    )


def _made_up(head: Head, strength: float) -> Head:
    """Even the skin out, paint lips, lids, brows and cheeks."""
    size = head.parts.shape[0]
    x, y = canonical_grid(size)
    side, eye_y = np.abs(x), _middle(head.parts, EYE, _EYE_Y)
    skin = np.isin(head.parts, (SKIN, NOSE))
    cover = np.where(skin, 0.8 * strength, 0)[..., None]
    albedo = head.albedo * (1 - cover) + (blur(head.albedo, size / 50) * rgb(1.12, 1.06, 1.02)) * cover
    for colour, where in (
        (rgb(0.42, 0.02, 0.05), 0.9 * (head.parts == LIP)),
        (rgb(0.05, 0.04, 0.10), 0.85 * bump(side, y, _EYE_X, eye_y - 0.07, 0.17, 0.07) * skin),
        (rgb(0.02, 0.015, 0.01), 0.8 * (head.parts == BROW)),
        (rgb(0.60, 0.16, 0.16), 0.5 * bump(side, y, 0.45, 0.16, 0.17, 0.13) * skin),
    ):
        weight = blur((where * strength).astype(np.float32), size / 260)[..., None]
        albedo = albedo * (1 - weight) + colour * weight
    return replace(head, albedo=np.clip(albedo, 0.004, 0.95).astype(np.float32))


def _cut(cut: str, size: int, eye_y: float, mouth_y: float) -> NDArray[np.bool_]:
    """Return where the paper is, ``[S, S]``, before it is limited to the face."""
    x, y = canonical_grid(size)
    side = np.abs(x)
    if cut == "mouth":
        where = (side / 0.40) ** 6 + (np.abs(y - mouth_y) / 0.19) ** 6 < 1
    elif cut == "strip":
        where = np.abs(y - eye_y) < 0.17
    else:
        lens = (np.abs(side - 0.33) / 0.26) ** 4 + (np.abs(y - eye_y - 0.02) / 0.19) ** 4 < 1
        where = lens | ((np.abs(y - eye_y) < 0.05) & (side > 0.5)) | ((np.abs(y - eye_y) < 0.06) & (side < 0.12))
    return np.asarray(where, np.bool_)


def _enlarged(albedo: Map, centre_y: float) -> Map:
    """Return the canonical colours enlarged about a point of the midline."""
    size = albedo.shape[0]
    middle, shift = (size - 1) / 2, (centre_y + EXTENT / 2) * size / EXTENT - 0.5
    matrix = rgb(1, 0, 0, 0, 1, 0).reshape(2, 3) / _PRINTED_LARGER
    matrix[:, 2] = middle * (1 - 1 / _PRINTED_LARGER), shift * (1 - 1 / _PRINTED_LARGER)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(albedo, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE))


def _middle(parts: NDArray[np.uint8], part: int, otherwise: float) -> float:
    """Return the mean height of a part on the canvas, canonical y."""
    rows = np.nonzero(parts == part)[0]
    return float((rows.mean() + 0.5) / parts.shape[0] * EXTENT - EXTENT / 2) if len(rows) else otherwise
