"""Predictions for pictures and videos: faces are cut out as for the model's data, scored, averaged and decided on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fasray.faces import jpeg
from fasray.faces.extraction.extract import Extractor, FaceCrop
from fasray.faces.extraction.frames import UnreadableError, is_picture
from fasray.inference.scorer import Scorer, Thresholds
from fasray.metrics.calibration import Calibration

LIVE, ATTACK = "live", "attack"


@dataclass(frozen=True)
class FrameScore:
    """One frame: its number in the file and its score; None if no face was found in it."""

    frame: int
    score: float | None


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one file."""

    path: str
    frames: tuple[FrameScore, ...]
    """That were read."""
    remarks: tuple[str, ...]
    """What was unexpected about the file."""
    unreadable: str
    """Why it could not be used; empty if it could."""
    single: bool
    """Whether it is one picture, to which the threshold for frames applies."""

    @property
    def score(self) -> float | None:
        """Mean over the frames with a face; None if there is none."""
        scores = sorted(frame.score for frame in self.frames if frame.score is not None)
        return sum(scores) / len(scores) if scores else None

    def probability(self, calibration: Calibration | None) -> float | None:
        """Return the probability of being live; None without a face or a calibration."""
        if self.score is None or calibration is None:
            return None
        return float(calibration.apply([self.score])[0])

    @property
    def misses(self) -> int:
        """Frames without a face."""
        return sum(frame.score is None for frame in self.frames)

    def decision(self, thresholds: Thresholds | None) -> str | None:
        """Return ``live`` or ``attack``; None without a face or a threshold."""
        if self.score is None or thresholds is None:
            return None
        return LIVE if self.score >= (thresholds.frame if self.single else thresholds.video) else ATTACK


def predict(path: str, extractor: Extractor, scorer: Scorer, *, turn_untagged: int = 0) -> Prediction:
    """Find the faces of one file and score them.

    Args:
        path: local picture or video.
        extractor: made as for the model's data.
        scorer: the model.
        turn_untagged: degrees clockwise that bring a file without a rotation tag upright.
    """
    remarks: list[str] = []
    found: list[tuple[int, FaceCrop | None]] = []
    reason = ""
    try:
        found = extractor.crops(path, remarks.append, turn_untagged=turn_untagged)
    except UnreadableError as error:
        found, reason = [], str(error)
    scores = iter(_scores([crop for _, crop in found if crop is not None], scorer))
    frames = tuple(FrameScore(number, None if crop is None else next(scores)) for number, crop in found)
    return Prediction(path, frames, tuple(remarks), reason, is_picture(path))


def _scores(crops: Sequence[FaceCrop], scorer: Scorer) -> list[float]:
    if not crops:
        return []
    images = [image for crop in crops if (image := jpeg.decode(crop.image)) is not None]
    return [float(value) for value in scorer.score(np.stack(images))]
