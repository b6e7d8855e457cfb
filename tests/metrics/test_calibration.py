"""Calibration is the maximum likelihood that SciPy finds, keeps every decision, and its errors are scikit-learn's."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from fasray.errors import DataError, SpecError
from fasray.metrics.calibration import KINDS, Calibration, Kind, brier, fit_calibration, reliability


def overconfident(seed: int = 0, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose logits are twice too large and shifted."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, rows)
    label = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    return 1 / (1 + np.exp(-(2 * logit + 1))), label


@pytest.mark.parametrize("kind", KINDS)
def test_the_curve_is_the_maximum_of_the_likelihood(kind: Kind) -> None:
    score, label = overconfident()
    found = fit_calibration(score, label, kind)
    x, lives, attacks = np.log(score / (1 - score)), label.sum(), (1 - label).sum()
    target = np.where(label == 1, (lives + 1) / (lives + 2), 1 / (attacks + 2))

    def loss(weights: np.ndarray) -> float:
        logits = weights[0] * x + (weights[1] if kind == "platt" else 0)
        return float((np.logaddexp(0, logits) - target * logits).sum())

    expected = minimize(loss, [1.0, 0.0], tol=1e-12).x
    assert (found.slope, found.intercept) == pytest.approx(expected, abs=1e-5)
    assert found.live_share == label.mean()


def test_a_known_distortion_is_undone() -> None:
    score, label = overconfident(rows=50_000)
    found = fit_calibration(score, label)
    assert (found.slope, found.intercept) == pytest.approx((0.5, -0.5), abs=0.03)
    assert reliability(found.apply(score), label).ece < 0.01 < 0.1 < reliability(score, label).ece
    assert brier(found.apply(score), label) < brier(score, label)


def test_no_decision_changes_and_the_curve_survives_json() -> None:
    score, label = overconfident()
    found = fit_calibration(score, label)
    again = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    for threshold in score[:50]:
        np.testing.assert_array_equal(again.apply(score) >= again.apply(threshold), score >= threshold)
    with pytest.raises(DataError, match="not a calibration"):
        Calibration.from_json({**found.to_json(), "slope": "steep"})


@pytest.mark.parametrize("bins", [10, 15])
def test_reliability_and_its_errors_are_those_of_scikit_learn(bins: int) -> None:
    score, label = overconfident()
    score = np.concatenate([score, np.linspace(0, 1, bins + 1)])
    label = np.concatenate([label, np.arange(bins + 1) % 2])
    found = reliability(score, label, bins)
    observed, predicted = calibration_curve(label, score, n_bins=bins)
    np.testing.assert_allclose(found.observed, observed, rtol=1e-12)
    np.testing.assert_allclose(found.predicted, predicted, rtol=1e-12)
    gaps = sum(
        abs(score[here].sum() - label[here].sum())
        for k in range(bins)
        for here in [np.ceil(np.round(score * bins, 9)).clip(1) == k + 1]
    )
    assert found.ece == pytest.approx(gaps / len(score), abs=1e-12)
    assert brier(score, label) == pytest.approx(brier_score_loss(label, score), abs=1e-12)


def test_separated_classes_and_scores_of_any_range_have_a_finite_curve() -> None:
    for score in ([0.0, 0.0, 1.0, 1.0], [-900.0, -800.0, 700.0, 1e4]):
        found = fit_calibration(score, [0, 0, 1, 1])
        assert math.isfinite(found.slope)
        assert (np.diff(found.apply(score)) >= 0).all()
    assert (fit_calibration([0.0, 0.2, 1.0], [0, 0, 1]).input, found.input) == ("logit", "score")


@pytest.mark.parametrize(
    ("score", "label", "kind", "reason"),
    [
        ([0.1, 0.9], [1, 0], "platt", "do not rank live faces above attacks"),
        ([0.5, 0.5], [1, 0], "platt", "do not rank live faces above attacks"),
        ([0.1, 9.0], [0, 1], "temperature", "no probabilities"),
        ([0.1, math.inf], [0, 1], "platt", "infinite"),
        ([0.1, 0.2], [0, 0], "platt", "all 2 scores are attacks"),
    ],
)
def test_what_has_no_rising_curve_is_refused(score: list[float], label: list[int], kind: Kind, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        fit_calibration(score, label, kind)


def test_a_calibration_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SpecError, match="isotonic"):
        fit_calibration([0.1, 0.9], [0, 1], "isotonic")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no probabilities"):
        brier([2.0, 0.1], [1, 0])
