"""What the page is told of a run: the plan's cells, the coordinator's figures, and changes that add up to the whole."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from locations import ROOT
from small_sweeps import SMALL
from sweep_fixtures import SWEEP, make_table, plan_of
from virtual_clock import Clock
from watching import GENERATED, Seen

from fasray.errors import DataError, ProtocolError
from fasray.faces.face_index import FaceIndex
from fasray.runs.events import Closed, Ended, Event, Opened, Reported, Suggested
from fasray.runs.lock import Holder
from fasray.runs.record import RunRecord
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.progress import snapshot
from fasray.sweep.sweep_file import load_sweep
from fasray.watch.outline import outline
from fasray.watch.rungs import stops
from fasray.watch.state import TAIL, RunState

OPENED = Opened(at="2026-01-01T00:00:00+00:00", host="h", pid=1, versions={})


def head_of(plan: Plan) -> RunRecord:
    return RunRecord("run", plan.spec.name, plan.spec.identity(), plan.spec.hash(), GENERATED, ())


def log_of(plan: Plan, seed: int = 1) -> list[Event]:
    clock = Clock(plan, 3, seed, diverging=2)
    clock.run()
    return [OPENED, *clock.log, Closed(at="2026-01-01T09:00:00+00:00", status="complete")]


def larger(text: str = SWEEP) -> str:
    return text.replace("trials_per_cell: 3", "trials_per_cell: 6").replace(
        "choice: [0.1, 0.2, 0.4]", "uniform: [0, 1]"
    )


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (SWEEP, ()),
        (SWEEP, ("search.algorithm=tpe", "search.trials_per_cell=7", "methods.safas.space=null")),
        (SWEEP, ("search.per=cell", "confirm.leave_one_source_out=true", "target_split=test")),
        (SWEEP, ("protocols=['O&C&I->M', 'O&C->I,M']",)),
        (SWEEP, ("search.algorithm=grid", "methods.erm.space={learning_rate: {grid: [0.5, 0.6]}}", "scheduler=fifo")),
        (
            SWEEP,
            ("methods.safas.space={separability_weight: {choice: [0.1, 0.2]}, learning_rate: {grid: [0.01, 0.1]}}",),
        ),
        (SMALL.format(data="synthetic"), ()),
    ],
)
def test_the_outline_is_the_plan_without_its_data(table: FaceIndex, text: str, overrides: tuple[str, ...]) -> None:
    plan = plan_of(text, table, *overrides)
    assert_same(plan)


@pytest.mark.slow
def test_the_outline_of_every_shipped_sweep_is_its_plan() -> None:
    table, files = make_table(), sorted((ROOT / "sweeps").rglob("*.yaml"))
    checked = 0
    for file in files:
        spec = load_sweep(str(file), ("training.profile=quick",))
        try:
            plan = make_plan(spec, "0" * 64, table)
        except ProtocolError:  # a domain that is none of the four
            continue
        assert_same(plan)
        checked += 1
    assert checked > 10


def assert_same(plan: Plan) -> None:
    told = [(c.method, c.protocol, c.searches, c.confirms(), c.steps) for c in outline(plan.spec.identity())]
    assert told == [
        (c.method, c.protocol.name, c.searches, plan.after_search_in(c), c.training.evaluation_steps())
        for c in plan.cells
    ]


def test_changes_add_up_to_the_whole(table: FaceIndex) -> None:
    plan = plan_of(larger(), table)
    events, rng = log_of(plan), np.random.default_rng(0)
    whole = RunState(head_of(plan))
    whole.extend(events, "now")
    state, seen = RunState(head_of(plan)), Seen()
    at = 0
    while at < len(events):
        count = int(rng.integers(1, 9))
        state.extend(events[at : at + count], "now")
        at += count
        if rng.random() < 0.6 or at >= len(events):
            seen.take(state.view(seen.version))
    final = whole.view()
    assert seen.version == final["version"] == len(events)
    assert seen.summary == final["summary"]
    assert list(seen.cells.values()) == final["cells"]
    assert list(seen.trials.values()) == final["trials"]
    assert seen.log[-TAIL:] == final["log"]
    assert state.view(len(events))["trials"] == []
    assert state.view(len(events) + 5)["whole"]


def test_it_counts_and_estimates_as_the_driver_does(table: FaceIndex) -> None:
    plan = plan_of(larger(), table)
    events = [event for event in log_of(plan) if event.event not in ("opened", "closed")]
    state = RunState(head_of(plan))
    state.note(Holder("process 1", True), "")
    estimated = 0
    for at in range(0, len(events), 25):
        state.extend(events[at : at + 25], "")
        coordinator = Coordinator(plan, lambda event: None)
        coordinator.replay(events[: at + 25])
        summary, running = state.view()["summary"], sum(r.status == "running" for r in coordinator.records.values())
        there = snapshot(coordinator, max(running, 1))
        assert summary["trials"] == there.trials
        assert summary["statuses"].get("done", 0) == there.done
        assert summary["statuses"].get("stopped", 0) == there.stopped
        assert (summary["best"] or [None])[0] == pytest.approx(there.best_source_dev_auc, abs=1e-5)
        assert summary["left"] == pytest.approx(there.seconds_left, abs=1e-5)
        estimated += summary["left"] is not None
    assert estimated > 5
    assert Counter(cell["phase"] for cell in state.view()["cells"]) == {"confirmed": 7, "all diverged": 1}


def test_a_stopped_trial_is_shown_with_the_value_that_it_missed(table: FaceIndex) -> None:
    """Compared with the rule as the paper has it: the quantile of what was suggested before and came to the rung."""
    plan = plan_of(
        larger(), table, "protocols=['O&C&I->M', 'O&M&I->C']", "search.trials_per_cell=16", "scheduler.asha.reduction=3"
    )
    events, checked, late = log_of(plan), 0, 0
    suggested = [event for event in events if isinstance(event, Suggested) and event.stage == "search"]
    values = {(event.trial, event.step): event.source_dev_auc for event in events if isinstance(event, Reported)}
    for cell in outline(plan.spec.identity()):
        found = {stop.trial: stop for stop in stops(events, cell)}
        order = [e.trial for e in suggested if (e.method, e.protocol) == (cell.method, cell.protocol)]
        for stop in found.values():
            before = order[: order.index(stop.trial)]
            there = [t for t in before if (t, stop.step) in values and (t not in found or found[t].step >= stop.step)]
            assert stop.cutoff == np.quantile([values[t, stop.step] for t in there], 1 - 1 / 3)
            assert stop.value == values[stop.trial, stop.step] < stop.cutoff
            checked, late = checked + 1, late + stop.late
    assert checked > 10
    assert late > 0


@pytest.mark.parametrize(
    ("events", "holder", "state"),
    [
        ((), Holder("", False), "waiting"),
        ((OPENED,), Holder("process 1 on h", True), "running"),
        ((OPENED,), Holder("process 1 on h", False), "dead"),
        ((OPENED,), Holder("process 1 on far", None), "unknown"),
        ((OPENED, Closed(at="", status="interrupted")), Holder("", False), "interrupted"),
        ((OPENED, Closed(at="", status="failed"), OPENED), Holder("", False), "dead"),
        ((OPENED, Closed(at="", status="complete")), Holder("", False), "complete"),
        ((OPENED, Closed(at="", status="complete")), Holder("process 1 on h", True), "complete"),
    ],
)
def test_the_state_follows_from_log_and_lock(plan: Plan, events: tuple[Event, ...], holder: Holder, state: str) -> None:
    run = RunState(head_of(plan))
    run.extend(events, "")
    run.note(holder, "")
    assert run.view()["summary"]["state"] == state


def test_figures_of_a_target_are_taken_for_confirmed_cells_only(table: FaceIndex) -> None:
    plan = plan_of(larger(), table)
    events = log_of(plan)
    state, confirmed = RunState(head_of(plan)), -1
    for event in events:
        state.extend([event], "")
        ready = state.sealed_no_more()
        for cell in set(range(len(plan.cells))) - set(ready):
            with pytest.raises(ValueError, match="not confirmed"):
                state.unseal(cell, "figures")
        confirmed = max(confirmed, len(ready))
        for cell in ready:
            whole = [trial.status for trial in state.trials_of(cell) if trial.stage == "confirm"]
            assert len(whole) == 2
            assert {"done"} <= set(whole) <= {"done", "diverged"}
    assert confirmed == len(plan.cells) - 1  # of one, both diverged


def test_an_event_of_an_unknown_trial_is_damage(plan: Plan) -> None:
    state = RunState(head_of(plan))
    with pytest.raises(DataError, match="unknown trial"):
        state.extend([Ended(trial="f" * 16, status="failed", reason="")], "")


def test_a_run_of_a_specification_that_is_not_understood_is_shown_as_far_as_its_log_goes(
    plan: Plan, tmp_path: Path
) -> None:
    head = RunRecord("run", "old", {"methods": 3, "protocols": ["?"], "search": {}}, "", GENERATED, ())
    state = RunState(head)
    state.extend(log_of(plan), "")
    view = state.view()
    assert len(view["cells"]) == len(plan.cells)
    assert not view["summary"]["planned"]
    assert state.sealed_no_more() == []
