"""Ray Tune's side of the coordinator: a searcher that suggests its trials, a scheduler that passes on its decisions.

Neither decides anything, and neither holds state worth saving: Tune's own experiment directory is disposable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from fasray.execution.capacity import Demand
from fasray.execution.messages import TrialMessage, TrialOrder, deliver
from fasray.execution.placement import EqualPlaces, Places, next_placed
from fasray.sweep.coordinator import Assignment, Coordinator

_NO_METRIC = {"metric": None, "mode": None}
_MAX_ERRORS = 2
"""Of a trial that raises an error."""
_MAX_NODE_FAILURES = 4
"""Of a trial whose process or node is lost."""


class CoordinatorSearcher(Searcher):
    """A Tune searcher that suggests the coordinator's next trial, as long as there is room for it.

    Tune cannot change how many trials it runs at once, and a cluster grows and shrinks: so Tune may run as many as it
    gets, and it gets none without room. Nor does Tune retry trials: it would do so only for those that had started, and
    a node may be lost while a trial starts.

    Args:
        coordinator: of the sweep; None in the copy that Tune pickles and never uses.
        make_order: from an assignment, and what its trial will hold, to what its actor is sent.
        places: says what fits now; asked often.
        changed: called after every change, with what a user may want to see.
    """

    def __init__(
        self,
        coordinator: Coordinator | None = None,
        make_order: Callable[[Assignment, Demand], TrialOrder | None] = lambda assignment, demand: None,
        places: Places | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(**_NO_METRIC)
        self._coordinator, self._make_order, self._changed = coordinator, make_order, changed
        self._places = places or EqualPlaces(Demand(1, 1, 0.0))
        self._trial_of: dict[str, str] = {}
        self._lost: set[str] = set()
        self._errors: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()

    def __reduce__(self) -> tuple[object, ...]:
        return CoordinatorSearcher, ()

    def suggest(self, trial_id: str) -> Any:
        """Return the config of the next trial, its order; None to wait, or FINISHED."""
        assert self._coordinator is not None  # noqa: S101 - only the pickled copy has none
        found = next_placed(self._coordinator, self._places)
        if found is None:
            return Searcher.FINISHED if self._coordinator.finished else None
        assignment, demand = found
        self._places.hold(trial_id, demand)
        self._trial_of[trial_id] = assignment.trial.id
        self._changed()
        return {"order": self._make_order(assignment, demand)}

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Requeue a trial that ended with an error, or give it up; every other end was decided by the coordinator."""
        assert self._coordinator is not None  # noqa: S101
        self._places.release(trial_id)
        trial = self._trial_of.pop(trial_id, None)
        if trial is None or not error:
            return
        lost = trial_id in self._lost
        self._lost.discard(trial_id)
        count, most = (self._losses, _MAX_NODE_FAILURES) if lost else (self._errors, _MAX_ERRORS)
        count[trial] += 1
        if count[trial] < most:
            self._coordinator.requeue(trial)
        else:
            what = f"was lost {most} times" if lost else "ended with an error"
            self._coordinator.end(trial, "failed", f"its process {what}; see the log of the run")
        self._changed()

    def lost(self, trial_id: str) -> None:
        """Note that the trial's next error is the loss of its process or node."""
        self._lost.add(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Write the file that Tune expects; sweeps resume from the event log."""
        Path(checkpoint_path).write_text("{}", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: sweeps resume from the event log."""


class CoordinatorScheduler(FIFOScheduler):
    """A Tune scheduler that passes every result to the coordinator and its decision to Tune.

    Args:
        coordinator: of the sweep; None in the copy that Tune pickles and never uses.
        changed: called after every result with the trial's id and the result.
        lost: called, before Tune ends it, with Tune's id of a trial whose process or node was lost.
    """

    supports_buffered_results = False

    def __init__(
        self,
        coordinator: Coordinator | None = None,
        changed: Callable[[str, Mapping[str, Any]], None] = lambda trial, result: None,
        lost: Callable[[str], None] = lambda trial_id: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._coordinator, self._changed, self._lost = coordinator, changed, lost

    def __reduce__(self) -> tuple[object, ...]:
        return CoordinatorScheduler, ()

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Distinguish the loss of a process from an error that was raised in it."""
        if isinstance(trial.get_pickled_error(), RayActorError):
            self._lost(trial.trial_id)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: Mapping[str, Any]) -> str:
        """Return what the coordinator decides."""
        assert self._coordinator is not None  # noqa: S101
        message: TrialMessage = result["message"]
        decision = deliver(self._coordinator, message)
        self._changed(message.trial, result)
        return str(TrialScheduler.CONTINUE if decision == "continue" else TrialScheduler.STOP)


def train_in_actors(
    coordinator: Coordinator,
    actor: type[tune.Trainable],
    make_order: Callable[[Assignment, Demand], TrialOrder],
    places: Places,
    scratch: str,
    changed: Callable[..., None] = lambda *_: None,
    *,
    reuse: bool = True,
) -> None:
    """Let Tune run the coordinator's trials in actors, until none is left or Tune gives up.

    Args:
        coordinator: of the sweep.
        actor: class of the actors.
        make_order: from an assignment, and what its trial will hold, to what its actor is sent.
        places: what each trial holds, and which may start now; asked repeatedly, as nodes come and go.
        scratch: folder on this node for Tune's own files.
        changed: called after every change; after a result with the trial's id and the result.
        reuse: let a trial take over the actor of one that has ended and held the same.
    """
    searcher = CoordinatorSearcher(coordinator, make_order, places, changed)
    tune.Tuner(
        tune.with_resources(actor, _placement_group),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=CoordinatorScheduler(coordinator, changed, searcher.lost),
            num_samples=-1,
            reuse_actors=reuse,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=scratch,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()


def _placement_group(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    """Return what a trial holds, from what its actor is sent."""
    return tune.PlacementGroupFactory([config["order"].demand.of_worker])
