"""TensorBoard curves of one trial: training logs, source-dev figures, and at the end the target's under ``oracle/``.

The trial is a run of its own, named by method, protocol, stage and seed, and a row of the HParams tab with its settings
and source-dev figures; the target's are no metric there.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import hparams, scalar

from fasray import storage
from fasray.runs.layout import CURVE_FOLDER
from fasray.training.trackers import run_name, settings_of
from fasray.training.trial import Trial

_METRICS = ("source-dev/auc", "source-dev/loss")
"""Of the HParams tab."""


class Curves:
    """Writes scalars to ``<trial_dir>/tensorboard/<name>``.

    Event files only grow, which object stores cannot do: for a remote folder they are written to a local one and the
    whole file is sent at every :meth:`flush`.

    Args:
        trial_dir: local path or URI of the trial's folder.
        trial: whose curves they are.
        stage: of a sweep that the trial belongs to; empty outside of one.
        after_step: step from which the trial goes on; later points of an earlier attempt are hidden.
    """

    def __init__(self, trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0) -> None:
        self._uri = storage.join(trial_dir, CURVE_FOLDER, run_name(trial, stage))
        self._remote = storage.is_remote(trial_dir)
        local = tempfile.mkdtemp(prefix="fasray-curves-") if self._remote else storage.filesystem(self._uri)[1]
        self._folder = Path(local)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Not tensorboardX's SummaryWriter: its thread may write a point after the flush that was to send it. Files are
        # named by the second; the step keeps two attempts of one second apart.
        self._writer = EventsWriter(str(self._folder / "events"), f".{after_step}")
        if after_step:
            self._write(step=after_step + 1, session_log=SessionLog(status=SessionLog.START))
        experiment, begin, self._end = hparams(settings_of(trial, stage), dict.fromkeys(_METRICS, 0.0))
        self._write(summary=experiment)
        self._write(summary=begin)

    @classmethod
    def check(cls, run: str) -> None:
        """Do nothing: event files can be written for every run."""

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add one point to each named curve; NaN is drawn as a gap."""
        for name, value in scalars.items():
            self._write(summary=scalar(name, value), step=step)

    def flush(self) -> None:
        """Make all points so far visible to a reader."""
        self._writer.flush()
        if self._remote:
            for path in self._folder.iterdir():
                storage.write_bytes(storage.join(self._uri, path.name), path.read_bytes())

    def finish(self, curves: Mapping[int, Mapping[str, float]], figures: Mapping[str, float]) -> None:
        """Add the target's curves and end the trial's row of the HParams tab, which shows source-dev figures alone."""
        for step, scalars in curves.items():
            self.add(step, scalars)
        self._write(summary=self._end)
        self.flush()

    def close(self) -> None:
        """Flush and let go of the files."""
        self.flush()
        self._writer.close()
        if self._remote:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, **event: Any) -> None:
        self._writer.write_event(Event(wall_time=time.time(), **event))
