"""Finding the face in a frame: networks, their files, and the choice of detector by name."""

from fasray.faces.detection.blazeface import Frame, Points
from fasray.faces.detection.detector import MESH468, Detector, DetectorKind, Face, detector_kind
from fasray.faces.detection.models import Models, read_models

__all__ = [
    "MESH468",
    "Detector",
    "DetectorKind",
    "Face",
    "Frame",
    "Models",
    "Points",
    "detector_kind",
    "read_models",
]
