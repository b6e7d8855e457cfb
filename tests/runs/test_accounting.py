"""What trials took is in the log of their run, and what was not measured is told apart from nothing."""

from pathlib import Path

import pytest
from locations import GOLDEN
from sweep_fixtures import SWEEP, plan_of

import fasray
from fasray.faces.index import FaceIndex
from fasray.runs.event_log import read_events
from fasray.runs.events import EVENTS, Event, Reported, trials_of
from fasray.sweep.coordinator import Coordinator
from fasray.training.spent import Spent

FROZEN = GOLDEN / "frozen_sweep" / "run"


def reported(table: FaceIndex, *overrides: str, spent: Spent | None) -> Reported:
    log: list[Event] = []
    coordinator = Coordinator(plan_of(SWEEP, table, *overrides), log.append)
    coordinator.settle()
    assignment = coordinator.next_assignment()
    assert assignment is not None
    coordinator.report(assignment.trial.id, 4, 0.7, 0.5, 3.0, spent)
    event = log[-1]
    assert isinstance(event, Reported)
    assert EVENTS.validate_json(EVENTS.dump_json(event)) == event
    return event


@pytest.mark.parametrize(("gpus", "workers", "held"), [(0, 1, 0), (0.25, 1, 1), (1, 2, 8)])
def test_gpu_seconds_are_the_gpus_that_were_held_times_wall_seconds(
    table: FaceIndex, gpus: float, workers: int, held: float
) -> None:
    resources = (f"resources.gpus_per_worker={gpus}", f"resources.workers={workers}")
    event = reported(table, *resources, spent=Spent(4.0, 7.5, 1000, 20))
    assert (event.cpu_seconds, event.gpu_seconds, event.bytes_read, event.bytes_written) == (7.5, held, 1000, 20)


def test_what_a_trial_does_not_know_is_left_open(table: FaceIndex) -> None:
    event = reported(table, spent=None)
    assert (event.cpu_seconds, event.gpu_seconds, event.bytes_read, event.bytes_written) == (None,) * 4


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
