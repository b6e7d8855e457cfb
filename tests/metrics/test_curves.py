"""AUC, ROC and EER equal scikit-learn's or a brute-force reading of their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from fasray import metrics
from fasray.errors import DataError

Scored = tuple[list[float], list[int]]


@st.composite
def score_sets(draw: st.DrawFn) -> Scored:
    """Both classes, many ties, sometimes infinities."""
    value = st.one_of(
        st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
        st.floats(-5, 5),
        st.sampled_from([float("inf"), float("-inf")]),
    )
    label = [1, 0, *draw(st.lists(st.integers(0, 1), max_size=30))]
    return draw(st.lists(value, min_size=len(label), max_size=len(label))), label


def brute_auc(score: list[float], label: list[int]) -> float:
    pairs = [
        (live > attack) + 0.5 * (live == attack)
        for live, is_live in zip(score, label, strict=True)
        if is_live
        for attack, is_attack in zip(score, label, strict=True)
        if not is_attack
    ]
    return sum(pairs) / len(pairs)


def brute_rates(score: list[float], label: list[int], threshold: float) -> tuple[float, float]:
    accepted = [s >= threshold for s in score]
    attacks = [a for a, is_live in zip(accepted, label, strict=True) if not is_live]
    lives = [a for a, is_live in zip(accepted, label, strict=True) if is_live]
    return sum(attacks) / len(attacks), 1 - sum(lives) / len(lives)


@given(score_sets())
@settings(max_examples=150)
def test_auc_is_the_chance_that_live_exceeds_attack(scored: Scored) -> None:
    assert metrics.auc(*scored) == pytest.approx(brute_auc(*scored), abs=1e-12)


@given(score_sets())
@settings(max_examples=150)
def test_eer_is_the_point_where_far_and_frr_are_nearest(scored: Scored) -> None:
    score, label = scored
    points = [brute_rates(score, label, threshold) for threshold in score]
    nearest = min(abs(far - frr) for far, frr in points)
    expected = min((far + frr) / 2 for far, frr in points if abs(far - frr) <= nearest + 1e-12)
    found = metrics.eer(score, label)
    assert found.eer == pytest.approx(expected, abs=1e-12)
    assert metrics.rates_at(score, label, found.threshold).hter == pytest.approx(found.eer, abs=1e-12)


@given(score_sets())
@settings(max_examples=100)
def test_roc_points_are_the_rates_at_each_distinct_score(scored: Scored) -> None:
    score, label = scored
    points = metrics.roc(score, label)
    assert points.threshold[:-1].tolist() == sorted(set(score))
    for threshold, far, frr in zip(points.threshold[:-1], points.far, points.frr, strict=False):
        assert (far, frr) == pytest.approx(brute_rates(score, label, threshold), abs=1e-12)
    assert (points.far[-1], points.frr[-1]) == (0.0, 1.0)


@given(score_sets(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_duplication_and_monotone_transforms_change_nothing(scored: Scored, random: np.random.Generator) -> None:
    score, label = np.array(scored[0]), np.array(scored[1])
    order = list(range(len(score)))
    random.shuffle(order)
    with np.errstate(over="ignore"):
        transformed = np.sign(score) * np.abs(score) ** 0.5
    for other, labels in (
        (score[order], label[order]),
        (np.tile(score, 2), np.tile(label, 2)),
        (transformed, label),
    ):
        if len(np.unique(other)) < len(np.unique(score)):  # rounding merged two scores: not a monotone transform
            continue
        assert metrics.auc(other, labels) == metrics.auc(score, label)
        assert metrics.eer(other, labels).eer == metrics.eer(score, label).eer


@given(score_sets())
@settings(max_examples=60)
def test_swapping_the_classes_mirrors_the_curve(scored: Scored) -> None:
    score, label = np.array(scored[0]), np.array(scored[1])
    assert metrics.auc(-score, 1 - label) == pytest.approx(metrics.auc(score, label), abs=1e-12)
    assert metrics.eer(-score, 1 - label).eer == pytest.approx(metrics.eer(score, label).eer, abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("digits", [1, 2, 12])
def test_auc_and_roc_equal_scikit_learn(seed: int, digits: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, 400)
    score = np.round(rng.normal(label * 0.8, 1.0), digits)
    assert metrics.auc(score, label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    fpr, tpr, thresholds = roc_curve(label, score, drop_intermediate=False)
    points = metrics.roc(score, label)
    np.testing.assert_allclose(points.far[::-1], fpr, atol=1e-12)
    np.testing.assert_allclose(1 - points.frr[::-1], tpr, atol=1e-12)
    np.testing.assert_array_equal(points.threshold[::-1], thresholds)


def test_the_eer_threshold_of_a_separable_set_is_half_way() -> None:
    assert metrics.eer([0.9, 0.7, 0.3, 0.1], [1, 1, 0, 0]) == metrics.Eer(0.0, 0.5)


def test_of_two_equally_near_points_the_one_with_less_error_is_the_eer() -> None:
    score, label = [0.1, 0.2, 0.3, 0.4, 0.5], [0, 1, 1, 0, 1]
    found = metrics.eer(score, label)
    assert found.eer == pytest.approx((0.5 + 1 / 3) / 2)
    all_tied = metrics.eer([0.4] * 4, [1, 1, 0, 0])
    assert all_tied == metrics.Eer(0.5, 0.4)


def test_of_two_points_with_mirrored_errors_the_lower_threshold_is_the_eers() -> None:
    found = metrics.eer([0.1, 0.1, 0.5, 0.5, 0.9, 0.9], [1, 0] * 3)
    assert (found.eer, found.threshold) == (0.5, pytest.approx(0.3))


def test_neighbouring_floats_keep_the_threshold_above_the_lower_one() -> None:
    low = 1.0
    high = float(np.nextafter(low, 2))
    found = metrics.eer([high, low], [1, 0])
    assert found == metrics.Eer(0.0, high)


def test_tpr_at_fpr_never_exceeds_the_allowed_rate() -> None:
    score, label = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 0, 1, 0, 1, 1]
    assert metrics.tpr_at_fpr(score, label, 0.0) == pytest.approx(2 / 3)
    assert metrics.tpr_at_fpr(score, label, 0.4) == 1.0
    assert metrics.tpr_at_fpr([0.5, 0.5], [1, 0], 0.99) == 0.0


@pytest.mark.parametrize(
    ("score", "label", "reason"),
    [
        ([], [], "no scores"),
        ([0.1, float("nan")], [1, 0], "1 of 2 scores are NaN"),
        ([0.1, 0.2], [1, 1], "all 2 scores are live"),
        ([0.1, 0.2], [0, 0], "all 2 scores are attacks"),
        ([0.1, 0.2], [1, 2], "neither 1 nor 0"),
        ([0.1, 0.2, 0.3], [1, 0], "do not fit"),
        ([[0.1, 0.2]], [[1, 0]], "do not fit"),
    ],
)
def test_what_has_no_answer_is_refused_with_the_reason(score: list[float], label: list[int], reason: str) -> None:
    for metric in (metrics.auc, metrics.eer, metrics.roc):
        with pytest.raises(DataError, match=reason):
            metric(score, label)
    with pytest.raises(DataError, match=reason):
        metrics.rates_at(score, label, 0.5)
