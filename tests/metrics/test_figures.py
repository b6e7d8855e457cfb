"""All figures in one go are those of the single functions."""

from __future__ import annotations

import numpy as np
import pytest

from fasray import metrics


@pytest.mark.parametrize("digits", [1, 8])
def test_figures_in_one_go_are_those_of_the_single_functions(digits: int) -> None:
    rng = np.random.default_rng(digits)
    label = (rng.random(300) < 0.3).astype(int)
    score = np.round(rng.normal(label * 1.5, 1), digits)
    types = rng.choice(["print", "replay"], 300)
    found = metrics.figures(score, label, 0.7, types)
    pad, eer = metrics.pad_rates_at(score, label, types, 0.7), metrics.eer(score, label)
    assert (found.auc, found.eer, found.eer_threshold) == (metrics.auc(score, label), eer.eer, eer.threshold)
    assert (found.apcer, found.acer, found.bpcer) == (pad.apcer, pad.acer, pad.bpcer)
    assert found.apcer_by_type == pad.apcer_by_type
    assert found.hter == metrics.rates_at(score, label, 0.7).hter
    assert found.tpr_at_fpr1 == pytest.approx(metrics.tpr_at_fpr(score, label, 0.01), abs=1e-15)
    for limit, value in (
        (0.1, found.bpcer_at_apcer10),
        (0.05, found.bpcer_at_apcer5),
        (0.01, found.bpcer_at_apcer1),
    ):
        assert value == metrics.bpcer_at_apcer(score, label, limit, types)
    assert (found.lives, found.attacks) == (label.sum(), 300 - label.sum())


def test_without_types_and_threshold_all_attacks_are_one_type_at_the_eer() -> None:
    found = metrics.figures([0.1, 0.4, 0.6, 0.3, 0.9], [0, 0, 1, 1, 1])
    assert found.threshold == found.eer_threshold
    assert (found.apcer, found.apcer_by_type) == (found.far, ())
    assert (found.acer, found.hter) == pytest.approx((found.eer, found.eer), abs=1e-15)
