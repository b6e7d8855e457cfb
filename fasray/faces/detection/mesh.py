"""The face mesh: 468 points in three dimensions on a face whose box is known."""

from __future__ import annotations

import cv2
import numpy as np

from fasray.faces.detection.blazeface import Box, Frame, Points, as_input, read_network
from fasray.faces.detection.models import MESH, Models
from fasray.faces.detection.topology import POINTS

_SIZE = 192
"""Side of the network's input, pixels."""
MARGIN = 1.5
"""Side of the region that it looks at, relative to the longer side of the box."""


class FaceMesh:
    """The landmark network.

    Args:
        models: content of the model files.
    """

    def __init__(self, models: Models) -> None:
        self._net = read_network(models[MESH.name])

    def points(self, frame: Frame, box: Box) -> Points:
        """Return [468, 3]: x, y in frame pixels and z in the same unit, smaller = nearer to the camera.

        The network sees the region round the box turned so that the eyes are level; its points are turned back.
        """
        to_input = _upright(box)
        region = cv2.warpAffine(frame, to_input, (_SIZE, _SIZE), flags=cv2.INTER_LINEAR)
        self._net.setInput(as_input(np.asarray(region, np.uint8), 255.0))
        found = self._net.forward().reshape(POINTS, 3)
        back = cv2.invertAffineTransform(to_input)
        plane = found[:, :2] @ back[:, :2].T + back[:, 2]
        zoom = np.hypot(*to_input[0, :2])
        return np.column_stack([plane, found[:, 2] / zoom]).astype(np.float32)


def _upright(box: Box) -> Points:
    """Return the 2x3 matrix from frame to network input: box centred, eyes level."""
    centre = box.corners.mean(0)
    zoom = _SIZE / max(float((box.corners[1] - box.corners[0]).max()) * MARGIN, 1.0)
    across = box.eyes[1] - box.eyes[0]
    angle = np.arctan2(across[1], across[0])
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    turn = np.array([[cos, sin], [-sin, cos]])
    return np.column_stack([turn, _SIZE / 2 - turn @ centre]).astype(np.float32)
