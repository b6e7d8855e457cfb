"""The mind of a sweep: order, decisions, winners, and that a log gives all of it back."""

import random
from collections.abc import Callable, Sequence

import pytest
from sweep_fixtures import SWEEP, made_reading, make_table, plan_of, value_of

from fasray.errors import DataError, ProtocolError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.runs.events import ENDED, Event, Suggested, Won
from fasray.sweep.cell_state import winner
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import Plan
from fasray.sweep.progress import snapshot

Value = Callable[[str, int], float]


def drive(coordinator: Coordinator, slots: int, seed: int, value: Value = value_of, events: int | None = None) -> int:
    """Run trials in a random order of arrival until all is done or ``events`` results have come; return how many."""
    rng = random.Random(seed)
    at: dict[str, int] = {}
    arrived = 0
    while events is None or arrived < events:
        while len(at) < slots:
            assignment = coordinator.next_assignment()
            if assignment is None:
                break
            at[assignment.trial.id] = assignment.reported_step
        if not at:
            assert coordinator.finished
            break
        trial = rng.choice(sorted(at))
        steps = coordinator.plan.cells[0].training.evaluation_steps()
        step = next(step for step in steps if step > at[trial])
        at[trial] = step
        arrived += 1
        if coordinator.report(trial, made_reading(step, value(trial, step))) != "continue":
            del at[trial]
    return arrived


def started(plan: Plan, log: list[Event]) -> Coordinator:
    coordinator = Coordinator(plan, log.append)
    coordinator.replay(list(log))
    coordinator.close_finished_searches()
    return coordinator


def test_a_sweep_searches_then_confirms_every_cell(plan: Plan) -> None:
    log: list[Event] = []
    coordinator = started(plan, log)
    drive(coordinator, slots=3, seed=0)
    assert coordinator.finished
    assert len(coordinator.records) == 8 * 3 + 8 * 2
    confirmed = [record for record in coordinator.records.values() if record.stage == "confirm"]
    assert {record.status for record in confirmed} == {"done"}
    assert {record.seed for record in confirmed} == {0, 1}
    assert {record.seed for record in coordinator.records.values() if record.stage == "search"} == {100}


def test_the_papers_setting_is_each_cells_first_trial(plan: Plan) -> None:
    log: list[Event] = []
    drive(started(plan, log), slots=2, seed=0)
    for cell in plan.cells:
        first = next(
            e for e in log if isinstance(e, Suggested) and (e.method, e.protocol) == (cell.method, cell.protocol.name)
        )
        assert first.config == cell.config.model_dump(mode="json")


def test_the_confirmed_configuration_is_that_of_the_best_finished_search_trial(plan: Plan) -> None:
    log: list[Event] = []
    coordinator = started(plan, log)
    drive(coordinator, slots=4, seed=3)
    for cell in plan.cells:
        records = [
            r for r in coordinator.records.values() if (r.method, r.protocol) == (cell.method, cell.protocol.name)
        ]
        finished = [r for r in records if r.stage == "search" and r.status == "done"]
        best = max(finished, key=lambda r: max(value_of(r.id, step) for step in r.steps))
        assert all(r.config == best.config for r in records if r.stage == "confirm")


@pytest.mark.parametrize("seed", range(6))
def test_a_log_cut_anywhere_gives_back_the_same_state_and_the_sweep_completes(plan: Plan, seed: int) -> None:
    whole: list[Event] = []
    drive(started(plan, whole), slots=2, seed=seed)
    cut = random.Random(seed).randrange(len(whole))
    log = whole[:cut]
    coordinator = Coordinator(plan, log.append)
    coordinator.replay(whole[:cut])
    ended_before = {trial for trial, record in coordinator.records.items() if record.status in ENDED}
    coordinator.close_finished_searches()
    drive(coordinator, slots=2, seed=seed + 1)
    assert coordinator.finished
    suggested = [event.trial for event in log if isinstance(event, Suggested)]
    assert len(suggested) == len(set(suggested)) == 40
    reported = [event for event in log[cut:] if getattr(event, "trial", None) in ended_before]
    assert not [event for event in reported if not isinstance(event, Won)], "an ended trial was trained again"
    again = Coordinator(plan, lambda event: pytest.fail(f"replaying logged {event}"))
    again.replay(log)
    assert again.records == coordinator.records


def test_with_fifo_the_end_does_not_depend_on_order_slots_or_kills(table: FaceIndex) -> None:
    plan = plan_of(SWEEP, table, "scheduler=fifo")
    calm: list[Event] = []
    first = started(plan, calm)
    drive(first, slots=1, seed=0)
    log: list[Event] = []
    for kill in range(10):
        drive(started(plan, log), slots=3, seed=kill, events=7)
    last = started(plan, log)
    drive(last, slots=2, seed=99)

    def results(coordinator: Coordinator) -> dict[str, Sequence[tuple[int, float]]]:
        return {
            trial: [(reading.step, reading.source_dev_auc) for reading in record.readings]
            for trial, record in coordinator.records.items()
        }

    assert results(first) == results(last)


def test_each_cell_takes_the_decisions_that_it_takes_when_swept_alone(table: FaceIndex) -> None:
    """Cells of unequal difficulty: the same arrivals give the same decisions, whoever else is there."""
    together: list[Event] = []
    plan = plan_of(SWEEP, table)

    def unequal(trial: str, step: int) -> float:
        cell = names[trial]
        return value_of(trial, step) / 2 + (0.5 if cell.endswith("M") else 0.0)

    names: dict[str, str] = {}
    coordinator = Coordinator(plan, together.append)
    coordinator.close_finished_searches()
    original = coordinator.next_assignment

    def remembering() -> object:
        assignment = original()
        if assignment is not None:
            names[assignment.trial.id] = assignment.cell.name
        return assignment

    coordinator.next_assignment = remembering  # type: ignore[assignment,method-assign]
    drive(coordinator, slots=4, seed=5, value=unequal)
    for cell in plan.cells:
        alone = plan_of(SWEEP, table, f"protocols=['{cell.protocol.name}']")
        scheduler = alone.scheduler(next(c for c in alone.cells if c.method == cell.method), "search")
        for event in together:
            if event.event == "suggested" and event.stage == "search" and names[event.trial] == cell.name:
                scheduler.suggest(event.trial)
            if event.event == "reported" and names[event.trial] == cell.name:
                record = coordinator.records[event.trial]
                if record.stage == "search":
                    assert scheduler.report(event.trial, event.step, event.source_dev_auc) == event.decision


def test_slots_are_shared_fairly_between_cells(plan: Plan) -> None:
    coordinator = started(plan, [])
    handed = [coordinator.next_assignment() for _ in range(16)]
    per_cell = [a.cell.name for a in handed if a is not None]
    assert {per_cell.count(cell.name) for cell in plan.cells} == {2}


def test_a_late_duplicate_result_changes_nothing(plan: Plan) -> None:
    log: list[Event] = []
    coordinator = started(plan, log)
    assignment = coordinator.next_assignment()
    assert assignment is not None
    assert coordinator.report(assignment.trial.id, made_reading(4, 0.9, 0.1, 1.0)) == "continue"
    length = len(log)
    assert coordinator.report(assignment.trial.id, made_reading(4, 0.1, 0.9, 1.0)) == "continue"
    assert len(log) == length


def test_a_diverged_trial_is_no_winner_and_the_sweep_goes_on(plan: Plan) -> None:
    coordinator = started(plan, [])
    assignment = coordinator.next_assignment()
    assert assignment is not None
    coordinator.end(assignment.trial.id, "diverged", "loss is not finite")
    drive(coordinator, slots=2, seed=0)
    assert coordinator.finished
    confirmed = [r for r in coordinator.records.values() if r.stage == "confirm" and r.method == assignment.cell.method]
    assert all(r.config != dict(assignment.trial.config) for r in confirmed if r.protocol == assignment.trial.protocol)


def test_a_cell_whose_search_failed_altogether_is_named_and_retried_by_the_next_driver(plan: Plan) -> None:
    log: list[Event] = []
    coordinator = started(plan, log)
    broken = plan.cells[0]
    while (assignment := coordinator.next_assignment()) is not None:
        if assignment.cell == broken and assignment.stage == "search":
            coordinator.end(assignment.trial.id, "failed", "its process ended")
        else:
            coordinator.report(assignment.trial.id, made_reading(16, 0.9, 0.1, 1.0))
    assert coordinator.finished
    assert [cell.name for cell in coordinator.cells_without_winner()] == [broken.name]


def test_a_failed_confirming_run_is_taken_up_by_the_next_driver(plan: Plan) -> None:
    log: list[Event] = []
    coordinator = started(plan, log)
    failed = ""
    while (assignment := coordinator.next_assignment()) is not None:
        if assignment.stage == "confirm" and not failed:
            failed = assignment.trial.id
            coordinator.end(failed, "failed", "its process ended")
        else:
            coordinator.report(assignment.trial.id, made_reading(16, 0.9, 0.1, 1.0))
    following = started(plan, log)
    assert following.finished
    following.retry_failed()
    assert not following.finished
    retried = following.next_assignment()
    assert retried is not None
    assert retried.trial.id == failed


def test_a_forged_decision_in_the_log_is_refused(plan: Plan) -> None:
    log: list[Event] = []
    drive(started(plan, log), slots=2, seed=0)
    where = next(n for n, event in enumerate(log) if event.event == "reported" and event.decision == "stop")
    log[where] = log[where].model_copy(update={"decision": "continue"})
    with pytest.raises(DataError, match="the log says 'continue'"):
        Coordinator(plan, log.append).replay(list(log))


def test_a_single_setting_is_confirmed_without_a_search(table: FaceIndex) -> None:
    plan = plan_of(SWEEP, table, "methods={erm: {space: {}}}")
    log: list[Event] = []
    coordinator = started(plan, log)
    drive(coordinator, slots=2, seed=0)
    assert {record.stage for record in coordinator.records.values()} == {"confirm"}
    assert len(coordinator.records) == 4 * 2


ABLATIONS = "methods.erm.ablations={no decay: {weight_decay: 0}, as it is: {momentum: 0.9}}"


def test_the_winner_is_confirmed_once_more_for_each_ablation_with_the_same_seeds(table: FaceIndex) -> None:
    plan = plan_of(SWEEP, table, ABLATIONS)
    coordinator = started(plan, [])
    drive(coordinator, slots=3, seed=0)
    records = [r for r in coordinator.records.values() if (r.method, r.stage) == ("erm", "confirm")]
    for protocol in {record.protocol for record in records}:
        of_cell = {(r.variant, r.seed): r for r in records if r.protocol == protocol}
        assert set(of_cell) == {("", 0), ("", 1), ("no decay", 0), ("no decay", 1)}  # one changed nothing
        for seed in (0, 1):
            whole, ablated = of_cell["", seed], of_cell["no decay", seed]
            assert ablated.config == {**whole.config, "weight_decay": 0}
            assert whole.config["weight_decay"] > 0


def test_progress_counts_the_runs_that_there_are(table: FaceIndex) -> None:
    """An ablation that changes nothing is planned for, then not run; nothing must seem to be left of it."""
    coordinator = started(plan_of(SWEEP, table, ABLATIONS), [])
    assert snapshot(coordinator, 1).trials == 8 * (3 + 2) + 4 * 2 * 2
    drive(coordinator, slots=3, seed=0)
    done = snapshot(coordinator, 1)
    assert done.trials == done.done + done.stopped == 8 * (3 + 2) + 4 * 2
    assert (done.cells_done, done.seconds_left) == (8, 0)


def test_a_log_with_ablations_gives_back_the_same_state(table: FaceIndex) -> None:
    log: list[Event] = []
    drive(started(plan_of(SWEEP, table, ABLATIONS), log), slots=3, seed=0, events=70)
    resumed = started(plan_of(SWEEP, table, ABLATIONS), log)
    drive(resumed, slots=2, seed=1)
    assert resumed.finished
    assert sum(record.variant == "no decay" for record in resumed.records.values()) == 4 * 2


def test_a_sweep_without_ablations_keeps_the_hash_of_before_there_were_any(table: FaceIndex) -> None:
    assert "ablations" not in str(plan_of(SWEEP, table).spec.identity())


def test_cells_with_too_few_domains_are_refused_when_the_sweep_is_planned(table: FaceIndex) -> None:
    with pytest.raises(ProtocolError, match="safas needs at least 2 source domains, O->C has 1") as error:
        plan_of(SWEEP, table, "protocols=['O->C', 'ocim']")
    assert error.value.exit_code == 4


def test_a_rung_before_a_methods_own_mechanism_is_refused(table: FaceIndex) -> None:
    with pytest.raises(SpecError, match="before safas's own mechanisms have started") as error:
        plan_of(SWEEP, table, "methods={safas: {config: {align_from: 0.5}}}")
    assert "grace" in error.value.remedy


def test_no_winner_among_trials_that_were_stopped_early(plan: Plan) -> None:
    coordinator = started(plan, [])
    drive(coordinator, slots=1, seed=0)
    stopped = [record for record in coordinator.records.values() if record.status == "stopped"]
    assert stopped
    assert winner(stopped) is None


def test_a_subject_in_two_splits_is_refused() -> None:
    table = make_table()
    split = table.split.copy()
    split[0] = "test" if split[0] == "train" else "train"
    columns = {**table.columns(), "split": split}
    with pytest.raises(DataError, match="O000"):
        plan_of(SWEEP, FaceIndex(**columns))


def test_a_domain_with_one_class_only_is_refused() -> None:
    table = make_table()
    rows = [n for n in range(len(table)) if not (table.domain[n] == "C" and table.label[n] == 1)]
    import numpy as np

    with pytest.raises(DataError, match="C"):
        plan_of(SWEEP, table.take(np.array(rows)))
