"""Mean differences of two variants over the same seeds say how sure one can be."""

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
