"""BlazeFace through OpenCV's dnn: where in a frame faces are, at three ranges.

Each range is a network for faces of another size: ``back`` sees small faces (about 20 px in a frame of 512), ``short``
only large ones, ``full`` is in between. A network looks at the whole frame, letter-boxed to a square.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces.detection.models import BACK, FULL, SHORT, ModelFile, Models

Frame = NDArray[np.uint8]
"""[H, W, 3] BGR, as OpenCV decodes it."""
Points = NDArray[np.float32]

MIN_SCORE = 0.5
"""What scores less is no face."""
_OVERLAP = 0.3
"""Boxes that overlap by more (intersection over union) are of one face."""
_KEYPOINTS = 6
_VALUES = 4 + 2 * _KEYPOINTS


@dataclass(frozen=True)
class Range:
    """One network and the grid of its anchors."""

    name: str
    """As records and cards name it."""
    file: ModelFile
    size: int
    """Side of its input, pixels."""
    anchors: tuple[tuple[int, int], ...]
    """(stride in pixels, anchors a cell), from fine to coarse."""
    outputs: tuple[str, str] = ("regressors", "classificators")
    """Names of its outputs, boxes first."""


RANGES = (
    Range("back", BACK, 256, ((16, 2), (32, 6))),
    Range("full", FULL, 192, ((4, 1),), ("reshaped_regressor_face_4", "reshaped_classifier_face_4")),
    Range("short", SHORT, 128, ((8, 2), (16, 6))),
)


@dataclass(frozen=True)
class Box:
    """A face as BlazeFace sees it."""

    corners: Points
    """[2, 2] top left and bottom right, frame pixels."""
    eyes: Points
    """[2, 2] the subject's right and left eye, frame pixels."""
    score: float
    """In [0.5, 1]."""
    range: str
    """Name of the network that found it."""

    @property
    def area(self) -> float:
        """Square pixels."""
        return float((self.corners[1] - self.corners[0]).prod())


class BlazeFace:
    """One range's network.

    Args:
        kind: the range.
        models: content of the model files.
    """

    def __init__(self, kind: Range, models: Models) -> None:
        self._kind = kind
        self._net = read_network(models[kind.file.name])
        self._anchors = _anchor_centres(kind)

    def find(self, frame: Frame) -> list[Box]:
        """Return the faces in a frame, best score first; overlapping finds are averaged, weighted by score."""
        height, width = frame.shape[:2]
        side = max(height, width)
        size = self._kind.size
        self._net.setInput(as_input(_letterbox(frame, size), 127.5, -1.0))
        boxes, logits = self._net.forward(self._kind.outputs)
        scores = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -80, 80)))
        good = np.flatnonzero(scores > MIN_SCORE)
        if not len(good):
            return []
        values = boxes.reshape(-1, _VALUES)[good].reshape(-1, _VALUES // 2, 2) / size
        centre = values[:, 0] + self._anchors[good]
        half = values[:, 1] / 2
        eyes = values[:, 2:4] + self._anchors[good][:, None]
        points = np.concatenate([(centre - half)[:, None], (centre + half)[:, None], eyes], axis=1)
        border = np.array([side - width, side - height]) / 2
        return _merged(points * side - border, scores[good], self._kind.name)


def read_network(data: bytes) -> Any:
    """Return an OpenCV network from TFLite bytes.

    The classic engine is asked for: OpenCV 5's new one gives only the first of BlazeFace's outputs. It is given a file,
    for with bytes OpenCV 5.0.0 uses the new engine whatever is asked for.
    """
    with tempfile.NamedTemporaryFile(prefix="fasray-", suffix=".tflite") as file:
        file.write(data)
        file.flush()
        return cv2.dnn.readNetFromTFLite(file.name, cv2.dnn.ENGINE_CLASSIC)


def as_input(image: Frame, scale: float, shift: float = 0.0) -> NDArray[np.float32]:
    """Return the network input [1, 3, S, S] RGB of a square BGR image: value / ``scale`` + ``shift``."""
    rgb = image[..., ::-1].astype(np.float32) / scale + shift
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)


def _letterbox(frame: Frame, size: int) -> Frame:
    """Return the whole frame in the middle of a square of ``size`` pixels, the rest black."""
    height, width = frame.shape[:2]
    zoom = size / max(height, width)
    inner = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    small = cv2.resize(frame, inner, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    square = np.zeros((size, size, 3), np.uint8)
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    square[top : top + inner[1], left : left + inner[0]] = small
    return square


def _anchor_centres(kind: Range) -> Points:
    """Return [N, 2] anchor centres, as fractions of the input, in the order of the network's outputs."""
    centres = []
    for stride, count in kind.anchors:
        cells = kind.size // stride
        middle = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(middle, middle, indexing="ij")
        centres.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(centres).astype(np.float32)


def _merged(points: NDArray[Any], scores: NDArray[Any], name: str) -> list[Box]:
    """Merge finds of one face: the best absorbs all that overlap it, as their average weighted by score."""
    found = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        best = left[0]
        same = _overlap(points[best], points[left]) > _OVERLAP
        same[0] = True  # a box without area overlaps nothing, not even itself
        group = left[same]
        weights = scores[group, None, None] / scores[group].sum()
        mean = (points[group] * weights).sum(0).astype(np.float32)
        found.append(Box(mean[:2], mean[2:], float(scores[best]), name))
        left = left[~same]
    return found


def _overlap(one: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Return intersection over union of one box with others, 0 where there is no area."""
    low, high = np.maximum(one[0], others[:, 0]), np.minimum(one[1], others[:, 1])
    shared = np.clip(high - low, 0, None).prod(1)
    total = (one[1] - one[0]).prod() + (others[:, 1] - others[:, 0]).prod(1) - shared
    ratio: NDArray[Any] = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return ratio
