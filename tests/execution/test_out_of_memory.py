"""A trial that runs out of its card's memory goes on with more of a card; the plan is corrected, the log says so."""

import random
from collections.abc import Callable

import pytest
from sweep_fixtures import SWEEP, made_reading, plan_of, value_of

from fasray.execution.autoscaler import ClusterCapacity, Room
from fasray.execution.capacity import Demand
from fasray.execution.hardware import card_kinds
from fasray.execution.memory_file import Measured
from fasray.execution.messages import TrialMessage, deliver
from fasray.execution.placement import Announcer, Placement, least_share_of, next_placed
from fasray.faces.face_index import FaceIndex
from fasray.runs.events import EVENTS, Event, OutOfMemory, Placed, Reported
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan

GIB = 2**30
RunsOut = Callable[[str, Demand], bool]


class Simulated:
    """A sweep on one node with two cards, on which nothing but memory and scores is invented."""

    def __init__(self, plan: Plan, log: list[Event], runs_out: RunsOut) -> None:
        self.log, self._runs_out, self.said = log, runs_out, list[str]()
        self.coordinator = Coordinator(plan, log.append)
        self.coordinator.replay(list(log))
        self.coordinator.retry_failed()
        self.coordinator.close_finished_searches()
        capacity = ClusterCapacity(({"CPU": 16.0, "GPU": 2.0},))
        room = Room(None, lambda: capacity)
        self.placement = Placement(plan.spec, least_share_of(self.coordinator), room, card_kinds(capacity))
        self.placement.measured = {"": Measured("Tesla T4", 16 * GIB, {"erm": 2 * GIB, "safas": 6 * GIB})}
        self._announcer = Announcer(self.placement, log.append, self.said.append)
        self.began: list[tuple[str, int, Demand]] = []
        """Trial, step that it went on from, and what it held, of each start."""

    def run(self, seed: int, most: int = 10_000) -> None:
        """Run the sweep; trials report in random order."""
        rng, at = random.Random(seed), dict[str, tuple[int, Demand]]()
        for _ in range(most):
            self._announcer.update()
            while found := next_placed(self.coordinator, self.placement):
                assignment, demand = found
                trial = assignment.trial.id
                at[trial] = assignment.reported_step, demand
                self.began.append((trial, assignment.reported_step, demand))
                self.placement.hold(trial, demand)
                assert sum(held.gpus for _, held in at.values()) <= 2
            if not at:
                assert self.coordinator.finished
                return
            trial = rng.choice(sorted(at))
            step, demand = at[trial]
            step = next(one for one in self.coordinator.plan.cells[0].training.evaluation_steps() if one > step)
            method = self.coordinator.records[trial].method
            message = TrialMessage(trial, made_reading(step, value_of(trial, step)))
            if step > 4 and self._runs_out(method, demand):
                message = TrialMessage(trial, status="out_of_memory", demand=demand, peak_bytes=9 * GIB)
            at[trial] = step, demand
            if deliver(self.coordinator, message) != "continue":
                self.placement.release(trial)
                del at[trial]

    def decided(self) -> dict[str, tuple[str, str, object]]:
        return {
            trial: (record.status, record.reason, record.steps) for trial, record in self.coordinator.records.items()
        }


@pytest.fixture
def plan(table: FaceIndex) -> Plan:
    return plan_of(SWEEP.replace("{asha: {grace: 0.25, reduction: 2}}", "fifo"), table)


def never(method: str, demand: Demand) -> bool:
    return False


def test_it_is_taken_up_with_twice_the_share_and_so_are_all_later_trials_of_its_method(plan: Plan) -> None:
    log: list[Event] = []
    sweep = Simulated(plan, log, lambda method, demand: method == "erm" and demand.gpus < 0.5)
    sweep.run(seed=0)
    calm = Simulated(plan, [], never)
    calm.run(seed=0)
    assert sweep.decided() == calm.decided(), "nothing else is disturbed"
    ran_out = [event for event in log if isinstance(event, OutOfMemory)]
    assert 1 <= len(ran_out) <= 8, "those that ran already when the first one did"
    assert {(one.gpus, one.peak_bytes) for one in ran_out} == {(0.25, 9 * GIB)}
    first = log.index(ran_out[0])
    placed = [event for event in log[first:] if isinstance(event, Placed)]
    assert [(one.method, one.gpus) for one in placed] == [("erm", 0.5)]
    for event in ran_out:
        steps = [step for trial, step, _ in sweep.began if trial == event.trial]
        assert steps == [-1, 4], "it went on from its last evaluation"
    reported = [(event.trial, event.step) for event in log if isinstance(event, Reported)]
    assert len(reported) == len(set(reported))
    shares = [demand.gpus for trial, _, demand in sweep.began if sweep.coordinator.records[trial].method == "erm"]
    corrected = next(number for number, share in enumerate(shares) if share == 0.5)
    assert set(shares[:corrected]) == {0.25}
    assert set(shares[corrected:]) == {0.5}
    assert {demand.gpus for trial, _, demand in calm.began} == {0.25, 0.5}
    assert "0.5 of a card each for trials of erm (2 GiB), safas (6 GiB)" in sweep.said[-1]


def test_twice_on_a_whole_card_it_has_failed_and_the_reason_has_peak_and_remedy(plan: Plan) -> None:
    log: list[Event] = []
    sweep = Simulated(plan, log, lambda method, demand: method == "safas")
    sweep.run(seed=1)
    records = sweep.coordinator.records.values()
    assert {record.status for record in records if record.method == "erm"} == {"done"}
    failed = [record for record in records if record.method == "safas"]
    assert {record.status for record in failed} == {"failed"}
    assert {record.reason for record in failed} == {
        "out of memory on a whole card, twice: 9.0 GiB were taken; lower training.images or training.image_size, set "
        "training.precision: bf16, or use a larger card"
    }
    one = failed[0].id
    assert [demand.gpus for trial, _, demand in sweep.began if trial == one] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("cut", range(30, 150, 12))
def test_the_next_driver_knows_the_correction_from_the_log(plan: Plan, cut: int) -> None:
    def runs_out(method: str, demand: Demand) -> bool:
        return method == "erm" and demand.gpus < 0.5

    whole: list[Event] = []
    first = Simulated(plan, whole, runs_out)
    first.run(seed=2)
    log = [EVENTS.validate_json(event.model_dump_json()) for event in whole[:cut]]
    known = any(isinstance(event, OutOfMemory) for event in log)
    second = Simulated(plan, log, runs_out)
    second.run(seed=3)
    assert second.decided() == first.decided()
    if known:
        erm = [demand for trial, _, demand in second.began if second.coordinator.records[trial].method == "erm"]
        assert {demand.gpus for demand in erm} <= {0.5}


def test_a_message_about_a_trial_that_does_not_run_any_more_changes_nothing(plan: Plan) -> None:
    """Several workers run out of memory together, and each says so."""
    log: list[Event] = []
    coordinator = Coordinator(plan, log.append)
    assignment = coordinator.next_assignment()
    assert assignment is not None
    for _ in range(3):
        coordinator.ran_out_of_memory(assignment.trial.id, 1.0, "", GIB)
    assert sum(isinstance(event, OutOfMemory) for event in log) == 1
    assert coordinator.records[assignment.trial.id].status == "running"
    again = coordinator.next_assignment()
    assert again is not None
    assert again.trial.id == assignment.trial.id


def test_what_does_not_fit_is_passed_over_and_comes_later_as_it_would_have(plan: Plan) -> None:
    coordinator = Coordinator(plan, lambda event: None)
    first = coordinator.next_assignment(lambda method, trial: method == "safas")
    assert first is not None
    assert first.cell.method == "safas"
    assert coordinator.next_assignment(lambda method, trial: False) is None
    second = coordinator.next_assignment()
    assert second is not None
    assert second.cell.method == "erm"
    coordinator.requeue(first.trial.id)
    assert coordinator.next_assignment(lambda method, trial: not trial) is not None
    back = coordinator.next_assignment()
    assert back is not None
    assert back.trial.id == first.trial.id
