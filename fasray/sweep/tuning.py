"""Ray Tune's side of the coordinator: a searcher that hands out its trials, a scheduler that passes on its decisions.

Neither decides anything, and neither holds state worth saving: Tune's own experiment directory is disposable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from fasray.sweep.coordinator import Assignment, Coordinator

_NO_METRIC = {"metric": None, "mode": None}


class HandOut(Searcher):
    """Gives Tune the coordinator's next trial.

    Args:
        coordinator: the mind of the sweep; None in the copy that Tune pickles and never uses.
        payload: from an assignment to the config of its actor.
        changed: called after every change, with what a user may want to see.
    """

    def __init__(
        self,
        coordinator: Coordinator | None = None,
        payload: Callable[[Assignment], dict[str, Any]] = lambda assignment: {},
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(**_NO_METRIC)
        self._coordinator, self._payload, self._changed = coordinator, payload, changed
        self._trial_of: dict[str, str] = {}

    def __reduce__(self) -> tuple[object, ...]:
        return HandOut, ()

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial, None to wait, or FINISHED."""
        assert self._coordinator is not None  # noqa: S101 - only the pickled copy has none
        assignment = self._coordinator.next_assignment()
        if assignment is None:
            return Searcher.FINISHED if self._coordinator.finished else None
        self._trial_of[trial_id] = assignment.trial.id
        self._changed()
        return self._payload(assignment)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Note a trial that ended by an error of its process; every other end the coordinator has decided itself."""
        assert self._coordinator is not None  # noqa: S101
        trial = self._trial_of.pop(trial_id, None)
        if trial is not None and error:
            self._coordinator.end(trial, "failed", "its process ended with an error; see the log of the run")
            self._changed()

    def save(self, checkpoint_path: str) -> None:
        """Satisfy Tune, which wants a file here; the event log is what is resumed from."""
        Path(checkpoint_path).write_text(json.dumps({}), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Take nothing back: the event log is what is resumed from."""


class Decide(FIFOScheduler):
    """Passes every result to the coordinator and its decision to Tune.

    Args:
        coordinator: the mind of the sweep; None in the copy that Tune pickles and never uses.
        changed: called after every result with the trial's id and the result.
    """

    supports_buffered_results = False

    def __init__(
        self,
        coordinator: Coordinator | None = None,
        changed: Callable[[str, Mapping[str, Any]], None] = lambda trial, result: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._coordinator, self._changed = coordinator, changed

    def __reduce__(self) -> tuple[object, ...]:
        return Decide, ()

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: Mapping[str, Any]) -> str:
        """Return what the coordinator decides."""
        assert self._coordinator is not None  # noqa: S101
        identity = trial.config["trial"]["id"]
        if result["status"] == "evaluated":
            decision = self._coordinator.report(
                identity,
                int(result["step"]),
                float(result["source_dev_auc"]),
                float(result["source_dev_loss"]),
                float(result["seconds"]),
            )
        else:
            self._coordinator.end(identity, result["status"], result["reason"])
            decision = "stop"
        self._changed(identity, result)
        return str(TrialScheduler.CONTINUE if decision == "continue" else TrialScheduler.STOP)
