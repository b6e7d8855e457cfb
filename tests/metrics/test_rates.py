"""Rates at a threshold count what they say they count."""

from __future__ import annotations

import numpy as np
import pytest

from fasray import metrics
from fasray.errors import DataError

SCORE = [0.9, 0.6, 0.5, 0.2, 0.8, 0.5, 0.4, 0.1]
LABEL = [1, 1, 1, 1, 0, 0, 0, 0]
TYPES = ["live", "live", "live", "live", "print", "print", "replay", "replay"]


def test_a_score_on_the_threshold_is_accepted() -> None:
    found = metrics.rates_at(SCORE, LABEL, 0.5)
    assert (found.far, found.frr, found.hter) == (0.5, 0.25, 0.375)


def test_acer_takes_the_worst_attack_type() -> None:
    found = metrics.pad_rates_at(SCORE, LABEL, TYPES, 0.5)
    assert found.apcer_by_type == (("print", 1.0), ("replay", 0.0))
    assert (found.apcer, found.bpcer, found.acer) == (1.0, 0.25, 0.625)


def test_with_one_attack_type_acer_is_hter() -> None:
    rng = np.random.default_rng(3)
    score, label = rng.random(200), rng.integers(0, 2, 200)
    types = np.where(label == 1, "live", "print")
    for threshold in (0.0, 0.3, 0.77, 1.1):
        pad = metrics.pad_rates_at(score, label, types, threshold)
        assert pad.acer == pytest.approx(metrics.rates_at(score, label, threshold).hter, abs=1e-12)


@pytest.mark.parametrize("threshold", [float("inf"), float("-inf")])
def test_infinite_thresholds_reject_or_accept_everything(threshold: float) -> None:
    found = metrics.rates_at(SCORE, LABEL, threshold)
    assert (found.far, found.frr) == ((0.0, 1.0) if threshold > 0 else (1.0, 0.0))


def test_a_nan_threshold_and_missing_types_are_refused() -> None:
    with pytest.raises(DataError, match="threshold is NaN"):
        metrics.rates_at(SCORE, LABEL, float("nan"))
    with pytest.raises(DataError, match="attack types"):
        metrics.pad_rates_at(SCORE, LABEL, TYPES[:-1], 0.5)
