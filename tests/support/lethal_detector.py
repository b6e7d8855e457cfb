"""A detector whose process dies of bright frames, as a decoder may die of a broken file."""

import os

from fasray.faces.detection import MESH468, Detector, DetectorKind, Face, Frame, Models


class Lethal:
    def __init__(self, models: Models) -> None:
        self._real: Detector = MESH468.build(models)

    def find(self, frame: Frame) -> Face | None:
        if frame.mean() > 240:
            os._exit(1)
        return self._real.find(frame)


KIND = DetectorKind("lethal", MESH468.files, Lethal)
