"""Search with hyperopt's and Optuna's TPE: each cell its own, the paper's setting first, the same after a resume."""

import hashlib
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import takewhile

import numpy as np
import pytest
from sweep_fixtures import SWEEP, made_reading, plan_of, value_of

from fasray.errors import DataError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.methods.space import Choice, Grid, IntRange, LogUniform, Range, Uniform
from fasray.runs.events import Event, Suggested
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan
from fasray.sweep.search import Point, Tried, suggestions
from fasray.sweep.sweep_file import parse_sweep
from fasray.sweep.tpe import HyperoptTpe, OptunaTpe, Tpe

MIXED: dict[str, Range] = {
    "rate": LogUniform(loguniform=(1e-4, 1e-1)),
    "alpha": Choice(choice=(0.9, 0.99, 0.995)),
    "weight": Uniform(uniform=(0.0, 1.0)),
    "layers": IntRange(integers=(1, 5)),
}
PAPERS: Point = {"rate": 0.01, "alpha": 0.99, "weight": 0.5, "layers": 3}
FOUR_CELLS = (
    "scheduler.asha.order=arrival",
    "search.lag=null",
    "search={algorithm: hyperopt, trials_per_cell: 16, seed: 100}",
    "protocols=['O&C&I->M', 'O&M&I->C']",
    "methods.safas.space={separability_weight: {loguniform: [0.05, 0.6]}, alignment_alpha: {choice: [0.99, 0.995]}}",
)

BOTH = pytest.mark.parametrize("tpe", [HyperoptTpe, OptunaTpe])


def quality(point: Point) -> float:
    """Best at rate 0.001, alpha 0.995, weight 0.2 and two layers."""
    rate, weight, layers = (float(point[name] or 0) for name in ("rate", "weight", "layers"))
    return -abs(math.log10(rate) + 3) - abs(weight - 0.2) - (point["alpha"] != 0.995) - abs(layers - 2) / 10


def search(searcher: Tpe, value: Callable[[Point], float | None] = quality, trials: int | None = None) -> list[Tried]:
    history: list[Tried] = []
    for _ in range(searcher.total if trials is None else trials):
        point = searcher.next(history)
        history.append(Tried(point, value(point)))
    return history


def run(coordinator: Coordinator, slots: int, events: int | None = None) -> None:
    """Run trials on ``slots``; who reports next is a function of what runs, as are the values: no randomness."""
    at: dict[str, int] = {}
    arrived = 0
    while events is None or arrived < events:
        while len(at) < slots and (assignment := coordinator.next_assignment()) is not None:
            at[assignment.trial.id] = assignment.reported_step
        if not at:
            assert coordinator.finished
            return
        trial = min(at, key=lambda trial: hashlib.sha256(f"{trial} {at[trial]}".encode()).digest())
        step = next(step for step in coordinator.plan.cells[0].training.evaluation_steps() if step > at[trial])
        at[trial] = step
        arrived += 1
        if int(trial, 16) % 11 == 0:
            coordinator.end(trial, "diverged", "loss is not finite")
            del at[trial]
        elif coordinator.report(trial, made_reading(step, value_of(trial, step))) != "continue":
            del at[trial]


def started(plan: Plan, log: list[Event]) -> Coordinator:
    coordinator = Coordinator(plan, log.append)
    coordinator.replay(list(log))
    coordinator.close_finished_searches()
    return coordinator


@pytest.fixture(scope="module")
def four_cells(table: FaceIndex) -> Plan:
    return plan_of(SWEEP, table, *FOUR_CELLS)


@pytest.fixture(scope="module")
def whole(four_cells: Plan) -> list[Event]:
    """The log of four cells with sixteen searching trials each, three at a time, undisturbed."""
    log: list[Event] = []
    run(started(four_cells, log), slots=3)
    return log


def searching(log: list[Event], method: str, protocol: str) -> list[Mapping[str, object]]:
    return [
        event.config
        for event in log
        if isinstance(event, Suggested) and (event.method, event.protocol, event.stage) == (method, protocol, "search")
    ]


def test_each_of_four_cells_tries_sixteen_different_points_of_its_own_space_the_papers_first(
    four_cells: Plan, whole: list[Event]
) -> None:
    drawn = {}
    for cell in four_cells.cells:
        configs = searching(whole, cell.method, cell.protocol.name)
        assert len({repr(config) for config in configs}) == len(configs) == 16
        assert configs[0] == cell.config.model_dump(mode="json")
        for config in configs[1:]:
            fixed = {name: value for name, value in config.items() if name not in cell.searched}
            assert fixed == cell.config.model_dump(mode="json", exclude=set(cell.searched))
            if cell.method == "erm":
                assert 0.001 <= float(str(config["learning_rate"])) <= 0.1
            else:
                assert 0.05 <= float(str(config["separability_weight"])) <= 0.6
                assert config["alignment_alpha"] in (0.99, 0.995)
        drawn[cell.name] = repr(configs[1:])
    assert len(set(drawn.values())) == 4


@pytest.mark.parametrize("cut", range(0, 240, 13))
def test_cut_anywhere_the_resumed_sweep_writes_the_log_of_the_uninterrupted_one(
    four_cells: Plan, whole: list[Event], cut: int
) -> None:
    """Same suggestions, given the same results; three run at a time, so that some results are always open."""
    log = whole[:cut]
    run(started(four_cells, log), slots=3)
    assert log == whole


def test_suggestions_depend_on_the_results(four_cells: Plan, whole: list[Event]) -> None:
    for cell in four_cells.cells:
        default = cell.config.model_dump()
        draws = suggestions(
            "random", four_cells.spec.space(cell.method), default, 16, 100, f"{cell.method}/{cell.protocol.source_name}"
        )
        points = [{n: c[n] for n in cell.searched} for c in searching(whole, cell.method, cell.protocol.name)]
        same = list(takewhile(lambda pair: pair[0] == pair[1], zip(points, draws, strict=True)))
        assert 4 <= len(same) < 10, "random draws until there are results to learn from, then others"


@BOTH
def test_it_does_better_than_random_draws_on_the_average_of_twenty_searches(tpe: type[Tpe]) -> None:
    better = []
    for seed in range(20):
        learned = search(tpe(MIXED, PAPERS, 24, seed, "a/b"))
        drawn = suggestions("random", MIXED, PAPERS, 24, seed, "a/b")
        better.append(
            np.mean([quality(entry.point) for entry in learned[12:]]) - np.mean([quality(p) for p in drawn[12:]])
        )
    assert np.mean(better) > 2 * np.std(better) / math.sqrt(len(better))


def test_no_more_results_of_a_cell_are_open_than_allowed(table: FaceIndex) -> None:
    plan = plan_of(SWEEP, table, *FOUR_CELLS, "search.max_concurrent=3")
    coordinator = started(plan, [])
    handed = [coordinator.next_assignment() for _ in range(40)]
    given = [assignment for assignment in handed if assignment is not None]
    assert {cell.name: sum(a.cell.name == cell.name for a in given) for cell in plan.cells} == {
        cell.name: 3 for cell in plan.cells
    }
    assert not coordinator.finished
    assert coordinator.waiting == 0
    coordinator.end(given[0].trial.id, "failed", "its process ended")
    following = coordinator.next_assignment()
    assert following is not None
    assert following.cell == given[0].cell


@pytest.mark.parametrize("algorithm", ["random", "hyperopt", "tpe"])
def test_how_many_run_at_once_is_no_part_of_what_a_run_is(algorithm: str) -> None:
    specs = [
        parse_sweep(SWEEP, "sweep.yaml", (f"search.algorithm={algorithm}", f"search.max_concurrent={n}"))
        for n in ("auto", 2)
    ]
    assert specs[0].hash() == specs[1].hash()
    assert [spec.max_concurrent_searches for spec in specs] == [None, 2]
    with pytest.raises(SpecError, match="at least one trial"):
        parse_sweep(SWEEP, "sweep.yaml", ("search.max_concurrent=0",))


@BOTH
def test_a_small_space_is_tried_whole_and_nothing_twice(tpe: type[Tpe]) -> None:
    space: dict[str, Range] = {
        "depth": Grid(grid=(1, 5, 10)),
        "layers": IntRange(integers=(1, 2)),
        "one": Choice(choice=("x",)),
    }
    searcher = tpe(space, {"depth": 5, "layers": 1, "one": "x"}, 16, 100, "a/b")
    tried = [tuple(entry.point.values()) for entry in search(searcher, lambda point: float(point["depth"] or 0))]
    assert len(set(tried)) == len(tried) == 6


@BOTH
def test_a_papers_setting_outside_the_ranges_is_tried_first_and_counts_beside_the_space(tpe: type[Tpe]) -> None:
    searcher = tpe({"depth": Choice(choice=(1, 5))}, {"depth": 3}, 16, 100, "a/b")
    assert [entry.point["depth"] for entry in search(searcher, lambda point: 0.5)][0] == 3
    assert searcher.total == 3


@BOTH
def test_diverged_failed_and_open_trials_do_not_stop_the_search(tpe: type[Tpe]) -> None:
    outcomes = iter([0.5, -math.inf, None, 0.9] * 10)
    history = search(tpe(MIXED, PAPERS, 24, 100, "a/b"), lambda point: next(outcomes))
    history += [Tried(history[-1].point, None, open=True)]
    assert tpe(MIXED, PAPERS, 32, 100, "a/b").next(history)


@BOTH
def test_a_diverged_region_is_left(tpe: type[Tpe]) -> None:
    """Nothing above rate 0.01 survives; a search that learns goes there less often than its random draws do."""

    def value(point: Point) -> float:
        return -math.inf if float(point["rate"] or 0) > 0.01 else 0.5

    late = [entry.value for seed in range(10) for entry in search(tpe(MIXED, PAPERS, 24, seed, "a/b"), value)[12:]]
    drawn = [value(point) for seed in range(10) for point in suggestions("random", MIXED, PAPERS, 24, seed, "a/b")[12:]]
    assert np.isinf(np.array(late, float)).mean() < np.isinf(drawn).mean()


def test_a_forged_suggestion_in_the_log_is_refused(four_cells: Plan, whole: list[Event]) -> None:
    where = [n for n, event in enumerate(whole) if isinstance(event, Suggested)][30]
    event = whole[where]
    assert isinstance(event, Suggested)
    forged = event.model_copy(update={"config": {**event.config, "weight_decay": 0.123}})
    with pytest.raises(DataError, match="where the plan has another"):
        Coordinator(four_cells, lambda event: None).replay([*whole[:where], forged])


def test_a_rung_before_a_methods_mechanism_is_refused_for_any_value_that_may_be_suggested(table: FaceIndex) -> None:
    """One end of the range aligns late only; the paper's own setting would pass."""
    with pytest.raises(SpecError, match="before safas's own mechanisms have started"):
        plan_of(SWEEP, table, *FOUR_CELLS, "methods={safas: {space: {align_from: {uniform: [0.05, 0.9]}}}}")


def test_optuna_answers_the_same_in_another_process_and_after_other_questions() -> None:
    """Nor does it log, warn, or leave a study behind."""
    history = [Tried(PAPERS, 0.7), Tried({**PAPERS, "rate": 0.002}, -math.inf), Tried({**PAPERS, "layers": 1}, 0.9)]
    history += [Tried({**PAPERS, "weight": 0.1}, open=True)]
    asked = f"""
import math
from fasray.methods.space import *
from fasray.sweep.search import Tried
from fasray.sweep.tpe import OptunaTpe
print(OptunaTpe({MIXED!r}, {PAPERS!r}, 8, 100, "a/b").next({history!r}))
""".replace("-inf", "-math.inf")
    ran = subprocess.run([sys.executable, "-W", "error", "-c", asked], check=True, capture_output=True, text=True)
    searcher = OptunaTpe(MIXED, PAPERS, 8, 100, "a/b")
    search(OptunaTpe(MIXED, PAPERS, 8, 7, "c/d"), lambda point: 0.5)
    assert ran.stdout.strip() == repr(searcher.next(history))
    assert not ran.stderr
    assert searcher.next([*history[:-1], Tried(history[-1].point, 0.95)]) != searcher.next(history)
