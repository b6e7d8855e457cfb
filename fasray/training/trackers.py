"""Where a trial's curves, settings and figures go for people to look at, while it runs: TensorBoard, MLflow, W&B.

Rank 0 of a trial writes to each tracker of the sweep file's `tracking`. What a trial computes does not depend on them:
one that fails is warned about once and the trial goes on. One trial is one run in each of them, however often it is
resumed. Figures of the target are sent when a confirming trial has ended, never before.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.metrics.curves import auc, eer
from fasray.metrics.rates import rates_at
from fasray.metrics.summary import SOURCE_DEV, TARGET
from fasray.metrics.video import Videos, to_videos
from fasray.plugins import Plugins, load
from fasray.runs.reading import Reading, best
from fasray.runs.scores import source_dev_of
from fasray.training.evaluation import Evaluation
from fasray.training.trial import Trial

log = logging.getLogger(__name__)

DEFAULT = ("tensorboard",)
TRACKERS = {
    "tensorboard": "fasray.training.tensorboard:Curves",
    "mlflow": "fasray.training.mlflow_tracker:MlflowTracker",
    "wandb": "fasray.training.wandb_tracker:WandbTracker",
}
_REVEALING = ("", "confirm")
"""Stages whose trials show target figures at their end; the first is a trial outside of a sweep."""
_MOST_FAILURES = 3
"""Calls in a row after which a tracker that fails is left alone for the rest of the trial."""


class Tracker(Protocol):
    """Takes what one process of a trial has to show. Any call may raise: the trial goes on.

    Args:
        trial_dir: local path or URI of the trial's folder, inside a run directory.
        trial: that runs.
        stage: of a sweep that the trial belongs to; empty outside of one.
        after_step: step from which the trial goes on, 0 at its beginning; later points of an earlier attempt come
            again.
    """

    def __init__(self, trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0) -> None: ...

    @classmethod
    def check(cls, run: str) -> None:
        """Raise a SpecError if this tracker cannot work for a run directory; called once, before a sweep begins."""

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add one point to each named curve; NaN is a gap."""

    def flush(self) -> None:
        """Make all points so far visible to a reader."""

    def finish(self, curves: Mapping[int, Mapping[str, float]], figures: Mapping[str, float]) -> None:
        """Take what is known at the end of a trial that has done all of its steps.

        Args:
            curves: figures of the target by step; empty while they are sealed.
            figures: of the step that source-dev selects.
        """

    def close(self) -> None:
        """Let go of everything; the trial ends here, or is stopped, or goes on in another process."""


other_trackers: Plugins[type[Tracker]] = Plugins("fasray.training.trackers", "tracker", tuple(TRACKERS))


def tracker_names() -> tuple[str, ...]:
    """Return the names of all trackers."""
    return (*TRACKERS, *other_trackers.names())


def tracker(name: str) -> type[Tracker]:
    """Return the class of a tracker; SpecError if there is none of that name."""
    if name in TRACKERS:
        found: type[Tracker] = load(TRACKERS[name])
        return found
    return other_trackers.get(name, "key tracking")


def check_trackers(names: Iterable[str], run: str) -> None:
    """Check that a run's trackers can work.

    Raises:
        SpecError: there is no such tracker, its package is not installed, or it cannot write for this run directory.
    """
    for name in names:
        tracker(name).check(run)


def check_package(package: str) -> None:
    """Raise a SpecError if a tracker's package cannot be imported."""
    import importlib

    try:
        importlib.import_module(package)
    except ImportError as error:
        raise SpecError(
            f"the package {package.partition('.')[0]} is not installed",
            where="key tracking",
            remedy="run: python -m pip install 'fasray[tracking]', or remove it from the list",
        ) from error


class Trackers:
    """All trackers of one process of a trial, none of which can stop it.

    Args:
        names: of the trackers.
        trial_dir: as for :class:`Tracker`, like the other arguments.
        trial: see there.
        stage: see there.
        after_step: see there.
    """

    def __init__(
        self, names: Iterable[str], trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0
    ) -> None:
        self._trial, self._reveals = trial, stage in _REVEALING
        self._target: dict[int, dict[str, float]] = {}
        self._failures: dict[str, int] = {}
        self._open: dict[str, Tracker] = {}
        for name in names:
            with self._surviving(name):
                self._open[name] = tracker(name)(trial_dir, trial, stage=stage, after_step=after_step)

    def seen(self, step: int, table: pa.Table) -> None:
        """Take note of an evaluation of an earlier attempt, which the trackers have."""
        if self._reveals and self._open:
            self._target[step] = target_points(table)

    def add(self, evaluation: Evaluation, table: pa.Table) -> None:
        """Send what is known after an evaluation, and make it visible."""
        if not self._open:
            return
        step = evaluation.reading.step
        self.seen(step, table)
        points = curve_points(evaluation, table)
        for name, one in self._open.items():
            if self._failures.get(name, 0) < _MOST_FAILURES:
                with self._surviving(name):
                    one.add(step, points)
                    one.flush()

    def finish(self, history: Sequence[Reading]) -> None:
        """Send what is known at the end, after all evaluations of ``history``."""
        selected = best(history)
        if selected is None:
            return
        known = {
            "step": float(selected.step),
            "source_dev_auc": selected.source_dev_auc,
            "source_dev_loss": selected.source_dev_loss,
            **self._target.get(selected.step, {}),
        }
        curves = {step: {f"oracle/{name}": value for name, value in points.items()}
                  for step, points in self._target.items() if points}  # fmt: skip
        for name, one in self._open.items():
            with self._surviving(name):
                one.finish(curves, {f"final/{key}": value for key, value in known.items()})

    def close(self) -> None:
        """Let go of all trackers."""
        for name in tuple(self._open):
            with self._surviving(name):
                self._open.pop(name).close()

    @contextlib.contextmanager
    def _surviving(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if name not in self._failures:
                reason = re.sub(r"//[^/@\s]*@", "//", f"{type(error).__name__}: {error}")  # no password of an address
                log.warning("trial %s goes on, but not all of it is in %s: %s", self._trial.id, name, reason)
            self._failures[name] = self._failures.get(name, 0) + 1
        else:
            if name in self._failures:
                self._failures[name] = 0


def kept_id(trial_dir: str, name: str) -> str | None:
    """Return what :func:`keep_id` kept for a trial; None if that was nothing."""
    with contextlib.suppress(DataError, OSError, ValueError, KeyError):
        return str(json.loads(storage.read_bytes(_id_file(trial_dir, name)))["run"])
    return None


def keep_id(trial_dir: str, name: str, run: str) -> None:
    """Keep a tracker's id of its run in the trial's folder, so that a resumed trial goes on in the same run."""
    storage.write_bytes(_id_file(trial_dir, name), json.dumps({"run": run}).encode())


def _id_file(trial_dir: str, name: str) -> str:
    return storage.join(trial_dir, f"{name}.json")


def run_of(trial_dir: str) -> str:
    """Return the run directory of a trial's folder."""
    return storage.parent(storage.parent(trial_dir))


def run_name(trial: Trial, stage: str = "") -> str:
    """Return the name of a trial's run in a tracker, of letters that every store and file system takes."""
    parts = [trial.method, trial.protocol.replace("->", "-to-"), stage, f"seed-{trial.seed}"]
    return "_".join(re.sub(r"[^\w&.+-]+", "-", part) for part in parts if part)


def settings_of(trial: Trial, stage: str = "") -> dict[str, str | bool | float]:
    """Return the hyperparameters that a tracker shows: the whole configuration, and what the trial was trained on."""
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
    """Return the points of one evaluation by curve; nothing of the target is among them."""
    points = {f"train/{name}": value for name, value in evaluation.train_logs.items()}
    summary = source_dev_of(table)
    points |= {"source-dev/auc": summary.auc, "source-dev/loss": summary.loss}
    points |= {f"source-dev/auc/{part.domain}": part.auc for part in summary.per_domain}
    points["speed/images_per_second"] = evaluation.images_per_second
    return points


def target_points(table: pa.Table) -> dict[str, float]:
    """Return the target's AUC, and its HTER at the EER threshold of source-dev, over videos; empty if it is sealed.

    Of several targets each has its own, with the name of its protocol.
    """
    source, points = _videos(table, SOURCE_DEV), dict[str, float]()
    for role in pc.unique(table["role"]).to_pylist():
        target = _videos(table, role) if role.partition(":")[0] == TARGET else None
        if source is None or target is None:
            continue
        name = role[len(TARGET) :].replace(":", "_").replace("->", "-to-")
        threshold = eer(source.score, source.label).threshold
        points[f"target_auc{name}"] = auc(target.score, target.label)
        points[f"target_hter{name}"] = rates_at(target.score, target.label, threshold).hter
    return points


def _videos(table: pa.Table, role: str) -> Videos | None:
    rows = table.filter(pc.equal(table["role"], role))
    names = ("score", "label", "domain", "role", "video")
    score, label, domain, kind, video = (rows[name].to_numpy(zero_copy_only=False) for name in names)
    return to_videos(score, label, domain, kind, video) if len(np.unique(label)) == 2 else None
