"""From a face mesh to a crop and its labels: five landmarks, a depth map, a parsing map.

The crop is a square round the mesh with a margin, moved and scaled but never turned: warping would destroy the cues
that anti-spoofing lives on. Depth follows the literature's maps (near = 255, nothing outside the face); depth and
parsing of an attack are zeros, and nothing is drawn for it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.detection import Frame, Points
from fasray.faces.detection.topology import Indices, topology
from fasray.faces.record import DEPTH_SIZE, PARSING_CLASSES, PARSING_SIZE

MARGIN = 1.35
"""Side of the crop, relative to the longer side of the mesh's bounding box."""

_OVERSAMPLING = 4
_SOFTENING = 0.6
"""Blur of the oversampled depth, in pixels of the map, so that triangles do not show."""
_FARTHEST = 0.1
"""Depth of the face's farthest point in [0, 1]; what is no face is 0."""
_SUBPIXEL = 4
"""Fractional bits of the corners that OpenCV draws."""

Pixels = NDArray[np.uint8]


def crop_matrix(points: Points, image_size: int, margin: float = MARGIN) -> NDArray[np.float32]:
    """Return the [2, 3] matrix from frame pixels to the pixels of a crop of ``image_size``.

    Args:
        points: [P, 2 or more], x and y in frame pixels.
        image_size: side of the crop, pixels.
        margin: side of the crop relative to the longer side of the points' bounding box.
    """
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side = max(float((high - low).max()) * margin, 1.0)
    zoom = image_size / side
    shift = image_size / 2 - zoom * (low + high) / 2
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float32)


def cut_out(frame: Frame, matrix: NDArray[np.float32], image_size: int) -> Pixels:
    """Return the crop, [image_size, image_size, 3] uint8 RGB.

    A face more than twice as large as the crop is shrunk by area averaging first: sampling single pixels would turn
    fine texture into a moire that was never there. Beyond the frame's edge its outermost pixels go on.
    """
    zoom = float(matrix[0, 0])
    if zoom < 1 / 2:
        frame, matrix = _shrunk(frame, matrix, image_size)
    crop = cv2.warpAffine(
        frame, matrix, (image_size, image_size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.ascontiguousarray(crop[..., ::-1], np.uint8)


def in_crop(points: Points, matrix: NDArray[np.float32]) -> Points:
    """Return [P, 3] points in crop pixels, z in the same unit."""
    plane = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.column_stack([plane, points[:, 2] * matrix[0, 0]]).astype(np.float32)


def five_landmarks(points: Points) -> Points:
    """Return [5, 2]: the middle of the eye in the left of the picture, of the other, nose tip, mouth corners likewise.

    That is the subject's right side first.
    """
    eyes = [points[[33, 133], :2].mean(0), points[[263, 362], :2].mean(0)]
    return np.stack([*eyes, points[1, :2], points[61, :2], points[291, :2]]).astype(np.float32)


def depth_map(points: Points, image_size: int) -> Pixels:
    """Return [32, 32] uint8 depth of a live face: 255 at its nearest point, 0 outside.

    Triangles are painted from far to near, each in the depth of its middle.

    Args:
        points: [468, 3] in crop pixels, smaller z = nearer.
        image_size: side of the crop, pixels.
    """
    side = DEPTH_SIZE * _OVERSAMPLING
    nearness = points[:, 2].max() - points[:, 2]
    nearness = nearness / max(float(nearness.max()), 1e-6)
    triangles = topology().triangles
    shade = nearness[triangles].mean(1) * (1 - _FARTHEST) + _FARTHEST
    corners = _corners(points[triangles][..., :2], side / image_size)
    canvas = np.zeros((side, side), np.float32)
    for number in np.argsort(shade, kind="stable"):
        cv2.fillConvexPoly(canvas, corners[number], float(shade[number]), shift=_SUBPIXEL)
    face = (canvas > 0).astype(np.float32)
    sigma = _OVERSAMPLING * _SOFTENING
    weight = np.maximum(cv2.GaussianBlur(face, (0, 0), sigma), 1e-3)
    soft = face * cv2.GaussianBlur(canvas, (0, 0), sigma) / weight
    small = cv2.resize(soft, (DEPTH_SIZE, DEPTH_SIZE), interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)


def parsing_map(points: Points, image_size: int) -> Pixels:
    """Return [64, 64] uint8 classes (``record.PARSING_CLASSES``) of a live face.

    A mesh has no hair, neck, clothes or glasses: they are background or skin here.

    Args:
        points: [468, 2 or more] in crop pixels.
        image_size: side of the crop, pixels.
    """
    loops = topology().loops
    canvas = np.zeros((PARSING_SIZE, PARSING_SIZE), np.uint8)
    corners = _corners(points[:, :2], PARSING_SIZE / image_size)

    def fill(loop: Indices, name: str) -> None:
        cv2.fillPoly(canvas, [corners[loop]], PARSING_CLASSES.index(name), shift=_SUBPIXEL)

    def fill_hull(loop: Indices, name: str) -> None:
        hull = cv2.convexHull(corners[loop])
        cv2.fillConvexPoly(canvas, hull, PARSING_CLASSES.index(name), shift=_SUBPIXEL)

    fill(loops["face_oval"], "skin")
    for side in ("left", "right"):
        fill_hull(loops[f"{side}_brow"], "brow")
        fill_hull(loops[f"{side}_eye"], "eye")
    fill_hull(loops["nose"], "nose")
    fill(loops["lips_outer"], "lip")
    fill(loops["lips_inner"], "mouth")
    return canvas


def _corners(points: Points, zoom: float) -> NDArray[np.int32]:
    return np.asarray(np.rint(points * (zoom * 2**_SUBPIXEL)), np.int32)


def _shrunk(frame: Frame, matrix: NDArray[np.float32], image_size: int) -> tuple[Frame, NDArray[np.float32]]:
    """Return the surroundings of the crop at the crop's own scale, and the matrix from there to the crop."""
    zoom = float(matrix[0, 0])
    corner = -matrix[:, 2] / zoom
    side = image_size / zoom
    height, width = frame.shape[:2]
    left, top = (int(v) for v in np.clip(np.floor(corner), 0, [width - 1, height - 1]))
    right, bottom = (int(v) for v in np.clip(np.ceil(corner + side), [left + 1, top + 1], [width, height]))
    region = frame[top:bottom, left:right]
    size = max(1, round(region.shape[1] * zoom)), max(1, round(region.shape[0] * zoom))
    small = np.asarray(cv2.resize(region, size, interpolation=cv2.INTER_AREA), np.uint8)
    # resize maps pixel areas, warpAffine pixel centres: x_small + 1/2 = (x - left + 1/2) * scale
    scale = np.array([size[0] / region.shape[1], size[1] / region.shape[0]])
    rest = zoom / scale
    first = np.array([left, top])
    shift = zoom * (first - 0.5 + 0.5 / scale) + matrix[:, 2]
    return small, np.array([[rest[0], 0, shift[0]], [0, rest[1], shift[1]]], np.float32)
