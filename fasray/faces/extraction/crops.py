"""Faces that come cut out, as many corpora and copies have them: taken as they are, or looked for once more."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.detection import Detector, Face, Frame, Models
from fasray.faces.detection.blazeface import Box
from fasray.faces.detection.mesh import MARGIN, FaceMesh

WHOLE, DETECT = "whole", "detect"
CROPPED = (WHOLE, DETECT)
"""``whole``: every picture is a face crop and is used as it is, scaled alone; no face is looked for. ``detect``: the
face is found inside the crop, with black around it, and cut out as from any picture."""
_REGION = 1.15
"""Side of the region in which the mesh is first fitted, relative to the crop's longer side."""
_BORDER = 0.5
"""Width of the black border in which a face is looked for, relative to the crop's longer side."""


class WholeCrop:
    """Fits the face mesh to pictures that are face crops; nothing is looked for, and nothing missed.

    The mesh is fitted twice: to the whole crop, then to where it was found. Depth and parsing of live faces are drawn
    of it, and the pixels do not depend on it.

    Args:
        models: content of the model files.
    """

    def __init__(self, models: Models) -> None:
        self._mesh = FaceMesh(models)

    def find(self, frame: Frame) -> Face:
        """Return the mesh, with score 1."""
        height, width = frame.shape[:2]
        half = max(height, width) * _REGION / MARGIN / 2
        centre = np.array([width / 2, height / 2], np.float32)
        corners = np.stack([centre - half, centre + half])
        points = self._mesh.points(frame, _box(corners, np.stack([centre, centre + [1, 0]])))
        corners = np.stack([points[:, :2].min(0), points[:, :2].max(0)])
        eyes = np.stack([points[[33, 133], :2].mean(0), points[[263, 362], :2].mean(0)])
        return Face(self._mesh.points(frame, _box(corners, eyes)), 1.0, WHOLE)


def _box(corners: NDArray[np.float32], eyes: NDArray[np.float32]) -> Box:
    return Box(corners.astype(np.float32), eyes.astype(np.float32), 1.0, WHOLE)


def whole_matrix(frame: Frame, image_size: int) -> NDArray[np.float32]:
    """Return the [2, 3] matrix from a picture to a crop of ``image_size`` that holds all of it, in the middle."""
    height, width = frame.shape[:2]
    zoom = image_size / max(height, width)
    shift = (image_size - zoom * np.array([width, height])) / 2 + zoom / 2 - 0.5  # of pixel centres
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float32)


def find_inside(detector: Detector, crop: Frame) -> Face | None:
    """Return the face in a crop, which detectors miss where it fills the picture: it is looked for with a border."""
    border = round(max(crop.shape[:2]) * _BORDER)
    framed = cv2.copyMakeBorder(crop, border, border, border, border, cv2.BORDER_CONSTANT)
    face = detector.find(np.asarray(framed, np.uint8))
    if face is None:
        return None
    offset = np.array([border, border, 0], np.float32)
    return Face(np.asarray(face.points - offset, np.float32), face.score, face.found_by)
