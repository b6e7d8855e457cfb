"""Protocols with the same sources train once, and search trials do not see the target."""

from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sweep_fixtures import SWEEP, plan_of
from trained_runs import SWEEP as TRAINED
from trained_runs import TrainedRun, fill_pool, train_run

import fasray
from fasray.errors import ProtocolError, SpecError
from fasray.execution.messages import TrialOrder
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import FacePool
from fasray.protocols import parse, part_names, resolve, with_same_sources
from fasray.results.audit.provenance import trace
from fasray.results.audit.verify import verify_run
from fasray.results.frame import compute_results, offered
from fasray.results.listings import evaluations_frame
from fasray.results.report import render_report
from fasray.runs.layout import trial_folder
from fasray.runs.record import read_run
from fasray.sweep.auto import resolve_auto
from fasray.sweep.retrain import read_trial
from fasray.sweep.sweep_file import parse_sweep
from fasray.training.context import Context
from fasray.training.loop import train

GROUPED = "[O->C, O->I, O->M]"


def test_single_source_is_four_cells_of_three_rows_and_limited_source_one_of_two(table: FaceIndex) -> None:
    single = plan_of(SWEEP, table, "protocols=[single-source]", "methods={erm: {}}")
    assert [cell.protocol.name for cell in single.cells] == ["O->C,I,M", "C->O,I,M", "I->O,C,M", "M->O,C,I"]
    assert (single.search_trials, single.confirm_trials, single.rows) == (4 * 3, 4 * 2, 12)
    limited = plan_of(SWEEP, table, "protocols=[limited-source]", "methods={erm: {}}")
    assert [cell.protocol.name for cell in limited.cells] == ["M&I->C,O"]
    assert (limited.search_trials, limited.confirm_trials, limited.rows) == (3, 2, 2)
    per_cell = plan_of(SWEEP, table, "protocols=[single-source]", "methods={erm: {}}", "search.per=cell")
    assert (len(per_cell.cells), per_cell.search_trials) == (12, 36)


def test_the_same_trial_whatever_is_judged_with_it(table: FaceIndex) -> None:
    def points(protocols: str) -> list[object]:
        plan = plan_of(SWEEP, table, f"protocols={protocols}", "methods={erm: {}}")
        (cell,) = plan.cells
        ids = [plan.trial(cell, cell.configuration(point), seed).id for point in cell.points for seed in (100, 0, 1)]
        return [cell.points, ids]

    assert points("[O->C]") == points("[O->M]") == points(GROUPED) == points('["O->M,C"]')
    assert points("[O->C]") != points("[C->O]")


def test_names_of_several_targets_mean_their_protocols() -> None:
    wanted = resolve(["O->C,I", "O->M", "O->I", "C&I->O"], "OCIM")
    assert [protocol.name for protocol in wanted] == ["O->C", "O->I", "O->M", "C&I->O"]
    joined, other = with_same_sources(wanted)
    assert (joined.name, other.name) == ("O->C,I,M", "C&I->O")
    assert parse(joined.name) == joined
    assert [part.name for part in joined.parts] == list(part_names(joined.name)) == ["O->C", "O->I", "O->M"]
    assert [part.group for part in wanted] == ["single-source"] * 3 + ["custom"]
    with pytest.raises(ProtocolError, match="names a target twice"):
        parse("O->C,C")
    with pytest.raises(ProtocolError, match="the target 'O' is among its sources"):
        parse("O->C,O")
    with pytest.raises(SpecError, match="is no domain's name"):
        parse("O->C,")


def test_oulu_runs_never_share(table: FaceIndex) -> None:
    names = ["oulu-npu-3.1", "oulu-npu-3.2", "oulu-npu-1"]
    assert [protocol.name for protocol in with_same_sources([parse(name) for name in names])] == names


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train_run(tmp_path_factory.mktemp("together"), TRAINED.replace("[O->C]", GROUPED), domains="OCIM")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train_run(tmp_path_factory.mktemp("alone"), TRAINED.replace("[O->C]", "[O->I]"), domains="OCIM")


def test_each_row_is_that_of_the_protocol_swept_alone(together: TrainedRun, alone: TrainedRun) -> None:
    whole, single = fasray.load_results(str(together.run)), fasray.load_results(str(alone.run))
    assert sorted(set(whole["protocol"])) == ["O->C", "O->I", "O->M"]
    assert Counter(whole["protocol"]) == dict.fromkeys(("O->C", "O->I", "O->M"), len(single))
    of_it = whole[whole["protocol"] == "O->I"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_it, single, check_exact=True)
    assert whole.drop_duplicates("hter").shape[0] > len(set(single["hter"])), "other targets, other figures"


def test_inner_trials_serve_all_targets_too(tmp_path: Path, together: TrainedRun) -> None:
    """Each source domain is left out once, whatever the number of targets; the rule has the rows of each alone."""
    text = TRAINED.replace("seeds: [0, 1]", "seeds: [0], leave_one_source_out: true")
    runs = [
        train_run(tmp_path / f"{number}", text.replace("[O->C]", protocols), domains="OCIM", data=together.data).run
        for number, protocols in enumerate(("[M&I->C, M&I->O]", "[M&I->O]"))
    ]
    whole, single = (fasray.load_results(str(run), ["leave-one-source-out"]) for run in runs)
    pd.testing.assert_frame_equal(whole[whole["protocol"] == "M&I->O"].reset_index(drop=True), single, check_exact=True)
    assert set(whole["protocol"]) == {"M&I->C", "M&I->O"}
    inner = [trial.protocol for trial in read_run(str(runs[0])).trials if trial.stage == "inner"]
    assert inner == ["M&I->C,O/M", "M&I->C,O/I"]
    assert verify_run(read_run(str(runs[0]))).findings == ()


def test_two_search_trials_and_two_confirming_ones_serve_three_protocols(together: TrainedRun) -> None:
    trials = fasray.load_trials(str(together.run))
    assert list(trials["stage"]) == ["search", "search", "confirm", "confirm"]
    assert set(trials["protocol"]) == {"O->C,I,M"}
    record = read_run(str(together.run))
    assert verify_run(record).findings == ()
    traced = trace(record, "erm", "O->M")
    frame = fasray.load_results(str(together.run), ["source-dev"])
    (row,) = frame[(frame["protocol"] == "O->M") & (frame["level"] == "video")].to_dict("records")
    assert traced.hter == row["hter"]
    assert np.mean([source.hter for source in traced.sources]) == pytest.approx(row["hter"], abs=1e-12)
    assert {source.search_trial for source in traced.sources} <= set(trials["trial"][:2])


def test_files_of_search_trials_have_no_row_of_a_target(together: TrainedRun) -> None:
    record = read_run(str(together.run))
    roles = {"search": {"source-dev"}, "confirm": {"source-dev", "target:O->C", "target:O->I", "target:O->M"}}
    for trial in record.trials:
        for step in trial.steps:
            rows = pd.read_parquet(record.score_uri(trial.id, step))
            assert set(rows["role"]) == roles[trial.stage]
            assert set(rows[rows["role"] == "target:O->M"]["domain"]) <= {"M"}
    evaluations = evaluations_frame(record)
    assert evaluations[evaluations["stage"] == "search"]["target_hter"].isna().all()
    assert evaluations[evaluations["stage"] == "confirm"]["target_hter"].notna().all()
    assert list(evaluations[evaluations["stage"] == "confirm"]["protocol"].unique()) == ["O->C", "O->I", "O->M"]


def test_tables_and_report_say_what_is_not_there(together: TrainedRun) -> None:
    record = read_run(str(together.run))
    assert "oracle-search" not in set(fasray.load_results(str(together.run))["selection"])
    with pytest.raises(SpecError, match="oracle-search needs target scores of search trials"):
        fasray.load_results(str(together.run), ["oracle-search"])
    page = render_report(record, compute_results(record, offered(record)))
    assert "search trials did not score the target" in page
    assert page.count("<bdi>O-&gt;M</bdi>") >= 1


def test_a_poisoned_target_changes_no_search_trial(tmp_path: Path, together: TrainedRun) -> None:
    """The crops of all targets are noise in one run; its search is the same to the last bit, its tables are not."""

    def scores(run: TrainedRun, stage: str) -> list[np.ndarray]:
        record = read_run(str(run.run))
        files = [record.score_uri(t.id, step) for t in record.trials if t.stage == stage for step in t.steps]
        return [pd.read_parquet(file)["score"].to_numpy() for file in files]

    poisoned = train_run(
        tmp_path, TRAINED.replace("[O->C]", GROUPED), domains="OCIM", data=together.data, poisoned="CIM"
    )
    assert all(map(np.array_equal, scores(poisoned, "search"), scores(together, "search")))
    assert not any(map(np.array_equal, scores(poisoned, "confirm"), scores(together, "confirm")))


@dataclass(frozen=True)
class Counted(FacePool):
    """Notes the rows of which pixels are taken."""

    picked: set[int] = field(default_factory=set)

    def pick(self, rows: NDArray[np.int64], **options: Any) -> Any:
        self.picked.update(rows.tolist())
        return super().pick(rows, **options)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_search_trial_takes_no_pixel_of_a_target(tmp_path: Path, together: TrainedRun, sealed: bool) -> None:
    record = read_run(str(together.run))
    pool = fill_pool(together.data, tmp_path)
    counted = Counted(**{each.name: getattr(pool, each.name) for each in fields(pool)})
    trial = read_trial(f"{trial_folder(record.uri, record.trials[0].id)}/spec.json")
    order = TrialOrder(trial, "", "", "", "train+test", -1, score_target=not sealed)
    context = Context(str(tmp_path / "trial"), seed=trial.seed, total_steps=trial.training.steps)
    train(trial, counted, order.roles(counted.index), context)
    seen = set(counted.index.domain[sorted(counted.picked)])
    assert seen == ({"O"} if sealed else {"O", "C", "I", "M"})


def test_score_target_brings_oracle_search_back(tmp_path: Path) -> None:
    text = TRAINED.replace("seed: 100}}", "seed: 100, score_target: true}}")
    frame = fasray.load_results(str(train_run(tmp_path, text).run))
    assert "oracle-search" in set(frame["selection"])


def test_what_was_noted_before_there_was_a_choice_keeps_its_ways() -> None:
    spec = parse_sweep(SWEEP)
    recorded = parse_sweep(SWEEP, overrides=["search.per=cell", "search.score_target=true"]).identity()
    assert not {"per", "score_target"} & set(recorded["search"])
    resolved = resolve_auto(spec, has_gpus=False, environ={}, recorded=recorded)
    assert resolved.spec.identity() == recorded
    assert (resolved.spec.search.per, resolved.spec.search.score_target) == ("cell", True)
    assert any("search.score_target: true" in choice for choice in resolved.choices)
