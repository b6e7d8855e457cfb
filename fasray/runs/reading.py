"""What one evaluation of a trial gave, in the one form that it has from training to log and table."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Reading(BaseModel):
    """Source-dev figures of one evaluation, and its cost since the one before; nothing of it comes from the target.

    Schedulers, searchers and progress displays see only this. The cost is None where it was not measured: in
    old logs, and for an evaluation that was read back after a resume.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    step: int
    """Optimizer steps done."""
    source_dev_auc: float
    """Macro average over the source domains of the video-level AUC, in [0, 1]."""
    source_dev_loss: float
    """Macro average of the video-level binary cross-entropy; breaks ties of the AUC."""
    seconds: float = 0.0
    """Wall seconds, evaluating included; 0 if read back after a resume."""
    evaluation_seconds: float | None = None
    """Of these, what scoring the images and writing the scores took."""
    cpu_seconds: float | None = None
    """User and system time of the processes that trained, all threads and workers, writing included."""
    gpu_seconds: float | None = None
    """GPUs that the trial held, times wall seconds, writing included."""
    bytes_read: int | None = None
    """Faces taken from the pool, as they are stored there: decoded, one byte a channel."""
    bytes_written: int | None = None
    """Score files, checkpoints and records. TensorBoard's files count where they are sent to a store."""
    device: str | None = None
    """What it was computed on: the card's name, or ``cpu``; None in old logs, as are the next two."""
    precision: str | None = None
    """Arithmetic of the training steps, ``fp32`` or ``bf16``; scoring is float32."""
    torch: str | None = None
    """Version of torch."""


def best(readings: Iterable[Reading]) -> Reading | None:
    """Return the reading of the highest source-dev AUC, ties broken by the lower loss, then the earlier step.

    NaN counts as an AUC of 0 and as an infinite loss.
    """
    return min(readings, key=_rank, default=None)


def _rank(reading: Reading) -> tuple[float, float, int]:
    auc = 0.0 if math.isnan(reading.source_dev_auc) else reading.source_dev_auc
    loss = math.inf if math.isnan(reading.source_dev_loss) else reading.source_dev_loss
    return -auc, loss, reading.step
