"""``leave-one-source-out`` picks what a brute-force reading of its definition picks, from inner trials alone."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from score_runs import MadeTrial, make_run, score_path, score_table, write_scores
from sklearn.metrics import roc_auc_score
from trained_runs import SWEEP, TrainedRun, train_run

import fasray
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.metrics import eer
from fasray.results.audit.verify import verify_run
from fasray.results.digests import LeftOutDigest, TrialDigests
from fasray.results.frame import compute_results, offered, results_frame
from fasray.results.leave_one_out import inner_trials
from fasray.results.listings import scores_frame
from fasray.results.load import write_derived
from fasray.results.report import render_report
from fasray.results.scores import ScoreReader
from fasray.results.selection import PLANNED_SELECTIONS, SELECTIONS, choose
from fasray.results.transfer import thresholds_frame
from fasray.runs.events import Status
from fasray.runs.layout import RESULTS_FILE
from fasray.runs.record import RunRecord, read_run

RULE = "leave-one-source-out"
STEPS = (10, 20, 30)


def made(folder: Path, **changed: Status) -> RunRecord:
    """A cell C&M->I with two confirming runs, each with its inner trials; ``changed`` gives some another status."""
    confirming = [MadeTrial("run0"), MadeTrial("run1", seed=1)]
    inner = []
    for confirmed in confirming:
        for left_out in "CM":
            status = changed.get(f"{confirmed.id}_{left_out}", "done")
            inner.append(
                MadeTrial(
                    f"{confirmed.id}-{left_out}", protocol=f"C&M->I/{left_out}", stage="inner", seed=confirmed.seed,
                    status=status, steps=STEPS if status == "done" else STEPS[:1],
                )
            )  # fmt: skip
    run = make_run(folder, [MadeTrial("search", stage="search", seed=9), *confirming, *inner])
    for trial in inner:
        for number, step in enumerate(trial.steps):
            left_out = trial.protocol[-1]
            gap = 0.02 + 0.07 * ((number + trial.seed) % 3)
            rng = np.random.default_rng([sum(map(ord, trial.id)), step])
            columns = score_table(rng, 0.3, gap, sources="CM".replace(left_out, ""), target=left_out)
            write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    return run


def left_out_videos(folder: Path, name: str, step: int) -> tuple[list[int], list[float]]:
    """Labels and mean scores of the videos of the left-out domain, read without any code of the project."""
    rows = [row for row in pq.read_table(score_path(folder, name, step)).to_pylist() if row["role"] == "target"]
    videos = sorted({row["video"] for row in rows})
    parts = [[row for row in rows if row["video"] == video] for video in videos]
    return [part[0]["label"] for part in parts], [float(np.mean([row["score"] for row in part])) for part in parts]


@pytest.mark.parametrize("seed", [0, 1])
def test_step_and_threshold_are_those_of_the_definition(tmp_path: Path, seed: int) -> None:
    run = made(tmp_path)
    choice = compute_results(run, [RULE], resamples=0).choices[(f"run{seed}", "C&M->I"), RULE]
    inner = [f"run{seed}-C", f"run{seed}-M"]
    means = {step: np.mean([roc_auc_score(*left_out_videos(tmp_path, name, step)) for name in inner]) for step in STEPS}
    assert choice.step == max(STEPS, key=lambda step: (means[step], -step))
    assert len({round(float(mean), 9) for mean in means.values()}) == len(STEPS)
    of_each = [left_out_videos(tmp_path, name, choice.step) for name in inner]
    label, score = (list(chain(*parts)) for parts in zip(*of_each, strict=True))
    far = np.mean([one >= choice.video_threshold for one, kind in zip(score, label, strict=True) if kind == 0])
    frr = np.mean([one < choice.video_threshold for one, kind in zip(score, label, strict=True) if kind == 1])
    assert abs(far - frr) <= 1 / 12 + 1e-12
    assert choice.video_threshold == pytest.approx(eer(np.array(score), np.array(label)).threshold, abs=1e-12)
    assert (choice.threshold_rule, choice.oracle) == ("left-out-eer", False)


def test_both_are_applied_to_the_targets_scores_of_the_confirming_run(tmp_path: Path) -> None:
    run = made(tmp_path)
    frame = results_frame(run, [RULE])
    row = frame[frame["level"] == "video"].iloc[0]
    assert row["trials"] == ["run0", "run1"]
    hters = []
    for name, step, threshold in zip(row["trials"], row["steps"], row["thresholds"], strict=True):
        label, score = left_out_videos(tmp_path, name, step)  # of a confirming run: the target
        attack = [one >= threshold for one, kind in zip(score, label, strict=True) if kind == 0]
        live = [one < threshold for one, kind in zip(score, label, strict=True) if kind == 1]
        hters.append((np.mean(attack) + np.mean(live)) / 2)
    assert row["hter"] == pytest.approx(np.mean(hters), abs=1e-12)
    assert row["optimism_gap"] <= 0


def test_ties_go_to_the_earlier_step() -> None:
    digests = TrialDigests("t", (), (), (LeftOutDigest(3, 0.9, 0.3, 0.3), LeftOutDigest(2, 0.9, 0.2, 0.2)))
    assert choose(RULE, digests).step == 2


def test_the_other_rules_do_not_see_inner_trials(tmp_path: Path) -> None:
    run = made(tmp_path)
    without = run.subset([trial.id for trial in run.trials if trial.stage != "inner"])
    everything = results_frame(run, offered(run))
    pd.testing.assert_frame_equal(
        everything[everything["selection"] != RULE].reset_index(drop=True), results_frame(without)
    )
    assert offered(run) == (*SELECTIONS, *PLANNED_SELECTIONS)
    assert offered(without) == tuple(SELECTIONS)


def test_a_run_that_planned_none_refuses_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, [MadeTrial("run0")])
    with pytest.raises(SpecError, match="leave_one_source_out: true"):
        results_frame(run, [RULE])


@pytest.mark.parametrize(("status", "failed"), [("running", 0), ("failed", 1), ("diverged", 1)])
def test_a_run_is_judged_only_if_all_of_its_inner_trials_are_done(tmp_path: Path, status: Status, failed: int) -> None:
    run = made(tmp_path, run1_M=status)
    frame = results_frame(run, [RULE, "source-dev"])
    rows = frame[frame["level"] == "video"].set_index("selection")
    assert rows["trials"][RULE] == ["run0"]
    assert rows["n_failed"][RULE] == failed
    assert rows["n_seeds"]["source-dev"] == 2
    assert rows["n_failed"]["source-dev"] == 0
    with pytest.raises(DataError, match="have not all reached"):
        scores_frame(run, RULE, ["run1"])
    assert set(scores_frame(run, RULE, ["run0"])["step"]) == set(rows["steps"][RULE])
    assert set(thresholds_frame(run, RULE)["n_seeds"]) == {1}


def test_inner_trials_of_other_cells_seeds_and_ablations_are_not_its_own(tmp_path: Path) -> None:
    run = made(tmp_path)
    run0, inner = run.trials[1], [trial for trial in run.trials if trial.stage == "inner"]
    others = [replace(inner[0], id="x", variant="ablated"), replace(inner[0], id="y", protocol="C&M->O/C")]
    assert [trial.id for trial in inner_trials([*inner, *others], run0).trials] == ["run0-C", "run0-M"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    text = SWEEP.replace("[O->C]", "[O&C->M]").replace("seeds: [0, 1]", "seeds: [0, 1], leave_one_source_out: true")
    found = train_run(tmp_path_factory.mktemp("inner"), text, domains="OCM")
    write_derived(str(found.run), renew=True)
    return found


def command(run: TrainedRun, *arguments: str) -> Result:
    return CliRunner(env=run.env).invoke(cli, list(arguments), catch_exceptions=False, standalone_mode=False)


def test_a_trained_sweep_offers_it_everywhere(trained: TrainedRun) -> None:
    run = str(trained.run)
    frame = fasray.load_results(run)
    assert set(frame["selection"]) == {*SELECTIONS, RULE} - {"oracle-search"}
    stored = pd.read_parquet(trained.run / RESULTS_FILE)
    assert set(stored["selection"]) == {*SELECTIONS, RULE} - {"oracle-search"}
    shown = command(trained, "results", run, "--select", RULE)
    assert "leave-one-source-out: step of the best mean AUC on a left-out source domain" in shown.output
    assert "Step and threshold chosen on source domains only." in shown.output
    trials = fasray.load_trials(run)
    assert list(trials["stage"]) == ["search"] * 2 + ["confirm"] * 2 + ["inner"] * 4
    assert set(trials["protocol"][trials["stage"] == "inner"]) == {"O&C->M/O", "O&C->M/C"}
    page = render_report(read_run(run))
    assert "inner" in page
    assert "O&amp;C-&gt;M/O" not in page  # no cells of their own


def test_no_row_of_the_target_is_in_the_score_file_of_an_inner_trial(trained: TrainedRun) -> None:
    record = read_run(str(trained.run))
    inner = [trial for trial in record.trials if trial.stage == "inner"]
    for trial in inner:
        for step in trial.steps:
            evaluation = ScoreReader().read(record.score_uri(trial.id, step))
            assert set(evaluation.source_dev.domain) | set(evaluation.target.domain) == {"O", "C"}
            assert set(evaluation.target.domain) == {trial.protocol[-1]}


def test_why_names_the_inner_trials_and_how_to_train_them_again(trained: TrainedRun) -> None:
    run = str(trained.run)
    found = json.loads(command(trained, "why", run, "erm", "O&C->M", "--select", RULE, "--format", "json").output)
    assert [[each["left_out"] for each in source["inner"]] for source in found["sources"]] == [["O", "C"]] * 2
    for source in found["sources"]:
        for inner in source["inner"]:
            assert (inner["step"], inner["threshold"]) == (source["step"], source["threshold"])
            assert inner["score_record"] == "as recorded"
    text = command(trained, "why", run, "erm", "O&C->M", "--select", RULE).output
    assert text.count(", without O, which judges it") == 2
    assert text.count("fasray train --spec") == 6
    plain = json.loads(command(trained, "why", run, "erm", "O&C->M", "--format", "json").output)
    assert all(source["inner"] == [] for source in plain["sources"])
    assert inner_again(trained, text.strip().splitlines()[-1])


def inner_again(trained: TrainedRun, line: str) -> bool:
    """Whether a command of ``why`` is about an inner trial of this run, and plans that very trial."""
    from fasray.faces.data_source import resolve_dataset
    from fasray.sweep.plan import make_plan
    from fasray.sweep.retrain import check_same, read_trial, sweep_of

    words = shlex.split(line)
    wanted = read_trial(words[words.index("--spec") + 1])
    spec = sweep_of(wanted, str(trained.data))
    dataset = resolve_dataset(spec.data)
    plan = make_plan(spec, dataset.manifest.hash, dataset.index)
    check_same(wanted, plan.trial(plan.cells[0], plan.cells[0].config.model_dump(mode="json"), wanted.seed))
    return "/" in wanted.protocol


def test_verify_computes_it_again_and_sees_a_changed_inner_score(trained: TrainedRun, tmp_path: Path) -> None:
    shutil.copytree(trained.run, tmp_path / "run")
    run = tmp_path / "run"
    assert not verify_run(read_run(str(run))).findings
    (inner, *_) = [trial for trial in read_run(str(run)).trials if trial.stage == "inner"]
    for step in inner.steps:
        path = run / "trials" / inner.id / f"eval-{step:08d}.parquet"
        table = pq.read_table(path)
        columns = table.to_pydict()
        columns["score"] = [
            1 - score if role == "target" else score
            for score, role in zip(columns["score"], columns["role"], strict=True)
        ]
        pq.write_table(type(table).from_pydict(columns, schema=table.schema), path)
    found = verify_run(read_run(str(run))).findings
    assert {finding.where for finding in found} == {
        f"trials/{inner.id}/eval-{step:08d}.parquet" for step in inner.steps
    }
    assert all("SHA-256 differs" in finding.what for finding in found)
    (run / "trials" / inner.id / "files.json").unlink()
    found = verify_run(read_run(str(run))).findings
    assert found
    assert all(RULE in finding.what for finding in found)
