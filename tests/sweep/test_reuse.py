"""Trials of other runs are taken over: what they cost, what they give, and what is refused."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from object_store import BUCKET, ObjectStore
from small_sweeps import environment
from sweep_fixtures import SWEEP, made_reading, plan_of, value_of
from trained_runs import TrainedRun, train_run

import fasray
from fasray import storage
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.results.audit.provenance import trace
from fasray.results.audit.verify import verify_run
from fasray.results.load import write_derived
from fasray.runs.record import read_run
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.reuse import OtherRuns
from fasray.sweep.search import Point, Searcher, Tried

BASE = """
name: base
data: {data}
protocols: [O&C->M]
methods:
  erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.1]}}}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 101}}
scheduler: {{asha: {{grace: 0.5, reduction: 2}}}}
confirm: {{seeds: [0, 1]}}
training: {{profile: full, image_size: 32, width: 0.125, steps: 4, evaluations: 4, images: 2}}
"""
MORE = (
    BASE.replace("name: base", "name: more")
    .replace("[O&C->M]", "[O&C->M, O&M->C]")
    .replace("per_cell: 2", "per_cell: 6")
    .replace("seeds: [0, 1]", "seeds: [0, 1, 2]")
    .replace("methods:", "methods:\n  safas: {{space: {{}}}}")
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return train_run(tmp_path_factory.mktemp("base"), BASE, domains="OCM")


@pytest.fixture(scope="module")
def afresh(tmp_path_factory: pytest.TempPathFactory, base: TrainedRun) -> TrainedRun:
    return train_run(tmp_path_factory.mktemp("afresh"), MORE, data=base.data)


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory, base: TrainedRun) -> TrainedRun:
    return train_run(tmp_path_factory.mktemp("added"), MORE, data=base.data, reuse=[base.run])


def test_a_seed_a_method_a_protocol_and_four_search_trials_more_train_these_alone(
    base: TrainedRun, afresh: TrainedRun, added: TrainedRun
) -> None:
    ended = {trial.id: len(trial.paid) for trial in read_run(str(base.run)).trials}
    again = [trial for trial in added.trained if trial in ended]
    whole = {trial.id: trial.steps for trial in read_run(str(afresh.run)).trials}
    assert all(ended[trial] < 4 for trial in again), "only what was stopped early goes on"
    assert set(added.trained) == (set(afresh.trained) - set(ended)) | set(again)
    assert len(set(whole) & set(ended)) >= 2, "the search trials; the winner may be another one of more"
    assert {trial.id: trial.steps for trial in read_run(str(added.run)).trials} == whole
    pd.testing.assert_frame_equal(
        fasray.load_results(str(added.run)), fasray.load_results(str(afresh.run)), check_exact=True
    )
    for trial, steps in whole.items():
        for step in steps:
            of_both = [Path(read_run(str(run.run)).score_uri(trial, step)).read_bytes() for run in (added, afresh)]
            assert of_both[0] == of_both[1]
    assert verify_run(read_run(str(added.run))).findings == ()


def test_what_was_taken_over_costs_nothing_and_names_its_origin(base: TrainedRun, added: TrainedRun) -> None:
    trials = fasray.load_trials(str(added.run)).set_index("trial")
    taken = trials[trials["origin"] == "base"]
    assert set(taken.index) == set(trials.index) & {trial.id for trial in read_run(str(base.run)).trials}
    assert (taken["seconds"] == 0).all()
    traced = trace(read_run(str(added.run)), "erm", "O&C->M")
    by_trial = {source.trial: source.taken_over for source in traced.sources}
    assert all(bool(origin) == (trial in taken.index) for trial, origin in by_trial.items())
    text = f"from run base, specification {read_run(str(base.run)).spec_hash}, fasray {fasray.__version__}, torch 2."
    assert all(origin.startswith(text) for origin in by_trial.values() if origin)


def test_one_more_seed_is_one_more_training(tmp_path: Path, base: TrainedRun) -> None:
    more = train_run(tmp_path, BASE.replace("[0, 1]", "[0, 1, 2]"), data=base.data, reuse=[base.run])
    assert len(more.trained) == 1


def test_a_trial_that_was_stopped_goes_on_where_the_new_sweep_wants_it_whole(tmp_path: Path, base: TrainedRun) -> None:
    (stopped,) = (trial for trial in read_run(str(base.run)).trials if trial.status == "stopped")
    text = BASE.replace("{{asha: {{grace: 0.5, reduction: 2}}}}", "fifo")
    whole = train_run(tmp_path / "whole", text, data=base.data)
    more = train_run(tmp_path / "more", text, data=base.data, reuse=[base.run])
    assert more.trained[0] == stopped.id
    pd.testing.assert_frame_equal(
        fasray.load_results(str(more.run)), fasray.load_results(str(whole.run)), check_exact=True
    )


def test_chains_name_the_first_run_and_those_on_the_way(tmp_path: Path, base: TrainedRun) -> None:
    second = train_run(tmp_path / "2", BASE.replace("name: base", "name: second"), data=base.data, reuse=[base.run])
    third = train_run(tmp_path / "3", BASE.replace("name: base", "name: third"), data=base.data, reuse=[second.run])
    assert second.trained == third.trained == ()
    origins = {trial.origin and (trial.origin.run, trial.origin.via) for trial in read_run(str(third.run)).trials}
    assert origins == {("base", ("second",))}
    pd.testing.assert_frame_equal(
        fasray.load_results(str(third.run)), fasray.load_results(str(base.run)), check_exact=True
    )


def _cut_score(trial: Path) -> Path:
    path = max(trial.glob("eval-*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    return path


def _cut_weights(trial: Path) -> Path:
    path = max(path for path in (trial / "checkpoint").glob("*.safetensors") if "optimizer" not in path.name)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    return path


def _no_record(trial: Path) -> Path:
    (trial / "files.json").unlink()
    return trial


def _other_log(trial: Path) -> Path:
    path = trial.parents[1] / "events.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["event"] == "reported" and line["trial"] == trial.name:
            line["source_dev_auc"] = 0.123
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return trial / "eval-"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cut_score, "has changed since it was written"),
        (_cut_weights, "has changed since it was written"),
        (_no_record, "nothing is on record of its files"),
        (_other_log, "has source-dev AUC 0.123"),
    ],
)
def test_a_trial_whose_files_were_changed_is_refused_by_name(
    tmp_path: Path, base: TrainedRun, spoil: Callable[[Path], Path], says: str
) -> None:
    other = Path(shutil.copytree(base.run, tmp_path / "other"))
    trial = next(trial.id for trial in read_run(str(other)).trials if trial.stage == "confirm")
    path = spoil(other / "trials" / trial)
    with pytest.raises(DataError, match=f"trial {trial} cannot be taken over.*{says}") as refused:
        train_run(tmp_path / "new", BASE, data=base.data, reuse=[other])
    assert str(path) in str(refused.value)
    assert "leave this run out of --reuse" in refused.value.remedy


def invoke(run: TrainedRun, *arguments: str) -> str:
    environment = {**run.env, "RAY_ADDRESS": "", "CUDA_VISIBLE_DEVICES": ""}
    return CliRunner(env=environment).invoke(cli, list(arguments), catch_exceptions=False, standalone_mode=False).output


def test_commands_plan_and_take_over_a_whole_sweep_without_starting_ray(tmp_path: Path, base: TrainedRun) -> None:
    write_derived(str(base.run), renew=True)
    file, out, run = tmp_path / "sweep.yaml", tmp_path / "out", str(base.run)
    file.write_text(BASE.format(data=base.data).replace("name: base", "name: again"))
    planned = invoke(base, "plan", str(file), "--reuse", run, "--no-gpus")
    assert f"reuse {run}: 4 trials" in planned
    assert "of 4 trials 4 are there already, 0 go on from a checkpoint, 0 are to be trained" in planned
    shown = invoke(base, "sweep", str(file), "--reuse", run, "--out", str(out))
    assert "starting Ray" not in shown
    assert (out / "results.parquet").read_bytes() == (base.run / "results.parquet").read_bytes()
    assert "taken over  from run base" in invoke(base, "why", str(out), "erm", "O&C->M")
    assert "what it has of this sweep is here already" in invoke(
        base, "sweep", str(file), "--reuse", run, "--out", str(out)
    )
    with pytest.raises(SpecError, match="a run cannot take over its own trials"):
        invoke(base, "sweep", str(file), "--reuse", str(out), "--out", str(out))
    with pytest.raises(DataError, match="this is not a run directory"):
        invoke(base, "plan", str(file), "--reuse", str(base.data))


class Counted:
    """A searcher that counts how often it is asked."""

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.asked = searcher, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.searcher, name)

    def next(self, history: Sequence[Tried]) -> Point:
        self.asked += 1
        return self.searcher.next(history)


def test_a_searcher_is_asked_no_more_often_because_other_runs_are_looked_at(base: TrainedRun, table: FaceIndex) -> None:
    plan = plan_of(SWEEP, table, "search.algorithm=hyperopt", "search.trials_per_cell=6", "scheduler=fifo")
    for runs in ([], [read_run(str(base.run))]):
        counted = [Counted(cell.searcher) for cell in plan.cells]
        cells = tuple(replace(cell, searcher=each) for cell, each in zip(plan.cells, counted, strict=True))
        others = OtherRuns(runs, "train+test")
        coordinator = Coordinator(replace(plan, cells=cells), lambda event: None, others)
        while (assignment := coordinator.next_assignment()) is not None:
            for step in assignment.cell.training.evaluation_steps():
                coordinator.report(assignment.trial.id, made_reading(step, value_of(assignment.trial.id, step)))
        assert [each.asked for each in counted] == [(1 + len(runs)) * cell.searches for cell in plan.cells]


def test_a_chain_of_runs_on_a_store(tmp_path: Path, base: TrainedRun) -> None:
    write_derived(str(base.run), renew=True)
    file, runs = tmp_path / "sweep.yaml", [str(base.run), f"s3://{BUCKET}/second", f"s3://{BUCKET}/third"]
    file.write_text(BASE.format(data=base.data))
    with ObjectStore(tmp_path / "store") as store, environment(store.env):
        for before, after in pairwise(runs):
            shown = invoke(base, "sweep", str(file), "--reuse", before, "--out", after)
            assert f"reuse {before}: 4 trials" in shown
        assert storage.read_bytes(f"{runs[-1]}/results.parquet") == (base.run / "results.parquet").read_bytes()
        assert "taken over  from run base" in invoke(base, "why", runs[-1], "erm", "O&C->M")
        assert "everything is as it was written" in invoke(base, "verify", runs[-1])


def test_runs_that_have_nothing_say_why(tmp_path: Path, base: TrainedRun) -> None:
    file, run = tmp_path / "sweep.yaml", str(base.run)
    file.write_text(BASE.format(data=base.data).replace("steps: 4", "steps: 8"))
    planned = invoke(base, "plan", str(file), "--reuse", run, "--no-gpus")
    assert f"reuse {run}: 0 trials; none of its trials has the settings, seed, source domains" in planned
    other = train_run(tmp_path / "other", BASE, subjects=3, domains="OCM")
    planned = invoke(other, "plan", str(other.run / "sweep.yaml"), "--reuse", run, "--no-gpus")
    assert "0 trials; its data has manifest" in planned
