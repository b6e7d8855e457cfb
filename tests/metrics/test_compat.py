"""The official habits, by name, give the official numbers, and differ from the honest ones where they are known to."""

from __future__ import annotations

import numpy as np
import pytest
from locations import GOLDEN

from fasray import metrics
from fasray.errors import DataError, SpecError

SCORES = np.load(GOLDEN / "metrics_all.npz")
SETS = sorted(name.removesuffix("_score") for name in SCORES if name.endswith("_score"))


def golden(name: str, official: str) -> dict[str, float]:
    return dict(zip(SCORES[f"{official}_cols"].tolist(), SCORES[f"{name}_{official}"].tolist(), strict=True))


def scored(name: str) -> tuple[np.ndarray, np.ndarray]:
    return SCORES[f"{name}_score"], SCORES[f"{name}_label"]


def test_every_array_of_the_golden_file_is_used() -> None:
    used = {f"{name}_{part}" for name in SETS for part in ("score", "label", "ssdg", "safas", "safas_thr", "mp")}
    assert set(SCORES) == used | {"ssdg_cols", "safas_cols", "mp_cols"}


@pytest.mark.parametrize("name", SETS)
def test_ssdg_grid_is_the_official_loop(name: str) -> None:
    found = metrics.compat_figures("ssdg-grid", *scored(name))
    assert golden(name, "ssdg") == pytest.approx(
        {
            "EER": found.eer,
            "EER_thr": found.eer_threshold,
            "HTER@EER_thr": found.hter,
            "AUC": found.auc,
            "ACC@EER_thr": found.accuracy,
        },
        abs=1e-12,
    )


@pytest.mark.parametrize("name", SETS)
def test_safas_roc_is_the_official_evaluation(name: str) -> None:
    found = metrics.compat_figures("safas-roc", *scored(name))
    assert golden(name, "safas") == pytest.approx(
        {
            "ACC": found.accuracy,
            "FPR": found.far,
            "FRR": found.frr,
            "HTER": found.hter,
            "AUC": found.auc,
            "EER(fpr)": found.eer,
            "TPR@FPR~5%": found.tpr_near_fpr_5,
        },
        abs=1e-12,
    )
    assert found.threshold == SCORES[f"{name}_safas_thr"]


@pytest.mark.parametrize("name", SETS)
def test_hfn_min_hter_is_the_official_search_over_thresholds(name: str) -> None:
    found = metrics.compat_figures("hfn-min-hter", *scored(name))
    assert golden(name, "mp") == pytest.approx(
        {
            "EER": found.eer,
            "EER_thr": found.eer_threshold,
            "MIN_HTER": found.hter,
            "MIN_HTER_thr": found.threshold,
            "FAR@min": found.far,
            "FRR@min": found.frr,
            "HTER@0.5": found.half_hter,
            "FAR@0.5": found.half_far,
            "FRR@0.5": found.half_frr,
        },
        abs=1e-12,
    )


def test_a_grid_says_nothing_about_scores_that_lie_outside_of_it() -> None:
    score, label = scored("raw_logits")
    assert metrics.compat_figures("ssdg-grid", score, label).threshold == 1.1
    assert metrics.eer(score, label).threshold < 1.1


def test_least_hter_flatters_beside_the_eer() -> None:
    score, label = scored("imbal")
    assert metrics.compat_figures("hfn-min-hter", score, label).hter < metrics.eer(score, label).eer - 0.05


def test_unknown_rules_and_infinite_grids_are_refused() -> None:
    with pytest.raises(SpecError, match="did you mean 'ssdg-grid'"):
        metrics.compat_figures("ssdg_grid", [0.1, 0.9], [0, 1])
    with pytest.raises(DataError, match="no grid"):
        metrics.compat_figures("hfn-min-hter", [0.1, np.inf], [0, 1])
