"""ASHA per cell: the same decisions as Ray Tune's own, and what Tune's does not promise."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.schedulers.trial_scheduler import TrialScheduler

from fasray.runs.schedule import Asha, Fifo, rung_steps


class _Arrival:
    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


@pytest.mark.parametrize("reduction", [2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_decisions_equal_ray_tunes_on_the_same_arrivals(reduction: int, seed: int) -> None:
    steps = tuple(range(1, 28))
    ours = Asha(steps, grace=1 / 27, reduction=reduction)
    theirs: Any = AsyncHyperBandScheduler(
        time_attr="t", metric="auc", mode="max", grace_period=1, max_t=27, reduction_factor=reduction
    )
    rng = np.random.default_rng(seed)
    live = {f"t{n}": 0 for n in range(20)}
    arrivals = {name: _Arrival(name) for name in live}
    for arrival in arrivals.values():
        theirs.on_trial_add(None, arrival)
    while live:
        name = str(rng.choice(sorted(live)))
        live[name] += 1
        value = float(rng.normal())
        mine = ours.report(name, live[name], value)
        tune = theirs.on_trial_result(None, arrivals[name], {"t": live[name], "auc": value})
        assert (mine != "continue") == (tune == TrialScheduler.STOP), (name, live[name])
        if mine != "continue":
            del live[name]


def test_replaying_the_same_results_gives_the_same_decisions() -> None:
    rng = np.random.default_rng(0)
    results = [(f"t{rng.integers(8)}", int(step), float(rng.random())) for step in rng.integers(1, 9, 200)]
    first, second = Asha(range(1, 9), 0.125, 2), Asha(range(1, 9), 0.125, 2)
    assert [first.report(*r) for r in results] == [second.report(*r) for r in results]


def test_the_first_arrival_at_a_rung_goes_on_and_a_worse_second_stops() -> None:
    asha = Asha((10, 20, 30), grace=1 / 3, reduction=3)
    assert asha.report("a", 10, 0.8) == "continue"
    assert asha.report("b", 10, 0.7) == "stop"
    assert asha.report("c", 10, 0.8) == "continue"


def test_the_full_budget_ends_a_trial_as_done_not_as_stopped() -> None:
    assert Asha((10, 20), 0.5, 2).report("a", 20, 0.1) == "done"
    assert Fifo(20).report("a", 20, 0.1) == "done"
    assert Fifo(20).report("a", 10, math.nan) == "continue"


def test_nan_never_lowers_the_bar() -> None:
    asha = Asha((10, 20), 0.5, 2)
    assert asha.report("nan", 10, math.nan) == "continue"
    assert asha.report("good", 10, 0.9) == "continue"
    assert asha.report("bad", 10, 0.1) == "stop"
    assert asha.report("nan too", 10, math.nan) == "stop"


@given(
    evaluations=st.integers(1, 40), every=st.integers(1, 100), grace=st.floats(0.01, 1.0), reduction=st.integers(2, 5)
)
def test_rungs_are_evaluations_below_the_budget_and_not_before_the_grace(
    evaluations: int, every: int, grace: float, reduction: int
) -> None:
    steps = tuple(every * n for n in range(1, evaluations + 1))
    rungs = rung_steps(steps, grace, reduction)
    assert set(rungs) <= set(steps[:-1])
    assert list(rungs) == sorted(set(rungs))
    assert all(rung >= grace * steps[-1] - 1e-6 for rung in rungs)
