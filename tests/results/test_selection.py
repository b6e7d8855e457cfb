"""Each rule picks the step that a brute-force reading of its definition picks; honest rules never see the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from score_runs import MadeTrial, make_run, score_path, write_scores
from sklearn.metrics import log_loss, roc_auc_score

from fasray.errors import SpecError
from fasray.results.digests import SourceDigest, TargetDigest, TrialDigests, digests_of
from fasray.results.scores import read_scores
from fasray.results.selection import SELECTIONS, best_source_step, best_target_step, choose
from fasray.runs.record import RunRecord

STEPS = tuple(range(10, 70, 10))


def video_means(path: Path, role: str) -> dict[str, tuple[str, int, float]]:
    """video -> (domain, label, mean score), read without any code of the project."""
    rows = pq.read_table(path).to_pylist()
    found: dict[str, list[tuple[str, int, float]]] = {}
    for row in rows:
        if row["role"] == role:
            found.setdefault(row["video"], []).append((row["domain"], row["label"], row["score"]))
    return {v: (parts[0][0], parts[0][1], float(np.mean([p[2] for p in parts]))) for v, parts in found.items()}


def digests(run: RunRecord) -> TrialDigests:
    (trial,) = run.trials
    return digests_of(trial.id, [read_scores(run.score_uri(trial.id, step)) for step in trial.steps])


def brute_source_dev(path: Path) -> tuple[float, float]:
    videos = list(video_means(path, "source-dev").values())
    parts = [[(label, score) for d, label, score in videos if d == domain] for domain in ("C", "M")]
    aucs = [roc_auc_score([p[0] for p in part], [p[1] for p in part]) for part in parts]
    losses = [log_loss([p[0] for p in part], [p[1] for p in part]) for part in parts]
    return float(np.mean(aucs)), float(np.mean(losses))


def brute_target_hter(path: Path) -> tuple[float, float]:
    videos = list(video_means(path, "target").values())
    label, score = np.array([v[1] for v in videos]), np.array([v[2] for v in videos])
    points = []
    for threshold in score:
        far, frr = (score[label == 0] >= threshold).mean(), (score[label == 1] < threshold).mean()
        points.append((round(abs(far - frr), 9), (far + frr) / 2))
    return min(points)[1], float(roc_auc_score(label, score))


def brute_worst_source(path: Path) -> float:
    videos = list(video_means(path, "source-dev").values())
    parts = [[(label, score) for d, label, score in videos if d == domain] for domain in ("C", "M")]
    return float(min(roc_auc_score([p[0] for p in part], [p[1] for p in part]) for part in parts))


def brute_least_hter(path: Path) -> float:
    videos = list(video_means(path, "target").values())
    label, score = np.array([v[1] for v in videos]), np.array([v[2] for v in videos])
    return float(min(((score[label == 0] >= t).mean() + (score[label == 1] < t).mean()) / 2 for t in score))


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma", "delta"])
def test_rules_equal_brute_force(tmp_path: Path, name: str) -> None:
    trial = MadeTrial(name, steps=STEPS, total_steps=60)
    run = make_run(tmp_path, [trial])
    digested = digests(run)
    source = {s: brute_source_dev(score_path(tmp_path, name, s)) for s in STEPS}
    target = {s: brute_target_hter(score_path(tmp_path, name, s)) for s in STEPS}
    assert choose("source-dev", digested).step == min(STEPS, key=lambda s: (-round(source[s][0], 12), source[s][1], s))
    assert choose("oracle", digested).step == min(
        STEPS, key=lambda s: (round(target[s][0], 12), -round(target[s][1], 12), s)
    )
    worst = {s: brute_worst_source(score_path(tmp_path, name, s)) for s in STEPS}
    assert choose("worst-source", digested).step == min(
        STEPS, key=lambda s: (-round(worst[s], 12), -round(source[s][0], 12), source[s][1], s)
    )
    least = {s: brute_least_hter(score_path(tmp_path, name, s)) for s in STEPS}
    chosen = choose("oracle-min-hter", digested)
    assert chosen.step == min(STEPS, key=lambda s: (round(least[s], 12), -round(target[s][1], 12), s))
    assert chosen.threshold_rule == "target-min-hter"
    assert choose("last", digested).step == 60
    assert [pick.step for pick in choose("mean-of-last-k", digested).picks] == [20, 30, 40, 50, 60]
    assert [pick.step for pick in choose("mean-of-last-2", digested).picks] == [50, 60]
    assert [pick.step for pick in choose("mean-of-last-99", digested).picks] == list(STEPS)
    for digest in digested.source:
        assert (digest.auc, digest.loss) == pytest.approx(source[digest.step], abs=1e-9)


def test_honest_thresholds_balance_the_pooled_source_dev_videos(tmp_path: Path) -> None:
    trial = MadeTrial("alpha")
    run = make_run(tmp_path, [trial])
    choice = choose("source-dev", digests(run))
    videos = video_means(score_path(tmp_path, "alpha", choice.step), "source-dev").values()
    far = np.mean([score >= choice.video_threshold for _, label, score in videos if label == 0])
    frr = np.mean([score < choice.video_threshold for _, label, score in videos if label == 1])
    assert abs(far - frr) <= 1 / 12 + 1e-12
    assert choice.threshold_rule == "source-dev-eer"
    assert not choice.oracle


def test_shuffled_target_labels_change_the_oracle_only(tmp_path: Path) -> None:
    trial = MadeTrial("alpha", steps=STEPS, total_steps=60)
    run = make_run(tmp_path, [trial])
    before = digests(run)
    rng = np.random.default_rng(1)
    for step in STEPS:
        path = score_path(tmp_path, "alpha", step)
        columns = pq.read_table(path).to_pydict()
        names = sorted({v for v, r in zip(columns["video"], columns["role"], strict=True) if r == "target"})
        label_of = dict(zip(names, rng.permutation(len(names)) % 2, strict=True))
        for row, (video, role) in enumerate(zip(columns["video"], columns["role"], strict=True)):
            if role == "target":
                columns["label"][row] = int(label_of[video])
                columns["attack_type"][row] = "live" if label_of[video] else "print"
        write_scores(path, "alpha", step, columns)
    after = digests(run)
    assert after.target != before.target
    assert after.source == before.source
    for rule in (name for name, rule in SELECTIONS.items() if not rule.oracle):
        assert choose(rule, after) == choose(rule, before)


def test_ties_go_to_the_lower_loss_then_the_earlier_step() -> None:
    def source(step: int, auc: float, loss: float) -> SourceDigest:
        return SourceDigest(step, auc, loss, 0.5, 0.5)

    assert best_source_step([source(1, 0.9, 0.3), source(2, 0.9, 0.2), source(3, 0.8, 0.1)]).step == 2
    assert best_source_step([source(2, 0.9, 0.2), source(1, 0.9, 0.2)]).step == 1

    def target(step: int, auc: float, hter: float) -> TargetDigest:
        return TargetDigest(step, auc, hter, 0.5, 0.5)

    assert best_target_step([target(1, 0.9, 0.2), target(2, 0.95, 0.2), target(3, 0.99, 0.3)]).step == 2
    assert best_target_step([target(3, 0.9, 0.2), target(2, 0.9, 0.2)]).step == 2


def test_every_threshold_of_mean_of_last_k_balances_its_own_evaluation(tmp_path: Path) -> None:
    trial = MadeTrial("alpha", steps=STEPS, total_steps=60)
    run = make_run(tmp_path, [trial])
    picks = choose("mean-of-last-k", digests(run)).picks
    assert len({pick.video_threshold for pick in picks}) == len(picks)
    for pick in picks:
        videos = video_means(score_path(tmp_path, "alpha", pick.step), "source-dev").values()
        far = np.mean([score >= pick.video_threshold for _, label, score in videos if label == 0])
        frr = np.mean([score < pick.video_threshold for _, label, score in videos if label == 1])
        assert abs(far - frr) <= 1 / 12 + 1e-12


def test_an_unknown_rule_is_answered_with_a_near_one(tmp_path: Path) -> None:
    trial = MadeTrial("alpha")
    run = make_run(tmp_path, [trial])
    with pytest.raises(SpecError, match="no selection 'orcale'") as error:
        choose("orcale", digests(run))
    assert "'oracle'" in error.value.remedy
