"""What Tune is given, and what becomes of a trial whose process is lost. Tune itself runs in the engine's tests."""

from typing import Any

import pytest
from ray.tune.search import Searcher
from sweep_fixtures import made_reading, value_of

from fasray.execution.capacity import Demand
from fasray.execution.messages import TrialOrder
from fasray.execution.placement import EqualPlaces
from fasray.execution.tune_backend import CoordinatorSearcher
from fasray.runs.events import Event, Suggested
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import Plan


class Given:
    """A coordinator whose trials a test takes as Tune does; ``room`` is what the cluster has."""

    def __init__(self, plan: Plan) -> None:
        self.log: list[Event] = []
        self.room = 2
        self.coordinator = Coordinator(plan, self.log.append)
        self.coordinator.close_finished_searches()
        places = EqualPlaces(Demand(1, 1, 0.0), lambda: self.room)
        self.searcher = CoordinatorSearcher(self.coordinator, self._order, places)
        self._ids = map(str, range(10_000))

    @staticmethod
    def _order(assignment: Assignment, demand: Demand) -> TrialOrder:
        return TrialOrder(assignment.trial, "", "", "", "train+test", assignment.reported_step, demand)

    def take(self) -> tuple[str, Any]:
        """Return Tune's id of a new trial, and what it is given for it."""
        tune_id = next(self._ids)
        return tune_id, self.searcher.suggest(tune_id)

    def lose(self, tune_id: str) -> None:
        self.searcher.lost(tune_id)
        self.searcher.on_trial_complete(tune_id, error=True)


@pytest.fixture
def given(plan: Plan) -> Given:
    return Given(plan)


def test_no_trial_is_handed_out_for_which_there_is_no_room(given: Given) -> None:
    (first, _), (_, second) = given.take(), given.take()
    assert second is not None
    assert given.take()[1] is None
    given.room = 3
    assert given.take()[1] is not None, "a node has come"
    given.room = 1
    given.lose(first)
    assert given.take()[1] is None, "a node has gone: two of one place are still out"


def test_a_trial_whose_process_was_lost_goes_on_from_its_last_result_before_any_new_one_starts(given: Given) -> None:
    tune_id, config = given.take()
    step = given.coordinator.plan.cells[0].training.evaluation_steps()[0]
    given.coordinator.report(config["order"].trial.id, made_reading(step, value_of(config["order"].trial.id, step)))
    given.lose(tune_id)
    suggested = [event.trial for event in given.log if isinstance(event, Suggested)]
    again = given.take()[1]["order"]
    assert (again.trial.id, again.reported_step) == (config["order"].trial.id, step)
    assert [event.trial for event in given.log if isinstance(event, Suggested)] == suggested, "it is no new suggestion"


@pytest.mark.parametrize(("lost", "tries"), [(False, 2), (True, 4)])
def test_a_trial_is_given_up_after_two_errors_or_four_losses(given: Given, lost: bool, tries: int) -> None:
    tune_id, config = given.take()
    for _ in range(tries - 1):
        if lost:
            given.lose(tune_id)
        else:
            given.searcher.on_trial_complete(tune_id, error=True)
        assert given.coordinator.records[config["order"].trial.id].status == "running"
        tune_id, again = given.take()
        assert again["order"].trial.id == config["order"].trial.id
    if lost:
        given.searcher.lost(tune_id)
    given.searcher.on_trial_complete(tune_id, error=True)
    record = given.coordinator.records[config["order"].trial.id]
    assert record.status == "failed"
    assert ("lost" in record.reason) == lost


def test_a_lost_process_of_a_trial_that_has_ended_changes_nothing(given: Given) -> None:
    tune_id, config = given.take()
    given.coordinator.end(config["order"].trial.id, "diverged", "not finite")
    given.lose(tune_id)
    assert given.coordinator.records[config["order"].trial.id].status == "diverged"
    assert given.take()[1]["order"].trial.id != config["order"].trial.id


def test_at_the_end_tune_is_told_so(given: Given) -> None:
    while (taken := given.take())[1] != Searcher.FINISHED:
        given.coordinator.end(taken[1]["order"].trial.id, "failed", "x")
        given.searcher.on_trial_complete(taken[0])
    assert given.coordinator.finished
