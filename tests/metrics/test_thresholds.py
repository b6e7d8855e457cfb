"""Threshold rules keep what they promise on the rows that they look at."""

from __future__ import annotations

import numpy as np
import pytest

from fasray import metrics
from fasray.errors import DataError, SpecError

SCORE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
LABEL = [0, 0, 1, 0, 1, 0, 1, 1]
TYPES = ["mask", "print", "live", "print", "live", "mask", "live", "live"]


def test_fixed_bpcer_is_the_highest_threshold_that_keeps_to_it() -> None:
    assert metrics.bpcer_threshold(SCORE, LABEL, 0.25) == pytest.approx(0.45)
    assert metrics.bpcer_threshold(SCORE, LABEL, 0.24) == pytest.approx(0.25)
    assert metrics.rates_at(SCORE, LABEL, 0.45).frr == 0.25


def test_fixed_apcer_holds_for_every_attack_type() -> None:
    assert metrics.apcer_threshold(SCORE, LABEL, 0.25) == pytest.approx(0.45)
    assert metrics.apcer_threshold(SCORE, LABEL, 0.25, TYPES) == pytest.approx(0.65)
    assert metrics.pad_rates_at(SCORE, LABEL, TYPES, 0.65).apcer == 0


def test_an_attack_above_all_can_only_be_rejected_with_everything() -> None:
    threshold = metrics.apcer_threshold([0.2, 0.9], [1, 0], 0.0)
    assert threshold == np.nextafter(0.9, 1)
    with pytest.raises(DataError, match="pass every threshold"):
        metrics.apcer_threshold([0.2, np.inf], [1, 0], 0.0)


@pytest.mark.parametrize(
    ("rule", "direct"),
    [
        ("eer", metrics.eer_threshold(SCORE, LABEL)),
        ("min-hter", metrics.min_hter_threshold(SCORE, LABEL)),
        ("bpcer=0.25", metrics.bpcer_threshold(SCORE, LABEL, 0.25)),
        ("apcer=0.25", metrics.apcer_threshold(SCORE, LABEL, 0.25, TYPES)),
    ],
)
def test_rules_go_by_name(rule: str, direct: float) -> None:
    assert metrics.choose_threshold(rule, SCORE, LABEL, TYPES) == direct


@pytest.mark.parametrize("rule", ["eerr", "bpcer", "bpcer=", "apcer=5", "bpcer=nan", "eer=0.1", ""])
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(SpecError, match="rule|rate"):
        metrics.choose_threshold(rule, SCORE, LABEL)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), 5])
def test_a_limit_in_percent_is_refused(rate: float) -> None:
    for metric in (metrics.tpr_at_fpr, metrics.bpcer_at_apcer, metrics.bpcer_threshold):
        with pytest.raises(SpecError, match="between 0 and 1"):
            metric(SCORE, LABEL, rate)
