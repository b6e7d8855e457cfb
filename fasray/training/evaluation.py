"""The plain record of an evaluation, as the training loop yields it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fasray.runs.reading import Reading


@dataclass(frozen=True)
class Evaluation:
    """What is reported of one evaluation; nothing of it comes from the target."""

    reading: Reading
    epoch: int
    """Number of the evaluation, from 1."""
    done: bool
    """This was the last evaluation of the full budget."""
    score_uri: str
    train_logs: Mapping[str, float] = field(default_factory=dict)
    """Means of the method's logs since the last evaluation."""
    images_per_second: float = 0.0
    """Training images of all workers per second of training; 0 if read back after a resume."""
