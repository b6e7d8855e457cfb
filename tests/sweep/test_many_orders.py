"""A thousand orders of arrival, with lost processes and killed drivers among them, and one outcome."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sweep_fixtures import make_table, plan_of
from virtual_clock import Clock, decisions

from fasray.sweep.search import Point, Searcher, Tried

SWEEP = """
name: orders
data: synthetic
protocols: [ocim]
methods:
  erm: {space: {learning_rate: {loguniform: [0.001, 0.1]}, weight_decay: {loguniform: [0.0001, 0.1]}}}
  ssdg: {space: {triplet_weight: {loguniform: [0.1, 4.0]}}}
search: {algorithm: random, trials_per_cell: 24, seed: 100}
scheduler: {asha: {grace: 0.15, reduction: 2}}
confirm: {seeds: [0, 1]}
training: {profile: quick, steps: 20, evaluations: 10}
"""
SHARED = "protocols=['O&C&I->M', 'O&C&M->I', 'I&C&M->O', 'M&I->C', 'M&I->O']"
"""Eight cells too: the last two protocols have the same sources, and so one search."""
SEARCHES = {
    "random": (),
    "random, arrival": ("scheduler.asha.order=arrival",),
    "hyperopt": ("search.algorithm=hyperopt", "search.lag=6", SHARED),
    "tpe": ("search.algorithm=tpe", "search.lag=6", SHARED),
    "hyperopt, no lag": ("search.algorithm=hyperopt", "search.lag=null", SHARED),
}


class Remembering:
    """A searcher that is asked once for each history: what it answers is a function of that."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.answers = searcher, dict[tuple[Any, ...], Point]()
        self.total, self.max_concurrent, self.lag = searcher.total, searcher.max_concurrent, searcher.lag

    def known(self, number: int) -> Point | None:
        return self.searcher.known(number)

    def next(self, history: Sequence[Tried]) -> Point:
        key = tuple((*one.point.values(), one.value, one.open) for one in history)
        if key not in self.answers:
            self.answers[key] = self.searcher.next(history)
        return self.answers[key]


class Sweep:
    """One sweep of eight cells, run in many orders."""

    def __init__(self, search: str) -> None:
        plan = plan_of(SWEEP, make_table(), *SEARCHES[search])
        cells = (replace(cell, searcher=Remembering(cell.searcher)) for cell in plan.cells)
        self.plan = replace(plan, cells=tuple(cells))
        assert len(self.plan.cells) == 8
        self.alone = self.decided(Clock(self.plan, 1, 0, diverging=1))
        self.restarts = self.lost = 0

    def decided(self, clock: Clock) -> Mapping[str, Any]:
        clock.run()
        return decisions(clock.log)

    def differs(self, world: int) -> bool:
        """Run the sweep in one more order; whether any decision is another than in a single slot."""
        rng = random.Random(world)
        slots, losses, kills = rng.randint(1, 64), rng.choice([0, 0.02, 0.1]), rng.choice([0, 0.002, 0.01])
        clock = Clock(self.plan, slots, world, losses, kills, diverging=1)
        decided = self.decided(clock)
        self.restarts += clock.restarts
        self.lost += clock.lost
        return decided != self.alone


def check(search: str, worlds: int) -> None:
    """Hold every decision of so many random worlds against those of a single slot."""
    sweep = Sweep(search)
    for world in range(worlds):
        assert not sweep.differs(world), f"world {world} decides otherwise than a single slot"
    assert sweep.restarts
    assert sweep.lost


@pytest.mark.parametrize(("search", "worlds"), [("random", 8), ("hyperopt", 5)])
def test_no_order_of_arrival_changes_a_decision(search: str, worlds: int) -> None:
    check(search, worlds)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("search", ["random", "hyperopt", "tpe"])
def test_a_thousand_orders_of_arrival_change_no_decision(search: str) -> None:
    check(search, 1000)


@pytest.mark.parametrize("search", ["random, arrival", "hyperopt, no lag"])
def test_the_rules_of_arrival_fail_the_same_check(search: str) -> None:
    with pytest.raises(AssertionError, match="decides otherwise"):
        check(search, 12)
