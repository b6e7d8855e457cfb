"""Thousands of random score sets: every figure equals a slow, exact reading of its definition, and scikit-learn's.

The oracle below shares no line with the package: it loops over pairs and thresholds and counts.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from fasray import metrics
from fasray.errors import DataError

Set = tuple[list[float], list[int], list[str]]
KINDS = ("plain", "ties", "tiny", "constant", "infinite", "huge", "one class", "nan", "empty")
RATES = (0.0, 0.01, 0.05, 0.1, 0.5)


def random_set(rng: np.random.Generator, kind: str) -> Set:
    n = {"empty": 0, "tiny": int(rng.integers(2, 5))}.get(kind, int(rng.integers(2, 26)))
    label = rng.integers(0, 2, n)
    if kind == "one class":
        label[:] = rng.integers(0, 2)
    elif n:
        label[:2] = [1, 0]
    score = rng.normal(label * rng.choice([0, 1, 3]), 1)
    if kind == "ties":
        score = np.round(score)
    elif kind == "constant":
        score[:] = 0.25
    elif kind == "infinite":
        score = np.where(rng.random(n) < 0.3, rng.choice([np.inf, -np.inf], n), np.round(score, 1))
    elif kind == "huge":
        score = score * rng.choice([1e307, 1e-310, 1.0], n)
    elif kind == "nan":
        score[rng.integers(n)] = np.nan
    types = rng.choice(["print", "replay", "mask"], n)
    order = rng.permutation(n)
    return score[order].tolist(), label[order].tolist(), types[order].tolist()


class Oracle:
    """The definitions, by counting."""

    def __init__(self, scored: Set) -> None:
        self.rows = list(zip(*scored, strict=True))
        self.live = [s for s, label, _ in self.rows if label == 1]
        self.attack = [s for s, label, _ in self.rows if label == 0]

    def auc(self) -> Fraction:
        twice = sum(2 if a > b else 1 if a == b else 0 for a in self.live for b in self.attack)
        return Fraction(twice, 2 * len(self.live) * len(self.attack))

    def far(self, threshold: float) -> Fraction:
        return Fraction(sum(s >= threshold for s in self.attack), len(self.attack))

    def frr(self, threshold: float) -> Fraction:
        return Fraction(sum(not s >= threshold for s in self.live), len(self.live))

    def apcer(self, threshold: float) -> dict[str, Fraction]:
        by_type: dict[str, list[bool]] = {}
        for score, label, kind in self.rows:
            if label == 0:
                by_type.setdefault(kind, []).append(score >= threshold)
        return {kind: Fraction(sum(passed), len(passed)) for kind, passed in by_type.items()}

    def points(self) -> list[tuple[Fraction, Fraction]]:
        """(FAR, FRR) by rising threshold, without rejecting everything."""
        return [(self.far(t), self.frr(t)) for t in sorted({row[0] for row in self.rows})]

    def eer(self) -> Fraction:
        best = min(self.points(), key=lambda point: (abs(point[0] - point[1]), point[0] + point[1]))
        return (best[0] + best[1]) / 2

    def min_hter(self) -> Fraction:
        return min(far + frr for far, frr in self.points()) / 2

    def bpcer_at_apcer(self, limit: float, *, per_type: bool) -> Fraction:
        possible = [Fraction(1)]
        for threshold in {row[0] for row in self.rows}:
            worst = max(self.apcer(threshold).values()) if per_type else self.far(threshold)
            if float(worst) <= limit:
                possible.append(self.frr(threshold))
        return min(possible)

    def last_point_within_bpcer(self, limit: float) -> tuple[Fraction, Fraction]:
        return [(far, frr) for far, frr in self.points() if float(frr) <= limit][-1]


def close(found: float, expected: Fraction) -> bool:
    return abs(found - float(expected)) <= 1e-12


def check_figures(scored: Set) -> None:
    score, label, types = scored
    oracle = Oracle(scored)
    assert close(metrics.auc(score, label), oracle.auc())
    found = metrics.eer(score, label)
    assert close(found.eer, oracle.eer())
    assert close(metrics.rates_at(score, label, found.threshold).hter, oracle.eer())
    for threshold in (0.0, found.threshold, score[0]):
        rates = metrics.pad_rates_at(score, label, types, threshold)
        expected = oracle.apcer(threshold)
        assert [kind for kind, _ in rates.apcer_by_type] == sorted(expected)
        assert all(close(rate, expected[kind]) for kind, rate in rates.apcer_by_type)
        assert close(rates.bpcer, oracle.frr(threshold))
        assert close(rates.acer, (max(expected.values()) + oracle.frr(threshold)) / 2)
        plain = metrics.rates_at(score, label, threshold)
        assert close(plain.far, oracle.far(threshold))
        assert close(plain.frr, oracle.frr(threshold))


def check_limits(scored: Set) -> None:
    score, label, types = scored
    oracle = Oracle(scored)
    lowest = metrics.min_hter_threshold(score, label)
    assert close(metrics.rates_at(score, label, lowest).hter, oracle.min_hter())
    for rate in RATES:
        assert close(metrics.tpr_at_fpr(score, label, rate), 1 - oracle.bpcer_at_apcer(rate, per_type=False))
        assert close(metrics.bpcer_at_apcer(score, label, rate), oracle.bpcer_at_apcer(rate, per_type=False))
        per_type = oracle.bpcer_at_apcer(rate, per_type=True)
        assert close(metrics.bpcer_at_apcer(score, label, rate, types), per_type)
        at = metrics.rates_at(score, label, metrics.bpcer_threshold(score, label, rate))
        far, frr = oracle.last_point_within_bpcer(rate)
        assert close(at.far, far)
        assert close(at.frr, frr)
        try:
            threshold = metrics.apcer_threshold(score, label, rate, types)
        except DataError:
            assert math.inf in oracle.attack
            assert float(max(oracle.apcer(math.inf).values())) > rate
        else:
            assert float(max(oracle.apcer(threshold).values())) <= rate
            assert close(metrics.rates_at(score, label, threshold).frr, per_type)


def check_scikit_learn(scored: Set) -> None:
    score, label, _ = scored
    # scikit-learn refuses infinities; only the order counts, so ranks say the same.
    _, rank = np.unique(score, return_inverse=True)
    assert abs(metrics.auc(score, label) - roc_auc_score(label, rank)) <= 1e-12
    fpr, tpr, thresholds = roc_curve(label, rank, drop_intermediate=False)
    points = metrics.roc(score, label)
    np.testing.assert_allclose(points.far[::-1], fpr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(1 - points.frr[::-1], tpr, rtol=0, atol=1e-12)
    assert points.threshold[-2::-1].tolist() == np.unique(score)[thresholds[1:].astype(int)].tolist()


def check_refusal(scored: Set, reason: str) -> None:
    score, label, types = scored
    for metric in (metrics.auc, metrics.eer, metrics.roc, metrics.det, metrics.min_hter_threshold):
        with pytest.raises(DataError, match=reason):
            metric(score, label)
    for rule in metrics.COMPAT.values():
        with pytest.raises(DataError, match=reason):
            rule(score, label)
    with pytest.raises(DataError, match=reason):
        metrics.pad_rates_at(score, label, types, 0.5)
    with pytest.raises(DataError, match=reason):
        metrics.bpcer_at_apcer(score, label, 0.1)
    with pytest.raises(DataError, match=reason):
        metrics.confidence_intervals(score, label, threshold=0.5)


REASONS = {"nan": "are NaN", "empty": "there are no scores", "one class": "scores are (live|attacks)"}


def check(count: int) -> None:
    rng = np.random.default_rng(20)
    for position in range(count):
        kind = KINDS[position % len(KINDS)]
        scored = random_set(rng, kind)
        if kind in REASONS:
            check_refusal(scored, REASONS[kind])
            continue
        check_figures(scored)
        check_limits(scored)
        check_scikit_learn(scored)


def test_hundreds_of_random_sets_agree_with_exact_counting_and_scikit_learn() -> None:
    check(450)


@pytest.mark.slow
def test_ten_thousand_random_sets_agree_with_exact_counting_and_scikit_learn() -> None:
    check(10_000)
