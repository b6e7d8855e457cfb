"""What a trial has taken of its machines: processor time and bytes, of all its workers together."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from fasray import storage
from fasray.training.context import Context


@dataclass(frozen=True)
class Spent:
    """What a part of a trial took, all workers together."""

    wall_seconds: float
    """Of one worker: they go in step."""
    cpu_seconds: float
    """User and system time of the processes that trained, all threads."""
    bytes_read: int
    """Faces taken from the pool, as they lie there: decoded, one byte a channel."""
    bytes_written: int
    """Score files, checkpoints and records. TensorBoard's files count where they are sent to a store."""


class Meter:
    """Reads what this worker has spent on its trial, lap by lap; every worker must take every lap.

    Args:
        context: of the trial.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._began, self._last = time.perf_counter(), self._now()

    def lap(self) -> Spent:
        """Return what all workers have spent since the last lap, or since this was made."""
        began, self._began, now = self._began, time.perf_counter(), self._now()
        own = [later - earlier for later, earlier in zip(now, self._last, strict=True)]
        self._last = now
        cpu, read, written = self._context.total(
            torch.tensor(own, dtype=torch.float64, device=self._context.device)
        ).tolist()
        return Spent(self._began - began, cpu, round(read), round(written))

    def _now(self) -> tuple[float, int, int]:
        return time.process_time(), self._context.bytes_read, storage.bytes_written()
