"""The short timing of each method on this machine, and the hours and costs that follow from it."""

import re
from pathlib import Path

from fasray.execution.calibrate import calibrate
from fasray.faces.data_source import resolve_dataset
from fasray.sweep.plan import make_plan
from fasray.sweep.sweep_file import load_sweep


def test_each_method_is_timed_in_as_many_processes_as_trials_will_run(finished) -> None:
    spec = load_sweep(finished.place.sweep)
    dataset = resolve_dataset(spec.data)
    plan = make_plan(spec, dataset.manifest.hash, dataset.index)
    (pool,) = (path.parent for path in Path(finished.place.pools).glob("*/index.npz"))
    said: list[str] = []
    paces = calibrate(plan, str(pool), slots=2, say=said.append)
    assert set(paces) == set(spec.methods)
    assert all(min(pace.start, pace.step, pace.evaluation) > 0 for pace in paces.values())
    assert said == ["timing 2 methods in 2 processes at once"]


def test_a_plan_that_is_calibrated_tells_hours_and_their_price_and_trains_nothing(finished) -> None:
    before = finished.place.events()
    ran = finished.place.command("plan", finished.place.sweep, "--calibrate", "--price", "7", "--slots", "1")
    assert ran.code == 0, ran.err
    hours, cost = map(float, re.search(r"cost: ([\d.]+) node hours x 7 = ([\d.]+)", ran.out).groups())
    assert hours > 0
    assert abs(cost - 7 * hours) <= 7 * 0.005 + 0.005
    for method in ("erm", "safas"):
        assert re.search(rf"{method}: \d+ s of one slot", ran.out)
    assert finished.place.events() == before


def test_a_price_without_hours_is_refused(finished) -> None:
    ran = finished.place.command("plan", finished.place.sweep, "--price", "7")
    assert ran.code == 2
    assert "add --calibrate" in ran.err
