"""Thresholds, calibration and the parts of the optimism gap: from source-dev alone, and they add up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from score_runs import MadeTrial, make_run, score_path, score_table, write_record, write_scores
from sklearn.calibration import calibration_curve

from fasray import metrics
from fasray.cli import cli
from fasray.errors import SpecError
from fasray.metrics.thresholds import choose_threshold
from fasray.results.calibrated import CALIBRATION_COLUMNS, calibration_frame, calibration_grid
from fasray.results.frame import results_frame
from fasray.results.scores import read_scores
from fasray.results.tables.text import DAGGER, MARK, ORACLE_NOTE, to_text
from fasray.results.transfer import (
    GAP_COLUMNS,
    RULES,
    THRESHOLD_COLUMNS,
    gap_frame,
    gap_grid,
    thresholds_frame,
    thresholds_grid,
)
from fasray.runs.record import RunRecord


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    trials = [MadeTrial(f"{method}{seed}", method, seed=seed) for method in ("erm", "ssdg") for seed in range(3)]
    return make_run(tmp_path_factory.mktemp("transfer") / "run", trials)


def test_thresholds_of_source_dev_are_applied_to_the_target(run: RunRecord) -> None:
    frame = thresholds_frame(run, "last")
    assert list(frame.columns) == list(THRESHOLD_COLUMNS)
    assert frame.groupby("method")["threshold_rule"].apply(list).tolist() == [list(RULES)] * 2
    for row in frame.query("method == 'ssdg'").to_dict("records"):
        apcer, bpcer, source = [], [], []
        for seed in range(3):
            found = read_scores(run.score_uri(f"ssdg{seed}", 30))
            dev, target = found.source_dev.videos, found.target.videos
            limit = choose_threshold(row["threshold_rule"], dev.score, dev.label, dev.attack_type)
            of_type = [target.score[target.attack_type == kind] >= limit for kind in ("print", "replay")]
            apcer.append(max(accepted.mean() for accepted in of_type))
            bpcer.append((target.score[target.label == 1] < limit).mean())
            source.append(max((dev.score[dev.attack_type == kind] >= limit).mean() for kind in ("print", "replay")))
        assert (row["apcer"], row["bpcer"]) == pytest.approx((np.mean(apcer), np.mean(bpcer)), abs=1e-12)
        assert row["apcer_std"] == pytest.approx(np.std(apcer, ddof=1))
        kind, _, limit_of_rule = row["threshold_rule"].partition("=")
        assert row["source_apcer"] == pytest.approx(np.mean(source))
        if kind != "eer":
            assert row[f"source_{kind}"] <= float(limit_of_rule)


def test_the_eer_row_is_the_result_frames(run: RunRecord) -> None:
    frame = thresholds_frame(run).query("threshold_rule == 'eer'").set_index("method")
    results = results_frame(run, ["source-dev"]).query("level == 'video'").set_index("method")
    for name in ("apcer", "bpcer", "hter", "hter_std"):
        assert frame[name].to_dict() == pytest.approx(results[name].to_dict(), abs=1e-12)


@pytest.mark.parametrize("rule", ["source-dev", "last"])
def test_the_parts_of_the_gap_add_up_and_the_whole_is_the_tables(run: RunRecord, rule: str) -> None:
    frame = gap_frame(run, rule)
    assert list(frame.columns) == list(GAP_COLUMNS)
    np.testing.assert_allclose(frame["gap_step"] + frame["gap_threshold"], frame["gap"], atol=1e-15, rtol=0)
    results = results_frame(run, [rule]).query("level == 'video'").set_index("method")
    assert frame.set_index("method")["gap"].to_dict() == pytest.approx(results["optimism_gap"].to_dict(), abs=1e-12)
    assert (frame["gap_threshold"].abs() > 0.01).any()
    assert (frame["gap_step"].abs() > 0.001).any()


def test_a_run_with_one_step_has_a_gap_of_its_threshold_alone(tmp_path: Path) -> None:
    frame = gap_frame(make_run(tmp_path, [MadeTrial("one", steps=(10,))]))
    assert frame["gap_step"].tolist() == [0]
    assert frame["gap_threshold"].tolist() == frame["gap"].tolist()
    for rule in ("oracle", "mean-of-last-k"):
        with pytest.raises(SpecError, match="has no such parts"):
            gap_frame(make_run(tmp_path / rule, [MadeTrial("one")]), rule)


def test_a_rule_of_several_steps_is_refused_and_an_oracles_step_is_marked(run: RunRecord) -> None:
    for frame_of in (thresholds_frame, calibration_frame):
        with pytest.raises(SpecError, match="mean-of-last-2 takes several steps"):
            frame_of(run, "mean-of-last-2")
    for shown in (thresholds_grid(thresholds_frame(run, "oracle")), calibration_grid(calibration_frame(run, "oracle"))):
        assert ORACLE_NOTE in shown.notes
        assert {name for name in shown.headers if DAGGER in name} == set(shown.headers[6:])
    assert DAGGER not in to_text(thresholds_grid(thresholds_frame(run)))


def test_rows_are_in_the_order_of_the_sweep_and_marked_as_in_every_table(tmp_path: Path) -> None:
    names = ["O&C&I->M", "O&C&I->M+5shot"]
    trials = [MadeTrial(f"t{n}", protocol=name, steps=(10, 20)) for n, name in enumerate(names)]
    run = make_run(tmp_path, trials[::-1], spec={"methods": {"erm": {}}, "protocols": names})
    grids = [
        thresholds_grid(thresholds_frame(run, rules=["eer"])),
        gap_grid(gap_frame(run)),
        calibration_grid(calibration_frame(run).query("calibration == 'none'")),
    ]
    for shown in grids:
        assert [row[1] for row in shown.rows] == [names[0], f"{names[1]} {MARK}"]
        assert any(note.startswith(MARK) for note in shown.notes)


def test_calibration_never_sees_the_target(run: RunRecord, tmp_path: Path) -> None:
    """Scores of the target replaced by noise change no parameter, and every figure of the target."""
    rng = np.random.default_rng(0)
    noisy = []
    for trial in run.confirmed:
        noisy.append(MadeTrial(trial.id, trial.method, seed=trial.seed))
        for step in trial.steps:
            found = score_path(Path(run.uri), trial.id, step)
            evaluation = read_scores(str(found))
            table = score_table(np.random.default_rng(0), 0.1, 0.1)
            score = np.concatenate([evaluation.source_dev.score, rng.random(len(evaluation.target.score))])
            write_scores(score_path(tmp_path, trial.id, step), trial.id, step, {**table, "score": score.tolist()})
    seen, blind = calibration_frame(run), calibration_frame(write_record(tmp_path, noisy))
    source = ["calibration", "n_seeds", "slope", "intercept", "source_ece", "source_brier", "source_loss"]
    assert seen[source].equals(blind[source])
    assert (seen["ece"] != blind["ece"]).all()


def test_calibration_errors_are_those_of_scikit_learn(run: RunRecord) -> None:
    frame = calibration_frame(run, "last")
    assert list(frame.columns) == list(CALIBRATION_COLUMNS)
    row = frame.query("method == 'erm' and calibration == 'none'").iloc[0]
    errors = []
    for seed in range(3):
        videos = read_scores(run.score_uri(f"erm{seed}", 30)).target.videos
        observed, predicted = calibration_curve(videos.label, videos.score, n_bins=15)
        rows = np.histogram(videos.score, np.linspace(0, 1, 16))[0]
        errors.append(np.abs(observed - predicted) @ rows[rows > 0] / rows.sum())
    assert row["ece"] == pytest.approx(np.mean(errors), abs=1e-12)
    fitted = frame[frame["calibration"] == "platt"]
    assert (fitted["source_loss"].to_numpy() < frame[frame["calibration"] == "none"]["source_loss"].to_numpy()).all()


def test_decisions_are_the_same_on_probabilities(run: RunRecord) -> None:
    from fasray.results.calibrated import calibrate

    evaluation = read_scores(run.score_uri("erm0", 30))
    curve, dev, target = calibrate(evaluation), evaluation.source_dev.videos, evaluation.target.videos
    limit = metrics.eer_threshold(dev.score, dev.label)
    expected = metrics.rates_at(target.score, target.label, limit)
    found = metrics.rates_at(curve.apply(target.score), target.label, float(curve.apply([limit])[0]))
    assert (found.far, found.frr) == (expected.far, expected.frr)


@pytest.mark.parametrize("what", ["thresholds", "calibration", "gap"])
def test_the_command_prints_them(run: RunRecord, what: str) -> None:
    def command(*arguments: str) -> str:
        return CliRunner().invoke(cli, ["results", run.uri, "--what", what, *arguments], catch_exceptions=False).output

    assert "erm     C&M->I" in command()
    assert (
        command("--format", "csv", "--select", "last").splitlines()[0].startswith("method,variant,protocol,selection")
    )
    assert "| ssdg | C&M-" in command("--format", "md")
