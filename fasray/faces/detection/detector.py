"""What a face detector is, and the one that comes with fasray: BlazeFace at three ranges, then the 468-point mesh."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fasray.errors import SpecError, did_you_mean
from fasray.faces.detection.blazeface import RANGES, BlazeFace, Box, Frame, Points
from fasray.faces.detection.mesh import FaceMesh
from fasray.faces.detection.models import MESH, ModelFile, Models

SURE = 0.75
"""A face found with this score is not looked for at the other ranges."""


@dataclass(frozen=True)
class Face:
    """The one face of a frame that is taken for the subject's."""

    points: Points
    """[468, 3] x, y in frame pixels, z in the same unit, smaller = nearer; numbered as in topology.py."""
    score: float
    """How sure the detector is, in [0, 1]."""
    found_by: str
    """Which of the detector's parts found it, for the record."""


class Detector(Protocol):
    """Finds the subject's face in a frame."""

    def find(self, frame: Frame) -> Face | None:
        """Return the face in a [H, W, 3] BGR uint8 frame; None if there is none. The same frame gives the same face."""
        ...


@dataclass(frozen=True)
class DetectorKind:
    """A detector that can be chosen by name."""

    name: str
    files: tuple[ModelFile, ...]
    """The model files that it needs."""
    build: Callable[[Models], Detector]
    """Returns the detector for their content."""


class BlazeMesh:
    """BlazeFace at three ranges, then the face mesh.

    Several people may be in a frame: of those found at one range the largest is taken for the subject. The range that
    sees the smallest faces is asked first; where it is not sure, the others are asked too, and the best score wins.

    Args:
        models: content of the model files.
    """

    def __init__(self, models: Models) -> None:
        self._ranges = [BlazeFace(kind, models) for kind in RANGES]
        self._mesh = FaceMesh(models)

    def find(self, frame: Frame) -> Face | None:
        """Return the subject's face; None if no range finds one."""
        box = self._box(frame)
        return None if box is None else Face(self._mesh.points(frame, box), box.score, box.range)

    def _box(self, frame: Frame) -> Box | None:
        best: Box | None = None
        for network in self._ranges:
            found = max(network.find(frame), key=lambda box: box.area, default=None)
            if found is not None and (best is None or found.score > best.score):
                best = found
            if best is not None and best.score >= SURE:
                break
        return best


MESH468 = DetectorKind("mesh468", tuple(kind.file for kind in RANGES) + (MESH,), BlazeMesh)
_KINDS = {MESH468.name: MESH468}


def detector_kind(name: str) -> DetectorKind:
    """Return the detector of that name: one that comes with fasray, or ``module:NAME`` of an installed package.

    Raises:
        SpecError: there is no such detector.
    """
    module, separator, attribute = name.partition(":")
    if not separator:
        if name not in _KINDS:
            raise SpecError(f"unknown detector {name!r}", where="--detector", remedy=did_you_mean(name, _KINDS))
        return _KINDS[name]
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpecError(f"there is no detector {name!r}: {error}", where="--detector") from error
    if not isinstance(kind, DetectorKind):
        raise SpecError(f"{name!r} is not a DetectorKind", where="--detector", remedy="see fasray.faces.detection")
    return kind
