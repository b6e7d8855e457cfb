"""A log read at once says the same of its trials as a driver that folded it event by event."""

import random

import pytest
from sweep_fixtures import made_reading, value_of

from fasray.runs.events import EVENTS, Event, Suggested, TrialRecord, fold, trials_of
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan


def mishappy_log(plan: Plan, seed: int) -> list[Event]:
    """The log of several drivers: trials diverge and fail at any moment, and failed ones are taken up again."""
    rng, log = random.Random(seed), list[Event]()
    for driver in range(4):
        coordinator = Coordinator(plan, log.append)
        coordinator.replay(list(log))
        coordinator.retry_failed()
        coordinator.close_finished_searches()
        for _ in range(20 + driver):
            assignment = coordinator.next_assignment()
            if assignment is None:
                break
            for step in assignment.trial.training.evaluation_steps():
                chance = rng.random()
                if step <= assignment.reported_step or chance < 0.05:
                    continue
                if chance < 0.25:
                    coordinator.end(assignment.trial.id, rng.choice(["diverged", "failed", "failed"]), f"at {step}")
                    break
                if coordinator.report(assignment.trial.id, made_reading(step, value_of(assignment.trial.id, step))) != (
                    "continue"
                ):
                    break
    return log


@pytest.mark.parametrize("seed", range(4))
def test_reading_a_log_at_once_is_folding_it_event_by_event(plan: Plan, seed: int) -> None:
    log = mishappy_log(plan, seed)
    assert {"suggested", "reported", "ended", "retried"} <= {event.event for event in log}
    records: dict[str, TrialRecord] = {}
    for event in log:
        record = fold(records, event)
        if record is not None:
            records[record.id] = record
    for length in (len(log), len(log) // 2, len(log) // 3):
        part: dict[str, TrialRecord] = {}
        for event in log[:length]:
            record = fold(part, event)
            if record is not None:
                part[record.id] = record
        assert trials_of(log[:length]) == part
    assert list(trials_of(log)) == list(records)
    assert {record.status for record in records.values()} >= {"done", "diverged"}


def test_a_log_that_says_of_each_trial_whether_it_was_sealed_is_read_as_one_that_does_not(plan: Plan) -> None:
    line = EVENTS.dump_json(next(event for event in mishappy_log(plan, 0) if isinstance(event, Suggested)))
    older = EVENTS.validate_json(line[:-1] + b',"sealed":true}')
    assert trials_of([older]) == trials_of([EVENTS.validate_json(line)])
    assert EVENTS.dump_json(older) == line
