"""The result frame: means and deviations over seeds, the gap to the oracle, and the way back to the score files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from score_runs import MadeTrial, make_run, score_table, write_scores
from sklearn.metrics import roc_auc_score

from fasray import metrics
from fasray.errors import DataError
from fasray.protocols import GROUPS
from fasray.results.figures import FIGURES
from fasray.results.frame import COLUMNS, compute_results, results_frame
from fasray.results.scores import read_scores
from fasray.results.selection import SELECTIONS
from fasray.runs.record import RunRecord


def two_cells() -> list[MadeTrial]:
    return [
        MadeTrial("search1", stage="search", status="stopped", steps=(10,)),
        MadeTrial("e0", seed=0),
        MadeTrial("e1", seed=1),
        MadeTrial("s0", method="safas", seed=0),
        MadeTrial("e2", protocol="O->I", seed=0),
        MadeTrial("e3", seed=2, status="running"),
    ]


@pytest.fixture
def run(tmp_path: Path) -> RunRecord:
    return make_run(tmp_path, two_cells())


def test_each_cell_has_a_row_per_rule_and_level(run: RunRecord) -> None:
    frame = results_frame(run)
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 3 * len(SELECTIONS) * 2
    assert list(dict.fromkeys(zip(frame["method"], frame["protocol"], strict=True))) == [
        ("erm", "C&M->I"),
        ("erm", "O->I"),
        ("safas", "C&M->I"),
    ]
    assert set(frame["selection"]) == set(SELECTIONS)
    assert set(frame[frame["oracle"]]["selection"]) == {"oracle", "oracle-search", "oracle-min-hter"}
    assert results_frame(run, ["source-dev"])["selection"].unique().tolist() == ["source-dev"]


def test_rows_are_in_the_order_of_the_sweep_file_whatever_ended_first(tmp_path: Path) -> None:
    cells = [(method, protocol) for method in ("erm", "safas") for protocol in ("O->I", "C&M->I")]
    spec = {"methods": dict.fromkeys(("erm", "safas"), {}), "protocols": ["O->I", "C&M->I"]}
    trials = [MadeTrial(f"t{n}", method=method, protocol=protocol) for n, (method, protocol) in enumerate(cells)]
    for name, order in (("a", (0, 1, 2, 3)), ("b", (2, 1, 3, 0))):
        frame = results_frame(make_run(tmp_path / name, [trials[n] for n in order], spec=spec), ["source-dev"])
        assert list(zip(frame["method"], frame["protocol"], strict=True))[::2] == cells


def test_every_number_can_be_computed_again_from_the_files_that_its_row_names(run: RunRecord) -> None:
    for row in results_frame(run).to_dict("records"):
        values = []
        for trial, step, threshold in zip(row["trials"], row["steps"], row["thresholds"], strict=True):
            target = read_scores(run.score_uri(trial, step)).target
            score, label = target.score, target.label
            if row["level"] == "video":
                names = np.unique(target.video)
                score = np.array([target.score[target.video == name].mean() for name in names])
                label = np.array([target.label[target.video == name][0] for name in names])
            far, frr = (score[label == 0] >= threshold).mean(), (score[label == 1] < threshold).mean()
            values.append(((far + frr) / 2, roc_auc_score(label, score)))
        assert row["hter"] == pytest.approx(np.mean([v[0] for v in values]), abs=1e-12)
        assert row["auc"] == pytest.approx(np.mean([v[1] for v in values]), abs=1e-12)
        k = row["n_evaluations"]
        assert k == (3 if row["selection"] == "mean-of-last-k" else 1)
        if len(values) > k:
            of_runs = np.reshape([v[0] for v in values], (-1, k)).mean(axis=1)
            assert row["hter_std"] == pytest.approx(np.std(of_runs, ddof=1), abs=1e-12)
        else:
            assert math.isnan(row["hter_std"])
        assert row["n_seeds"] * k == len(values)
        assert (row["videos"], row["frames"]) == (12, 36)


def test_the_gap_is_oracle_minus_honest_on_the_same_runs(run: RunRecord) -> None:
    one_run_each = [name for name, rule in SELECTIONS.items() if not rule.any_trial]
    frame = results_frame(run, one_run_each).set_index(["method", "protocol", "level", "selection"])
    for method, protocol, level, selection in frame.index:
        row, oracle = frame.loc[method, protocol, level, selection], frame.loc[method, protocol, level, "oracle"]
        if SELECTIONS[selection].oracle:
            assert math.isnan(row["optimism_gap"])
        else:
            assert row["optimism_gap"] == pytest.approx(oracle["hter"] - row["hter"], abs=1e-12)
            assert row["optimism_gap_auc"] == pytest.approx(oracle["auc"] - row["auc"], abs=1e-12)
            assert list(dict.fromkeys(row["trials"])) == oracle["trials"]


def test_oracle_hter_at_video_level_is_the_targets_eer(run: RunRecord) -> None:
    frame = results_frame(run, ["oracle"])
    chosen = frame[frame["level"] == "video"]
    assert chosen["hter"].to_numpy() == pytest.approx(chosen["eer"].to_numpy(), abs=1e-12)


def test_acer_takes_the_worst_of_print_and_replay(run: RunRecord) -> None:
    row = results_frame(run, ["last"]).query("method == 'safas' and level == 'video'").iloc[0]
    videos = read_scores(run.score_uri("s0", 30)).target.videos
    accepted = videos.score >= row["thresholds"][0]
    apcer = max(accepted[videos.attack_type == kind].mean() for kind in ("print", "replay"))
    bpcer = (~accepted[videos.label == 1]).mean()
    assert (row["apcer"], row["bpcer"], row["acer"]) == pytest.approx((apcer, bpcer, (apcer + bpcer) / 2))


def test_failed_runs_are_counted_and_kept_out_of_the_figures(tmp_path: Path) -> None:
    trials = [MadeTrial("a"), MadeTrial("b", seed=1, status="diverged"), MadeTrial("c", method="x", status="failed")]
    frame = results_frame(make_run(tmp_path, trials), ["source-dev"])
    assert frame["n_failed"].tolist() == [1, 1, 1, 1]
    assert frame["n_seeds"].tolist() == [1, 1, 0, 0]
    assert frame["hter"].isna().tolist() == [False, False, True, True]
    assert frame["trials"].tolist() == [["a"], ["a"], [], []]


def test_a_run_without_confirmed_trials_gives_an_empty_frame(tmp_path: Path) -> None:
    frame = results_frame(make_run(tmp_path, [MadeTrial("a", stage="search")]))
    assert frame.empty
    assert list(frame.columns) == list(COLUMNS)


def test_a_missing_score_file_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, [MadeTrial("a")])
    Path(run.score_uri("a", 20)).unlink()
    with pytest.raises(DataError, match="no such file") as error:
        results_frame(run)
    assert "eval-00000020" in error.value.where


def test_oracle_search_takes_the_best_evaluation_of_any_trial_of_the_cell(run: RunRecord) -> None:
    rows = results_frame(run, ["oracle-search"]).set_index(["method", "protocol", "level"])
    every = [t for t in run.trials if (t.method, t.protocol) == ("erm", "C&M->I")]
    found = []
    for trial in every:
        for step in trial.steps:
            videos = read_scores(run.score_uri(trial.id, step)).target.videos
            hter = metrics.eer(videos.score, videos.label).eer
            found.append((hter, -roc_auc_score(videos.label, videos.score), trial.id, step))
    best = min(found, key=lambda f: f[:2])
    row = rows.loc["erm", "C&M->I", "video"]
    assert (row["hter"], row["auc"]) == pytest.approx((best[0], -best[1]), abs=1e-12)
    assert (row["trials"], row["steps"], row["n_seeds"]) == ([best[2]], [best[3]], 1)
    assert math.isnan(row["hter_std"])


def test_oracle_search_reads_search_trials_and_the_others_do_not(tmp_path: Path) -> None:
    good = score_table(np.random.default_rng(0), 0.2, 0.9)
    made = make_run(tmp_path, [MadeTrial("s", stage="search", status="stopped", steps=(10,)), MadeTrial("a")])
    write_scores(Path(made.score_uri("s", 10)), "s", 10, good)
    frame = results_frame(made).set_index(["selection", "level"])
    assert frame.loc[("oracle-search", "video"), "trials"] == ["s"]
    assert frame.loc[("oracle-search", "video"), "hter"] == 0
    others = frame.drop("oracle-search", level="selection")
    assert {name for names in others["trials"] for name in names} == {"a"}
    Path(made.score_uri("s", 10)).unlink()
    assert len(results_frame(made, ["source-dev", "oracle"])) == 4
    with pytest.raises(DataError, match="no such file"):
        results_frame(made, ["oracle-search"])


def test_an_ablation_has_rows_of_its_own(tmp_path: Path) -> None:
    trials = [MadeTrial("a"), MadeTrial("b", variant="no depth"), MadeTrial("c", stage="search", status="stopped")]
    frame = results_frame(make_run(tmp_path, trials))
    assert {tuple(t) for t in frame[frame["variant"] == "no depth"]["trials"] if set(t) != {"b"}} == set()
    assert all(set(t) <= {"a", "c"} for t in frame[frame["variant"] == ""]["trials"])


def test_intervals_hold_their_figure_and_are_those_of_one_run_alone(run: RunRecord) -> None:
    frame = results_frame(run)
    video = frame[frame["level"] == "video"]
    assert (video["hter_lower"] <= video["hter"] + 1e-6).all()
    assert (video["hter"] <= video["hter_upper"] + 1e-6).all()
    assert frame[frame["level"] == "frame"]["hter_lower"].isna().all()
    assert frame["few_subjects"].all()
    row = video.query("method == 'safas' and selection == 'last'").iloc[0]
    target = read_scores(run.score_uri("s0", 30)).target
    alone = metrics.confidence_intervals(
        target.videos.score, target.videos.label, subject=target.grouping.subjects, threshold=row["thresholds"][0]
    )
    assert alone.hter is not None
    assert (row["hter_lower"], row["hter_upper"]) == pytest.approx((alone.hter.lower, alone.hter.upper), abs=1e-6)
    assert (row["auc_lower"], row["auc_upper"]) == pytest.approx((alone.auc.lower, alone.auc.upper), abs=1e-6)


def oulu_run(folder: Path, missing: str = "") -> RunRecord:
    names = [name for name in GROUPS["oulu-npu-3"] if name != missing]
    return make_run(
        folder, [MadeTrial(f"{name}-{seed}", protocol=name, seed=seed) for name in names for seed in (0, 1)]
    )


def test_oulu_protocol_3_is_the_mean_over_its_six_runs(tmp_path: Path) -> None:
    frame = results_frame(oulu_run(tmp_path), ["source-dev"])
    video = frame[frame["level"] == "video"].set_index("protocol")
    total, runs = video.loc["oulu-npu-3"], video.loc[list(GROUPS["oulu-npu-3"])]
    for figure in FIGURES:
        assert total[figure] == pytest.approx(runs[figure].mean(), abs=1e-12)
        assert total[f"{figure}_std"] == pytest.approx(runs[figure].std(ddof=1), abs=1e-12)
    assert (total["n_runs"], total["n_seeds"], len(total["trials"]), total["videos"]) == (6, 2, 12, 72)


def test_oulu_protocol_3_has_no_row_before_all_six_runs_are_there(tmp_path: Path) -> None:
    frame = results_frame(oulu_run(tmp_path, missing="oulu-npu-3.4"))
    assert "oulu-npu-3" not in set(frame["protocol"])


def test_choices_are_kept_for_plots_and_the_report(run: RunRecord) -> None:
    results = compute_results(run)
    assert {trial for trial, _ in results.digests} == {"e0", "e1", "s0", "e2"}
    choice = next(choice for key, choice in results.choices.items() if key[0][0] == "e1" and key[1] == "source-dev")
    videos = read_scores(run.score_uri("e1", choice.step)).source_dev.videos
    assert choice.video_threshold == metrics.eer(videos.score, videos.label).threshold
