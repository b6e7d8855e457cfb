"""Decisions in order of suggestion: whatever the slots, delays, restarts and kills, the outcome of a single slot."""

import random
from collections.abc import Mapping
from typing import Any

import pytest
from sweep_fixtures import make_table, plan_of
from virtual_clock import Clock, outcome

from fasray.errors import DataError
from fasray.runs.events import StoppedLate
from fasray.runs.schedule import Asha, OrderedAsha
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan

SWEEP = """
name: ordered
data: synthetic
protocols: [ocim]
methods:
  erm: {space: {learning_rate: {loguniform: [0.001, 0.1]}, weight_decay: {loguniform: [0.0001, 0.1]}}}
  safas: {space: {separability_weight: {loguniform: [0.05, 0.6]}}}
search: {algorithm: random, trials_per_cell: 12, seed: 100}
scheduler: {asha: {grace: 0.24, reduction: 2}}
confirm: {seeds: [0, 1]}
training: {profile: quick, steps: 36, evaluations: 12}
"""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(SWEEP, make_table())


@pytest.fixture(scope="module")
def alone(plan: Plan) -> Mapping[str, Any]:
    return outcome(Clock(plan, 1, 0).run())


@pytest.mark.parametrize("slots", [1, 2, 6, 16, 64])
def test_slots_and_delays_change_no_decision(plan: Plan, alone: Mapping[str, Any], slots: int) -> None:
    for seed in range(4):
        assert outcome(Clock(plan, slots, seed).run()) == alone


@pytest.mark.parametrize("seed", range(6))
def test_lost_processes_and_killed_drivers_change_no_decision(plan: Plan, alone: Mapping[str, Any], seed: int) -> None:
    assert outcome(Clock(plan, 6, seed, losses=0.05, kills=0.02).run()) == alone


def test_the_order_of_arrival_would_change_decisions(alone: Mapping[str, Any]) -> None:
    plan = plan_of(SWEEP, make_table(), "scheduler.asha.order=arrival")
    assert any(outcome(Clock(plan, 64, seed).run()) != alone for seed in range(3))


def test_a_single_slot_decides_as_asha_does_on_arrivals(plan: Plan, alone: Mapping[str, Any]) -> None:
    arrival = plan_of(SWEEP, make_table(), "scheduler.asha.order=arrival", "protocols=['O&C&I->M']", "methods=[erm]")
    ordered = plan_of(SWEEP, make_table(), "protocols=['O&C&I->M']", "methods=[erm]")
    assert outcome(Clock(arrival, 1, 0).run()) == outcome(Clock(ordered, 1, 0).run())


@pytest.mark.parametrize(("slots", "algorithm"), [(2, "hyperopt"), (5, "tpe")])
def test_suggestions_that_learn_see_the_same_results_in_any_order(slots: int, algorithm: str) -> None:
    settings = (f"search.algorithm={algorithm}", "protocols=['O&C&I->M']", "methods={erm: {}}", "search.lag=3")
    plan = plan_of(SWEEP, make_table(), *settings)
    first = outcome(Clock(plan, 1, 0).run())
    assert outcome(Clock(plan, slots, 1).run()) == first
    assert outcome(Clock(plan, slots, 2, losses=0.05, kills=0.03).run()) == first


def test_a_trial_that_diverges_is_left_out_of_the_rungs_that_it_did_not_reach() -> None:
    asha = OrderedAsha((10, 20, 30), grace=1 / 3, reduction=2)
    for trial in "abc":
        asha.suggest(trial)
    assert asha.report("c", 10, 0.5) == "continue"
    assert asha.report("b", 10, 0.9) == "continue"
    assert asha.report("c", 20, 0.5) == "continue"
    assert not asha.settled("c")
    asha.end("a")
    assert [(stop.trial, stop.step) for stop in asha.late_stops()] == [("c", 10)]
    assert asha.settled("b")


def test_work_beyond_a_late_stop_is_marked_and_counts_for_nothing(plan: Plan) -> None:
    clock = Clock(plan, 16, 3)
    records = clock.run().records
    late = [event for event in clock.log if isinstance(event, StoppedLate)]
    assert late
    for event in late:
        record = records[event.trial]
        assert record.steps[-1] == event.step
        assert record.status == "stopped"
    beyond = sum(len(record.on_credit) for record in records.values())
    assert beyond
    assert clock.steps == beyond + sum(len(record.readings) for record in records.values())


def test_a_late_stop_that_no_result_gives_is_refused(plan: Plan) -> None:
    clock = Clock(plan, 16, 3)
    clock.run()
    where = next(n for n, event in enumerate(clock.log) if isinstance(event, StoppedLate))
    forged = clock.log[where].model_copy(update={"step": 36})
    with pytest.raises(DataError, match="results give another decision"):
        Coordinator(plan, lambda event: None).replay([*clock.log[:where], forged])


@pytest.mark.parametrize("seed", range(3))
def test_arrivals_in_order_of_suggestion_make_both_rules_one(seed: int) -> None:
    rng = random.Random(seed)
    steps = tuple(range(1, 28))
    ordered, arrival = OrderedAsha(steps, 1 / 27, 3), Asha(steps, 1 / 27, 3)
    for trial in map(str, range(20)):
        ordered.suggest(trial)
        for step in steps:
            value = rng.random()
            decision = arrival.report(trial, step, value)
            assert ordered.report(trial, step, value) == decision
            assert ordered.late_stops() == ()
            if decision != "continue":
                break
