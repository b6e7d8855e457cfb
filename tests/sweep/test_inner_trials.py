"""``confirm.leave_one_source_out``: each confirming run again without each of its sources, planned, logged, resumed."""

from __future__ import annotations

import json
import random
import shlex
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from small_sweeps import place, score_digests, table_of
from sweep_fixtures import SWEEP, made_reading, make_table, plan_of, value_of

from fasray.cli.forecast import describe
from fasray.errors import ProtocolError
from fasray.protocols import outer_name, parse
from fasray.runs.events import EVENTS, Event, Suggested, cell_protocol
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.forecast import forecast
from fasray.sweep.plan import Plan
from fasray.sweep.progress import snapshot
from fasray.sweep.sweep_file import parse_sweep

ASKED = "confirm.leave_one_source_out=true"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(SWEEP, make_table(), ASKED)


def run(plan: Plan, log: list[Event], results: int | None = None, slots: int = 3, seed: int = 0) -> Coordinator:
    """Go on with what the log says until so many results have come, or to the end."""
    coordinator = Coordinator(plan, log.append)
    coordinator.replay(list(log))
    coordinator.close_finished_searches()
    rng = random.Random(seed)
    at: dict[str, int] = {}
    while results is None or results > 0:
        while len(at) < slots and (assignment := coordinator.next_assignment()) is not None:
            at[assignment.trial.id] = assignment.reported_step
        if not at:
            assert coordinator.finished
            break
        trial = rng.choice(sorted(at))
        at[trial] = next(step for step in (4, 8, 12, 16) if step > at[trial])
        if coordinator.report(trial, made_reading(at[trial], value_of(trial, at[trial]))) != "continue":
            del at[trial]
        results = None if results is None else results - 1
    return coordinator


def test_a_sweep_that_does_not_ask_is_the_one_that_it_was() -> None:
    spec = parse_sweep(SWEEP)
    assert "leave_one_source_out" not in spec.canonical()["confirm"]
    assert spec.hash() == parse_sweep(SWEEP, overrides=["confirm.leave_one_source_out=false"]).hash()
    assert spec.hash() != parse_sweep(SWEEP, overrides=[ASKED]).hash()
    assert plan_of(SWEEP, make_table()).inner_trials == 0


def test_every_confirming_run_has_one_for_each_source_with_its_configuration_and_seed(plan: Plan) -> None:
    records = run(plan, []).records.values()
    confirmed = [record for record in records if record.stage == "confirm"]
    inner = [record for record in records if record.stage == "inner"]
    assert len(confirmed) == 16
    assert len(inner) == plan.inner_trials == 48
    assert {record.status for record in inner} == {"done"}
    for record in confirmed:
        own = [
            i for i in inner if (i.method, cell_protocol(i), i.seed) == (record.method, record.protocol, record.seed)
        ]
        assert {parse(each.protocol).target for each in own} == set(parse(record.protocol).sources)
        assert all(each.config == record.config for each in own)


def test_ablations_have_theirs() -> None:
    plan = plan_of(SWEEP, make_table(), ASKED, "methods.safas.ablations={no alignment: {alignment_alpha: 1}}")
    records = list(run(plan, []).records.values())
    inner = [record for record in records if record.stage == "inner" and record.variant]
    assert len(inner) == 4 * 2 * 3
    assert all(record.config["alignment_alpha"] == 1 for record in inner)
    assert len(records) == plan.search_trials + plan.confirm_trials + plan.inner_trials


def test_no_target_is_in_any_of_them(plan: Plan) -> None:
    table = make_table()
    for cell in plan.cells:
        assert len(cell.inner) == 3
        for inner in cell.inner:
            roles = inner.assign(table)
            for rows in (roles.train, roles.source_dev, roles.target):
                assert cell.protocol.target not in set(table.domain[rows])


@pytest.mark.parametrize("results", [1, 60, 150, 170, 200, 260])
def test_a_killed_sweep_goes_on_with_them(plan: Plan, results: int) -> None:
    whole: list[Event] = []
    done = run(plan, whole, slots=1)
    log: list[Event] = []
    run(plan, log, results, slots=1)
    written = [EVENTS.validate_json(EVENTS.dump_json(event)) for event in log]
    assert run(plan, written, slots=1).records == done.records
    ids = [event.trial for event in written if isinstance(event, Suggested)]
    assert len(ids) == len(set(ids)) == len(done.records)


def test_they_come_after_the_confirming_runs_and_are_never_cut(plan: Plan) -> None:
    log: list[Event] = []
    run(plan, log)
    stages: dict[tuple[str, str], list[str]] = {}
    for event in log:
        if isinstance(event, Suggested):
            stages.setdefault((event.method, outer_name(event.protocol)), []).append(event.stage)
    assert all(found == ["search"] * 3 + ["confirm"] * 2 + ["inner"] * 6 for found in stages.values())


def test_a_failed_one_is_taken_up_again(plan: Plan) -> None:
    log: list[Event] = []
    coordinator = Coordinator(plan, log.append)
    while (assignment := coordinator.next_assignment()) is not None:
        trial, failing = assignment.trial.id, assignment.stage == "inner" and not coordinator.failures()
        if failing:
            coordinator.end(trial, "failed", "no room on the disk")
        else:
            for step in (4, 8, 12, 16):
                if coordinator.report(trial, made_reading(step, value_of(trial, step))) != "continue":
                    break
    (failed,) = coordinator.failures()
    again = Coordinator(plan, log.append)
    again.replay(list(log))
    again.retry_failed()
    taken = again.next_assignment()
    assert taken is not None
    assert (taken.trial.id, taken.stage) == (failed.id, "inner")
    assert taken.trial.protocol == failed.protocol


def test_plan_forecast_and_progress_count_them(plan: Plan) -> None:
    assert "48 inner trials (leave-one-source-out)" in describe(plan)
    assert plan.most_steps == (24 + 16 + 48) * 16
    assert forecast(plan, slots=2).trials == 88
    log: list[Event] = []
    before = snapshot(run(plan, log, 40), 2)
    assert before.trials == 88
    after = snapshot(run(plan, log), 2)
    assert (after.trials, after.cells_done, after.seconds_left) == (88, 8, 0)
    assert after.done + after.stopped == 88


def test_a_cell_is_done_only_with_them(plan: Plan) -> None:
    log: list[Event] = []
    run(plan, log, slots=1)
    cut = next(n for n, event in enumerate(log) if isinstance(event, Suggested) and event.stage == "inner")
    coordinator = Coordinator(plan, lambda event: None)
    coordinator.replay(log[:cut])
    assert snapshot(coordinator, 1).cells_done == 0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("protocols=[single-source]", "O->C,I,M: O cannot be left out of O->C,I,M: it is the only source"),
        ("protocols=[O&C&I->M/I]", "it is an inner protocol already"),
        ("methods={rfmeta: {}}", "rfmeta needs at least 2 source domains, M&I->C without one of its sources"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_reason(override: str, says: str) -> None:
    text = SWEEP.replace("[ocim]", "[M&I->C]")
    with pytest.raises(ProtocolError) as refused:
        plan_of(text, make_table(), ASKED, override)
    assert says in str(refused.value)
    assert "leave out confirm.leave_one_source_out" in str(refused.value)


INNER_SWEEP = """
name: inner
data: {data}
protocols: [O&C->I]
methods:
  erm: {{space: {{learning_rate: {{choice: [0.003, 0.03]}}}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 100}}
confirm: {{seeds: [0, 1], leave_one_source_out: true}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 8, evaluations: 4}}
resources: {{max_concurrent: 1}}
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sweep_that_is_killed_among_its_inner_trials_ends_with_the_same_table(
    small_faces: Path, tmp_path: Path
) -> None:
    whole, killed = (place(tmp_path / name, small_faces, INNER_SWEEP) for name in ("whole", "killed"))
    assert whole.drive().code == 0
    with killed.start() as driver:
        driver.until(lambda: sum(e.event == "suggested" and e.stage == "inner" for e in killed.events()) >= 2)
        driver.process.kill()
        driver.process.wait()
    again = killed.drive()
    assert again.code == 0, again.err
    assert_frame_equal(table_of(killed.run_folder), table_of(whole.run_folder))
    assert "leave-one-source-out" in set(table_of(whole.run_folder)["selection"])
    assert {name: digest for name, (digest, _) in score_digests(killed.run_folder).items()} == {
        name: digest for name, (digest, _) in score_digests(whole.run_folder).items()
    }
    assert whole.command("verify", whole.out).code == 0
    told = whole.command("why", whole.out, "erm", "O&C->I", "--select", "leave-one-source-out").out
    command = shlex.split(told.strip().splitlines()[-1])[1:]
    trial = Path(command[2]).parent
    assert "/" in json.loads((trial / "spec.json").read_text())["protocol"]
    trained = whole.command(*command, "--out", str(tmp_path / "again"))
    assert trained.code == 0, trained.err
    for file in trial.glob("eval-*.parquet"):
        (other,) = (tmp_path / "again").rglob(file.name)
        assert other.read_bytes() == file.read_bytes()
