"""What trials took is in the log of their run, and what was not measured is told apart from nothing."""

import json
from pathlib import Path

import pytest
from locations import GOLDEN
from sweep_fixtures import SWEEP, made_reading, plan_of

import fasray
from fasray.faces.face_index import FaceIndex
from fasray.runs.event_log import read_events
from fasray.runs.events import EVENTS, Event, Reported, trials_of
from fasray.sweep.coordinator import Coordinator

FROZEN = GOLDEN / "frozen_sweep" / "run"


def reported(table: FaceIndex, **cost: float) -> Reported:
    log: list[Event] = []
    coordinator = Coordinator(plan_of(SWEEP, table), log.append)
    coordinator.close_finished_searches()
    assignment = coordinator.next_assignment()
    assert assignment is not None
    coordinator.report(assignment.trial.id, made_reading(4, 0.7, **cost))
    event = log[-1]
    assert isinstance(event, Reported)
    assert EVENTS.validate_json(EVENTS.dump_json(event)) == event
    return event


def test_what_a_trial_cost_is_in_the_log(table: FaceIndex) -> None:
    event = reported(table, cpu_seconds=7.5, gpu_seconds=8.0, bytes_read=1000, bytes_written=20)
    assert (event.cpu_seconds, event.gpu_seconds, event.bytes_read, event.bytes_written) == (7.5, 8.0, 1000, 20)


def test_what_a_trial_does_not_know_is_left_open(table: FaceIndex) -> None:
    event = reported(table)
    assert (event.cpu_seconds, event.gpu_seconds, event.bytes_read, event.bytes_written) == (None,) * 4


def test_a_line_of_the_log_has_its_fields_in_the_order_of_old_logs(table: FaceIndex) -> None:
    old = next(line for line in (FROZEN / "events.jsonl").read_text().splitlines() if '"reported"' in line)
    mine = json.loads(EVENTS.dump_json(reported(table)))
    assert [name for name in mine if name in json.loads(old)] == list(json.loads(old))


def test_runs_from_before_there_was_accounting_are_read(table: FaceIndex) -> None:
    records = trials_of(read_events(str(FROZEN))).values()
    assert {reading.cpu_seconds for record in records for reading in record.readings} == {None}


def test_a_sweep_tells_what_each_trial_each_cell_and_all_of_it_took(finished) -> None:
    run = finished.place.out
    trials, costs = fasray.load_trials(run), fasray.load_costs(run)
    sweep = costs[costs["scope"] == "sweep"].iloc[0]
    assert sweep["n_unmeasured"] == 0
    for name in ("cpu_seconds", "gpu_seconds", "bytes_read", "bytes_written"):
        assert sweep[name] == pytest.approx(trials[name].sum())
    assert 0 < sweep["cpu_seconds"] < 2 * finished.ran.seconds
    assert (trials["cpu_seconds"] > 0).all()
    assert (trials["gpu_seconds"] == 0).all()
    assert (trials["bytes_read"] > 0).all()
    kept = sum(path.stat().st_size for path in Path(run).rglob("eval-*.parquet"))
    assert kept < sweep["bytes_written"]
