"""A trained model, read back from a checkpoint to score new faces exactly as its own evaluation did."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.methods.base import Method
from fasray.metrics import eer
from fasray.metrics.calibration import Calibration, Kind, fit_calibration
from fasray.results.scores import Scores, read_scores
from fasray.runs.layout import CHECKPOINT_FOLDER, score_file, weights_folder
from fasray.seeds import derive
from fasray.training import checkpoint
from fasray.training.evaluate import score_batch
from fasray.training.loop import reproducible, set_memory_format
from fasray.training.trial import Trial


@dataclass(frozen=True)
class Thresholds:
    """Where a model's own source-dev scores put the EER; a score at or above is accepted as live."""

    video: float
    frame: float


class Scorer:
    """Scores face crops with a trained model; :func:`fasray.predict_files` scores pictures and videos with it.

        scorer = fasray.Scorer.load("runs/quickstart/trials/ID", device="cuda")
        scores, thresholds, calibration = scorer.score(crops), scorer.thresholds(), scorer.calibration()

    Attributes:
        trial: that was trained.
        step: optimizer steps done.
        domains: the training domains, in the order of their ids.
        uri: folder of the checkpoints.
        method: built, with the checkpoint's weights, in evaluation mode.
    """

    def __init__(self, found: checkpoint.Checkpoint, trial: Trial, uri: str, device: torch.device) -> None:
        self.trial, self.step, self.domains, self.uri = trial, found.step, found.card.domains, uri
        self._device = device
        self.method = _built(found, trial, device, self.run)

    @classmethod
    def load(cls, uri: str, step: int | None = None, device: torch.device | str = "cpu") -> Scorer:
        """Read a checkpoint.

        Args:
            uri: folder of checkpoints, or of a trial.
            step: which; None: the best by source-dev.
            device: where the model computes.

        Raises:
            DataError: no checkpoint, or a damaged one.
            SpecError: no checkpoint of this step, or its method is not installed.
        """
        folder = uri if checkpoint.steps(uri) else storage.join(uri, CHECKPOINT_FOLDER)
        there = checkpoint.steps(folder)
        if not there:
            raise DataError("no checkpoint in this folder", where=uri, remedy="name the folder of a trial")
        if step is not None and step not in there:
            steps = ", ".join(map(str, there))
            raise SpecError(f"no checkpoint of step {step}", where=uri, remedy=f"choose one of: {steps}")
        newest = checkpoint.read(folder, there[-1])
        wanted = checkpoint.best_step(newest.card.history) if step is None else step
        found = newest if wanted == newest.step else checkpoint.read(folder, wanted)
        try:
            trial = Trial.model_validate(found.card.trial)
        except ValidationError as error:
            first = error.errors()[0]
            raise DataError(
                f"the checkpoint was written by an incompatible version of fasray: {first['msg']}", where=folder
            ) from error
        return cls(found, trial, folder, torch.device(device))

    @property
    def trial_dir(self) -> str:
        """The trial's folder, if the checkpoints are in one."""
        return storage.parent(self.uri)

    @property
    def run(self) -> str:
        """The run directory, if the checkpoints are in one."""
        return storage.parent(storage.parent(self.trial_dir))

    @cached_property
    def source_dev(self) -> Scores | None:
        """The step's source-dev scores; None if their file is not there."""
        with contextlib.suppress(DataError):
            return read_scores(score_file(self.trial_dir, self.step), self.trial.protocol).source_dev
        return None

    def thresholds(self) -> Thresholds | None:
        """Return the EER thresholds of the step's source-dev scores; None if their file is not there."""
        return None if self.source_dev is None else thresholds_of(self.source_dev)

    def calibration(self, kind: Kind = "platt") -> Calibration | None:
        """Return the curve that :func:`calibration_of` fits to the step's source-dev scores; None if there are none."""
        return None if self.source_dev is None else calibration_of(self.source_dev, kind)

    def score(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return [N] scores, higher = more bona fide, of [N, S, S, 3] uint8 RGB crops as they are stored.

        Raises:
            SpecError: the crops are too small for the model.
        """
        training = self.trial.training
        scores = np.zeros(len(images))
        with reproducible(training.threads, self._device), torch.inference_mode():
            for start in range(0, len(images), training.eval_batch_size):
                part = slice(start, start + training.eval_batch_size)
                scores[part] = score_batch(self.method, training, images[part], self._device).numpy()
        return scores


def thresholds_of(source_dev: Scores) -> Thresholds:
    """Return the EER thresholds of source-dev scores."""
    videos = source_dev.videos
    return Thresholds(eer(videos.score, videos.label).threshold, eer(source_dev.score, source_dev.label).threshold)


def calibration_of(source_dev: Scores, kind: Kind = "platt") -> Calibration | None:
    """Return the curve from scores of videos to probabilities of being live, fitted on source-dev scores alone.

    Args:
        source_dev: what it is fitted on.
        kind: see :mod:`fasray.metrics.calibration`.

    Returns:
        None if no rising curve fits: a model that is worse than chance there.
    """
    with contextlib.suppress(DataError):
        return fit_calibration(source_dev.videos.score, source_dev.videos.label, kind)
    return None


def _built(found: checkpoint.Checkpoint, trial: Trial, device: torch.device, run: str) -> Method:
    """Return the method with the checkpoint's weights; initial ones are read only if it leaves out what they fill.

    Raises:
        DataError: they are wanted and cannot be read, or are others.
    """
    method = trial.build_method()
    initial: dict[str, Any] = {}
    if found.card.frozen:
        copies = weights_folder(run)
        initial = {
            "backbone_weights": trial.training.weights_of(method),
            "weights_folder": copies if storage.listing(copies) else "",
        }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(trial.seed, "init"))
        try:
            method.build(trial.shape(len(found.card.domains), device=device, **initial))
        except DataError as error:
            raise DataError(
                f"the checkpoint leaves out {len(found.card.frozen)} frozen parameters, and the initial weights that "
                f"have them cannot be read: {error.what}",
                where=error.where,
                remedy="score within the run directory, which has a copy, or put the weights where they were",
            ) from error
    set_memory_format(method, trial.training)
    checkpoint.restore(found, method)
    method.networks.eval()
    return method
