"""A trial as a run of MLflow, on the server of ``MLFLOW_TRACKING_URI`` or in the run directory's folder ``mlflow``.

The experiment has the name of the run directory, or that of ``MLFLOW_EXPERIMENT_NAME``. MLflow maintains its file store
but adds nothing to it, and opens it only where a variable says so. The server's address is written down nowhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fasray import storage
from fasray.errors import SpecError
from fasray.storage.local import lock_file
from fasray.training.trackers import check_package, keep_id, kept_id, run_name, run_of, settings_of
from fasray.training.trial import Trial

_URI, _NAME = "MLFLOW_TRACKING_URI", "mlflow"
_DEFAULTS = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is down does not hold a trial up for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class MlflowTracker:
    """A run of MLflow; see :class:`fasray.training.trackers.Tracker`.

    A resumed trial goes on in its run. Points that it computes again are not logged twice.
    """

    def __init__(self, trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0) -> None:
        for variable, value in _DEFAULTS.items():
            os.environ.setdefault(variable, value)
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient

        self._metric, self._points, self._done = Metric, dict[tuple[str, int], float](), False
        with _store(run_of(trial_dir)) as uri:
            self._client = MlflowClient(tracking_uri=uri)
            known = self._known(kept_id(trial_dir, _NAME))
            if known is None:
                name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or os.path.basename(run_of(trial_dir)) or "fasray"
                tags = {"fasray.trial": trial.id, "fasray.stage": stage}
                run = self._client.create_run(self._experiment(name), tags=tags, run_name=run_name(trial, stage))
                keep_id(trial_dir, _NAME, run.info.run_id)
        self._run: str = known or run.info.run_id
        if known is None:
            settings = settings_of(trial, stage).items()
            self._client.log_batch(self._run, params=[Param(_name(key), str(value)) for key, value in settings])
            self._logged = 0
        else:
            self._client.update_run(self._run, status="RUNNING")
            history = self._client.get_metric_history(self._run, "source-dev/auc")
            self._logged = max((point.step for point in history), default=0)

    @classmethod
    def check(cls, run: str) -> None:
        """Check that mlflow is installed and that there is a place for its files."""
        check_package("mlflow.tracking")
        if storage.is_remote(run) and not os.environ.get(_URI):
            raise SpecError(
                "MLflow keeps no files on an object store",
                where="key tracking",
                remedy=f"set {_URI} to a server that every node reaches, or remove mlflow from the list",
            )

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Add points, but for those that an earlier attempt logged."""
        if step > self._logged:
            self._points |= {(name, step): value for name, value in scalars.items()}

    def flush(self) -> None:
        """Send the points."""
        now = int(1000 * time.time())
        metrics = [self._metric(_name(name), value, now, step) for (name, step), value in self._points.items()]
        self._points = {}
        for start in range(0, len(metrics), 1000):
            self._client.log_batch(self._run, metrics=metrics[start : start + 1000])

    def finish(self, curves: Mapping[int, Mapping[str, float]], figures: Mapping[str, float]) -> None:
        """Log the target's curves and the final figures."""
        last = max(curves, default=0)
        self._points |= {(name, step): value for step, scalars in curves.items() for name, value in scalars.items()}
        self._points |= {(name, last): value for name, value in figures.items()}
        self.flush()
        self._done = True

    def close(self) -> None:
        """End the run: finished, or killed, until the trial goes on."""
        self._client.set_terminated(self._run, status="FINISHED" if self._done else "KILLED")

    def _known(self, kept: str | None) -> str | None:
        """Return the id of a run if the store has it: the user may have deleted it, or changed to another server."""
        from mlflow.exceptions import MlflowException

        with contextlib.suppress(MlflowException):
            if kept is not None and self._client.get_run(kept).info.lifecycle_stage == "active":
                return kept
        return None

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found: Any = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                made: str = self._client.create_experiment(name)
            except MlflowException:  # another trial was faster
                found = self._client.get_experiment_by_name(name)
            else:
                return made
        return str(found.experiment_id)


@contextlib.contextmanager
def _store(run: str) -> Iterator[str]:
    """Give the address of the store; trials that begin at once make one experiment in a folder."""
    if given := os.environ.get(_URI):
        yield given
        return
    folder = Path(storage.absolute(run)) / _NAME
    folder.mkdir(parents=True, exist_ok=True)
    with lock_file(folder / ".lock"):
        yield folder.as_uri()


def _name(text: str) -> str:
    """Return a name that MLflow takes: in a file store, a curve is a file and cannot be a folder of others, too."""
    group, slash, name = re.sub(r"[^\w\-. :/]", "-", text, flags=re.ASCII).partition("/")
    return group + slash + name.replace("/", "-")
