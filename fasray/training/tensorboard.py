"""TensorBoard curves of one trial: training logs, source-dev figures, and the target's under ``oracle/``.

The trial is a run of its own, named by method, protocol, stage and seed, and a row of the HParams tab with its settings
and source-dev figures; the target's are no metric there.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import hparams, scalar

from fasray import storage
from fasray.metrics.curves import auc
from fasray.metrics.summary import TARGET
from fasray.metrics.video import to_videos
from fasray.runs.layout import CURVE_FOLDER
from fasray.runs.scores import source_dev_of
from fasray.training.evaluation import Evaluation
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
        self._uri = storage.join(trial_dir, CURVE_FOLDER, curve_name(trial, stage))
        self._remote = storage.is_remote(trial_dir)
        self._last, self._steps = after_step, trial.training.steps
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

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add one point to each named curve; NaN is drawn as a gap."""
        self._last = step
        for name, value in scalars.items():
            self._write(summary=scalar(name, value), step=step)

    def flush(self) -> None:
        """Make all points so far visible to a reader."""
        self._writer.flush()
        if self._remote:
            for path in self._folder.iterdir():
                storage.write_bytes(storage.join(self._uri, path.name), path.read_bytes())

    def close(self) -> None:
        """Flush and let go of the files."""
        if self._last == self._steps:
            self._write(summary=self._end)
        self.flush()
        self._writer.close()
        if self._remote:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, **event: Any) -> None:
        self._writer.write_event(Event(wall_time=time.time(), **event))


def curve_name(trial: Trial, stage: str = "") -> str:
    """Return the name of a trial's run in TensorBoard, of letters that every store and file system takes."""
    parts = [trial.method, trial.protocol.replace("->", "-to-"), stage, f"seed-{trial.seed}"]
    return "_".join(re.sub(r"[^\w&.+-]+", "-", part) for part in parts if part)


def settings_of(trial: Trial, stage: str = "") -> dict[str, str | bool | float]:
    """Return what the HParams tab shows of a trial: its whole configuration, and what it was trained on."""
    known: dict[str, str | bool | float] = {
        "method": trial.method,
        "protocol": trial.protocol,
        "stage": stage,
        "seed": trial.seed,
        "steps": trial.training.steps,
    }
    return known | {
        name: value if isinstance(value, (str, bool, int, float)) else json.dumps(value)
        for name, value in trial.config.items()
        if name not in known
    }


def curve_points(evaluation: Evaluation, table: pa.Table) -> dict[str, float]:
    """Return the points of one evaluation by curve; the target's are marked as what no choice may look at."""
    points = {f"train/{name}": value for name, value in evaluation.train_logs.items()}
    summary = source_dev_of(table)
    points |= {"source-dev/auc": summary.auc, "source-dev/loss": summary.loss}
    points |= {f"source-dev/auc/{part.domain}": part.auc for part in summary.per_domain}
    points["speed/images_per_second"] = evaluation.images_per_second
    return points | _oracle_points(table)


def _oracle_points(table: pa.Table) -> dict[str, float]:
    target = table.filter(pc.equal(table["role"], TARGET))
    columns = [target[name].to_numpy(zero_copy_only=False) for name in ("score", "label", "domain", "role", "video")]
    if len(np.unique(columns[1])) < 2:
        return {}
    videos = to_videos(*columns)
    return {"oracle/target_auc": auc(videos.score, videos.label)}
