"""What a trial has cost: processor time, GPU time and bytes, of all its workers together."""

from __future__ import annotations

import time

import torch

from fasray import storage
from fasray.runs.reading import Reading
from fasray.training.context import Context


class Meter:
    """Reads what this worker has spent on its trial, lap by lap; every worker must take every lap.

    Args:
        context: of the trial.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._began, self._last = time.perf_counter(), self._now()

    def charge(self, reading: Reading) -> Reading:
        """Return the reading with what all workers have spent since the last one, or since this was made."""
        context = self._context
        began, self._began, now = self._began, time.perf_counter(), self._now()
        own = [later - earlier for later, earlier in zip(now, self._last, strict=True)]
        self._last = now
        cpu, read, written = context.total(torch.tensor(own, dtype=torch.float64, device=context.device)).tolist()
        cost = {
            "cpu_seconds": cpu,
            "gpu_seconds": (self._began - began) * context.gpus * context.world_size,
            "bytes_read": round(read),
            "bytes_written": round(written),
        }
        return reading.model_copy(update=cost)

    def _now(self) -> tuple[float, int, int]:
        return time.process_time(), self._context.bytes_read, storage.bytes_written()
