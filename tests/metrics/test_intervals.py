"""Intervals hold as often as they promise, for people as the unit; what they cannot know they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from fasray import metrics
from fasray.errors import DataError, SpecError
from fasray.metrics.replicates import ScoredClusters
from fasray.metrics.resampling import draw, find_clusters

LIVE_SPREAD, ATTACK_SPREAD = math.sqrt(1 + 0.6**2), math.sqrt(1 + 0.36**2 + 0.4**2)


class World:
    """People whose videos resemble each other: scores are normal around a mean of their own."""

    def __init__(self, separation: float) -> None:
        self.separation = separation
        crossing = separation * ATTACK_SPREAD / (LIVE_SPREAD + ATTACK_SPREAD)
        self.threshold = crossing + 0.5
        far = float(ndtr(-self.threshold / ATTACK_SPREAD))
        frr = float(ndtr((self.threshold - separation) / LIVE_SPREAD))
        self.truth = {
            "auc": float(ndtr(separation / math.hypot(LIVE_SPREAD, ATTACK_SPREAD))),
            "eer": float(ndtr(-crossing / ATTACK_SPREAD)),
            "hter": (far + frr) / 2,
            "far": far,
            "frr": frr,
        }

    def sample(self, rng: np.random.Generator, subjects: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scores, labels and subjects: one to five live videos and four to twelve attacks for each."""
        of_live = np.repeat(np.arange(subjects), rng.integers(1, 6, subjects))
        of_attack = np.repeat(np.arange(subjects), rng.integers(4, 13, subjects))
        person, mask = rng.normal(0, 0.6, subjects), rng.normal(0, 0.4, subjects)
        live = self.separation + person[of_live] + rng.normal(0, 1, len(of_live))
        attack = 0.6 * person[of_attack] + mask[of_attack] + rng.normal(0, 1, len(of_attack))
        label = np.repeat([1, 0], [len(live), len(attack)])
        return np.concatenate([live, attack]), label, np.concatenate([of_live, of_attack]).astype(str)


def coverage(world: World, subjects: int, worlds: int, resamples: int = 500) -> dict[str, float]:
    """The share of simulated worlds whose nominal 95 % interval holds the truth."""
    rng = np.random.default_rng([subjects, round(10 * world.separation)])
    hits = dict.fromkeys(world.truth, 0)
    for position in range(worlds):
        score, label, subject = world.sample(rng, subjects)
        found = metrics.confidence_intervals(
            score, label, subject=subject, threshold=world.threshold, resamples=resamples, seed=position
        )
        for name, truth in world.truth.items():
            interval = getattr(found, name)
            hits[name] += interval.lower <= truth <= interval.upper
    return {name: count / worlds for name, count in hits.items()}


@pytest.mark.slow
@pytest.mark.parametrize("subjects", [35, 50])
@pytest.mark.parametrize("separation", [1.2, 2.2, 3.2])
def test_nominal_95_percent_cover_93_to_97_percent_of_1000_worlds(subjects: int, separation: float) -> None:
    found = coverage(World(separation), subjects, 1000)
    print(separation, subjects, found)
    assert all(0.93 <= share <= 0.97 for share in found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize(("subjects", "least"), [(10, 0.89), (20, 0.91)])
def test_few_subjects_cover_a_little_less_or_for_rare_errors_more(subjects: int, least: float) -> None:
    found = coverage(World(2.2), subjects, 1000)
    print(subjects, found)
    assert all(least <= found[name] <= 0.97 for name in ("auc", "eer", "hter")), found
    assert all(least <= found[name] <= 0.99 for name in ("far", "frr")), found


def test_nominal_95_percent_cover_about_95_percent_of_200_worlds() -> None:
    found = coverage(World(2.2), 40, 200, resamples=200)
    assert all(0.91 <= share <= 0.99 for share in found.values()), found


def test_videos_taken_one_by_one_believe_themselves_too_sure() -> None:
    rng = np.random.default_rng(1)
    label, person = np.tile([1, 0, 0, 1], 100), np.repeat(np.arange(40), 10)
    score = 2 * label + rng.normal(0, 1, (2, 40))[label, person] + rng.normal(0, 0.3, 400)
    by_subject = metrics.confidence_intervals(score, label, subject=person.astype(str), threshold=1.0)
    by_video = metrics.confidence_intervals(score, label, threshold=1.0)
    for name in ("auc", "far", "frr", "hter"):
        narrow, wide = getattr(by_video, name), getattr(by_subject, name)
        assert narrow.upper - narrow.lower < 0.6 * (wide.upper - wide.lower)
    assert by_video.clusters == "row"
    assert any("subjects are unknown" in note for note in by_video.notes)
    assert by_subject.notes == ()


def test_few_subjects_are_flagged() -> None:
    score, label, subject = World(2.2).sample(np.random.default_rng(2), 12)
    found = metrics.confidence_intervals(score, label, subject=subject)
    assert found.few_subjects
    assert any("only 12 subjects" in note for note in found.notes)
    assert found.hter is found.apcer is None


def test_no_error_seen_gives_the_exact_bound_instead_of_a_point() -> None:
    subject = [str(position // 2) for position in range(80)]
    found = metrics.confidence_intervals([0.9, 0.1] * 40, [1, 0] * 40, subject=subject, threshold=0.5)
    assert found.hter is not None
    assert (found.hter.estimate, found.hter.lower) == (0, 0)
    assert found.hter.upper == pytest.approx(1 - 0.025 ** (1 / 40))
    assert found.auc.upper == 1
    assert found.auc.lower == pytest.approx(0.025 ** (1 / 40))
    assert "exact bound for 40" in found.auc.note


def test_one_subject_has_figures_and_no_intervals() -> None:
    found = metrics.confidence_intervals([0.9, 0.1, 0.4, 0.5], [1, 0, 1, 0], subject=["a"] * 4, threshold=0.45)
    assert found.auc.estimate == metrics.auc([0.9, 0.1, 0.4, 0.5], [1, 0, 1, 0])
    assert math.isnan(found.auc.lower)
    assert found.auc.note == "one subject: no interval"


def test_the_same_seed_gives_the_same_interval_and_the_order_of_rows_none_other() -> None:
    score, label, subject = World(1.2).sample(np.random.default_rng(3), 40)
    first = metrics.confidence_intervals(score, label, subject=subject, threshold=0.5, seed=7)
    order = np.random.default_rng(4).permutation(len(score))
    assert (
        metrics.confidence_intervals(score[order], label[order], subject=subject[order], threshold=0.5, seed=7) == first
    )
    assert metrics.confidence_intervals(score, label, subject=subject, threshold=0.5, seed=8).auc != first.auc


def test_apcer_of_the_worst_type_and_acer_have_intervals_too() -> None:
    score, label, subject = World(1.2).sample(np.random.default_rng(5), 40)
    types = np.random.default_rng(6).choice(["print", "replay"], len(score))
    found = metrics.confidence_intervals(score, label, subject=subject, attack_type=types, threshold=0.5)
    direct = metrics.pad_rates_at(score, label, types, 0.5)
    assert found.apcer is not None
    assert found.acer is not None
    assert (found.apcer.estimate, found.acer.estimate) == pytest.approx((direct.apcer, direct.acer), abs=1e-12)
    assert found.acer.lower < direct.acer < found.acer.upper


def test_bad_input_is_refused() -> None:
    with pytest.raises(SpecError, match="confidence must be between 0 and 1, not 95"):
        metrics.confidence_intervals([0.1, 0.9], [0, 1], confidence=95)
    with pytest.raises(SpecError, match="too few"):
        metrics.confidence_intervals([0.1, 0.9], [0, 1], resamples=5)
    with pytest.raises(DataError, match="1 subjects for 2 scores"):
        metrics.confidence_intervals([0.1, 0.9], [0, 1], subject=["a"])


@given(st.integers(0, 10_000), st.sampled_from([0, 1, 8]))
@settings(max_examples=25)
def test_a_resample_has_the_figures_of_its_repeated_rows(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    live = rng.random(40) < 0.4
    score, cluster = np.round(rng.normal(live * 1.0, 1), digits), rng.integers(0, 8, 40)
    counts = rng.integers(0, 3, (6, 8))
    sample = ScoredClusters(score, live, cluster)
    found = np.stack(
        [sample.auc(counts), sample.far(counts, 0.3), sample.frr(counts, 0.3),
         sample.frr_at_far(counts, 0.1)], axis=1,
    )  # fmt: skip
    for row, count in zip(found, counts, strict=True):
        taken = np.repeat(np.arange(40), count[cluster])
        repeated, label = score[taken], live[taken].astype(int)
        if len(set(label.tolist())) < 2:
            assert np.isnan(row[0])
            continue
        rates = metrics.rates_at(repeated, label, 0.3)
        assert row.tolist() == [
            metrics.auc(repeated, label), rates.far, rates.frr,
            metrics.bpcer_at_apcer(repeated, label, 0.1),
        ]  # fmt: skip


def test_subjects_are_drawn_whole_and_within_their_kind() -> None:
    subject = np.array(["both", "both", "both2", "both2", "live1", "live2", "attack1", "attack2", "attack3"])
    live = np.array([1, 0, 1, 0, 1, 1, 0, 0, 0]) == 1
    clusters = find_clusters(np.arange(9.0), live, subject)
    counts = draw(clusters, 300, 0)
    for members, size in ((["both", "both2"], 2), (["live1", "live2"], 2), (["attack1", "attack2", "attack3"], 3)):
        chosen = np.unique(clusters.index[np.isin(subject, members)])
        assert (counts[:, chosen].sum(axis=1) == size).all()
    assert (clusters.live, clusters.attack, clusters.size) == (4, 5, 7)
