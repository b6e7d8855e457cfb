"""Telling how far a sweep is costs a sweep of any length little, and leaves out nothing that matters."""

from sweep_fixtures import made_reading

from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan
from fasray.sweep.progress import Progress, ThrottledReporter, snapshot


def test_many_changes_are_told_seldom_and_the_last_one_is_told_at_the_end(plan: Plan) -> None:
    coordinator = Coordinator(plan, lambda event: None)
    coordinator.close_finished_searches()
    told: list[Progress] = []
    asked: list[int] = []

    def slots() -> int:
        asked.append(1)
        return 4

    reporter = ThrottledReporter(coordinator, slots, told.append)
    changes = 0
    while (assignment := coordinator.next_assignment()) is not None:
        for step in assignment.trial.training.evaluation_steps():
            decision = coordinator.report(assignment.trial.id, made_reading(step, 0.5 + changes / 1000))
            reporter.changed()
            changes += 1
            if decision != "continue":
                break
    assert changes > 60
    assert 1 <= len(told) == len(asked) < changes / 4
    reporter.flush()
    assert told[-1] == snapshot(coordinator, 4)
    assert told[-1].cells_done == len(plan.cells)
    before = len(told)
    reporter.flush()
    assert len(told) == before
