"""Comparisons of two methods say how sure one can be, on the same seeds or on the same subjects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fasray import metrics
from fasray.errors import DataError, SpecError


@pytest.mark.parametrize("n", [2, 3, 5, 40])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_paired_difference_is_scipys_paired_t_test(n: int, confidence: float) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.2, 0.1, n), rng.normal(0.25, 0.1, n)
    found = metrics.paired_difference(a, b, confidence)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(confidence)
    assert (found.mean, found.lower, found.upper, found.p) == pytest.approx(
        (np.mean(a - b), interval.low, interval.high, expected.pvalue), abs=1e-12
    )
    assert (found.n, found.confidence, found.note) == (n, confidence, "")
    assert found.significant == (found.p < 1 - confidence)


def test_what_both_of_a_pair_share_does_not_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    seed_effect, noise = rng.normal(0, 10, 8), rng.normal(0, 0.01, 8)
    found = metrics.paired_difference(seed_effect + 0.05 + noise, seed_effect)
    assert found.significant
    assert found.upper - found.lower < 0.05


def test_one_pair_has_a_mean_and_says_why_it_has_no_interval() -> None:
    found = metrics.paired_difference([0.3], [0.1])
    assert found.mean == pytest.approx(0.2)
    assert math.isnan(found.lower)
    assert math.isnan(found.p)
    assert "no interval" in found.note
    assert not found.significant


@pytest.mark.parametrize(("shift", "p"), [(0.0, 1.0), (0.5, 0.0)])
def test_equal_differences_give_an_interval_without_width_and_a_note(shift: float, p: float) -> None:
    found = metrics.paired_difference([1.0 + shift, 2.0 + shift], [1.0, 2.0])
    assert (found.mean, found.lower, found.upper, found.p) == (shift, shift, shift, p)
    assert "the same" in found.note


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ([], [], "no pairs"),
        ([1.0], [1.0, 2.0], "are no pairs"),
        ([1.0, math.nan], [1.0, 2.0], "1 of 2 pairs"),
        ([1.0, 2.0], [math.inf, 2.0], "1 of 2 pairs"),
    ],
)
def test_what_cannot_be_paired_is_refused(a: list[float], b: list[float], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        metrics.paired_difference(a, b)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(SpecError, match="confidence"):
        metrics.paired_difference([1.0, 2.0], [0.0, 2.0], confidence)


def two_methods(better: float, subjects: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two methods that find the same subjects hard; a separates the classes by ``better`` more."""
    rng = np.random.default_rng(10)
    subject = np.repeat(np.arange(subjects), 10)
    label = np.tile([1, 0, 0, 1, 0] * 2, subjects)
    hard = rng.normal(0, 0.7, (2, subjects))[label, subject]
    a = (1.5 + better) * label + hard + rng.normal(0, 0.8, len(label))
    b = 1.5 * label + hard + rng.normal(0, 0.8, len(label))
    return a, b, label, subject.astype(str)


def test_methods_are_compared_on_the_same_subjects() -> None:
    a, b, label, subject = two_methods(1.2)
    found = metrics.compare_methods(a, b, label, subject=subject, thresholds=(1.35, 0.75))
    assert found.auc.mean == metrics.auc(a, label) - metrics.auc(b, label)
    assert found.eer.mean == metrics.eer(a, label).eer - metrics.eer(b, label).eer
    assert found.hter is not None
    assert found.hter.mean == pytest.approx(
        metrics.rates_at(a, label, 1.35).hter - metrics.rates_at(b, label, 0.75).hter, abs=1e-12
    )
    assert found.auc.lower > 0
    assert found.auc.p < 0.001
    assert found.auc.n == 40
    alone = [metrics.confidence_intervals(scores, label, subject=subject).auc for scores in (a, b)]
    assert found.auc.upper - found.auc.lower < math.hypot(*(each.upper - each.lower for each in alone))


def test_a_method_does_not_differ_from_itself_or_from_its_equal() -> None:
    a, b, label, subject = two_methods(0.0)
    itself = metrics.compare_methods(a, a, label, subject=subject)
    assert (itself.auc.mean, itself.auc.lower, itself.auc.upper, itself.auc.p) == (0, 0, 0, 1)
    assert itself.hter is None
    assert not metrics.compare_methods(a, b, label, subject=subject).auc.significant


@pytest.mark.slow
def test_intervals_of_differences_cover_what_they_promise() -> None:
    rng = np.random.default_rng(4)
    separation, hits, worlds = (2.0, 1.5), 0, 1000
    truth = float(stats.norm.cdf(2.0 / math.sqrt(2 * 1.13)) - stats.norm.cdf(1.5 / math.sqrt(2 * 1.13)))
    for world in range(worlds):
        subject = np.repeat(np.arange(40), 8)
        label = np.tile([1, 0, 0, 0], 80)
        hard = rng.normal(0, 0.7, (2, 40))[label, subject]
        a, b = (gap * label + hard + rng.normal(0, 0.8, len(label)) for gap in separation)
        found = metrics.compare_methods(a, b, label, subject=subject.astype(str), resamples=300, seed=world)
        hits += found.auc.lower <= truth <= found.auc.upper
    assert 0.93 <= hits / worlds <= 0.97


def test_methods_on_different_rows_are_refused() -> None:
    with pytest.raises(DataError, match="do not fit together"):
        metrics.compare_methods([0.1, 0.2, 0.3], [0.1, 0.2], [1, 0, 1])
    with pytest.raises(DataError, match="NaN"):
        metrics.compare_methods([0.1, 0.2], [0.1, math.nan], [1, 0])
