"""Predictions for pictures and videos: faces are cut out as for the model's data, scored, averaged and decided on."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fasray.faces import jpeg
from fasray.faces.extraction.extract import Extractor, FaceCrop, Settings
from fasray.faces.extraction.frames import UnreadableError, is_picture
from fasray.faces.media import named_as_media
from fasray.inference.preparation import settings_for
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


def predict_files(
    scorer: Scorer,
    paths: Iterable[str | os.PathLike[str]],
    settings: Settings | None = None,
    *,
    workers: int = 1,
    turn_untagged: int = 0,
) -> Iterator[Prediction]:
    """Score files, and all pictures and videos in folders, in their order; a file that cannot be read says why.

        scorer = fasray.Scorer.load("runs/quickstart/trials/ID")
        thresholds = scorer.thresholds()
        for found in fasray.predict_files(scorer, ["visitors/"], workers=4):
            print(found.path, found.score, found.decision(thresholds))

    Args:
        scorer: the model.
        paths: local files and folders; see :func:`files_in`.
        settings: how faces are cut out; default: as for the model's data (``fasray.inference.preparation``).
        workers: threads that read files and find faces at once; the model computes for one file at a time. They change
            no score.
        turn_untagged: degrees clockwise that bring files without a rotation tag upright.

    Raises:
        SpecError: how the model's data were prepared is not known, and ``settings`` is not given.
        DataError: the detector's model files are not installed.
    """
    how = settings or settings_for(scorer)
    models, own = how.read_models(), threading.local()

    def look(path: str) -> _Looked:
        if not hasattr(own, "extractor"):
            own.extractor = Extractor(how, models)
        return _look(path, own.extractor, turn_untagged)

    waiting: deque[Future[_Looked]] = deque()
    with ThreadPoolExecutor(workers, "fasray-score") as pool:
        try:
            for path in files_in(paths):
                waiting.append(pool.submit(look, path))
                if len(waiting) > 2 * workers:
                    yield _judge(waiting.popleft().result(), scorer)
            while waiting:
                yield _judge(waiting.popleft().result(), scorer)
        finally:
            for left in waiting:
                left.cancel()


def files_in(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return files as they are given and, for a folder, what is named like a picture or video below it, sorted."""
    found: list[str] = []
    for given in paths:
        path = os.fspath(given)
        if os.path.isdir(path):
            below = (str(file) for file in Path(path).rglob("*") if file.is_file())
            found += sorted(file for file in below if named_as_media(file))
        else:
            found.append(path)
    return found


@dataclass(frozen=True)
class _Looked:
    """What was found in a file."""

    path: str
    found: list[tuple[int, FaceCrop | None]]
    remarks: tuple[str, ...]
    unreadable: str


def _look(path: str, extractor: Extractor, turn_untagged: int) -> _Looked:
    remarks: list[str] = []
    found: list[tuple[int, FaceCrop | None]] = []
    reason = ""
    try:
        found = extractor.crops(path, remarks.append, turn_untagged=turn_untagged)
    except UnreadableError as error:
        reason = str(error)
    except (OSError, cv2.error) as error:
        reason = f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
    return _Looked(path, found, tuple(remarks), reason)


def _judge(looked: _Looked, scorer: Scorer) -> Prediction:
    scores = iter(_scores([crop for _, crop in looked.found if crop is not None], scorer))
    frames = tuple(FrameScore(number, None if crop is None else next(scores)) for number, crop in looked.found)
    return Prediction(looked.path, frames, looked.remarks, looked.unreadable, is_picture(looked.path))


def _scores(crops: Sequence[FaceCrop], scorer: Scorer) -> list[float]:
    if not crops:
        return []
    images = [image for crop in crops if (image := jpeg.decode(crop.image)) is not None]
    return [float(value) for value in scorer.score(np.stack(images))]
