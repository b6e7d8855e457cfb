"""The habits of official repositories, by name, to reproduce old numbers; for new ones take ``eer`` and ``rates_at``.

All of them choose their threshold on the rows that they judge, so on a target they are oracles.

================  ============================================================================================
``ssdg-grid``     SSDG: thresholds 0, 0.0001 ... 1 and 1.1; the *last* one with the least |FRR - FAR|. Scores
                  outside [0, 1] get a threshold that says nothing; the official loop does not notice.
``safas-roc``     SA-FAS: scikit-learn's ROC points; the first, from the top, with the least |TPR + FPR - 1|. Its
                  EER is the FPR there. A score on the threshold counts as right in both classes.
``hfn-min-hter``  HFN+MP: 100,001 thresholds from the least score to the greatest. The headline is the least
                  HTER (the first), which is at most the EER that it also reports.
================  ============================================================================================

The rules were established from the repositories' behaviour and written anew; ``tests/golden/metrics_all.npz`` holds
what the originals give. Rates are fractions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.metrics.curves import auc, roc
from fasray.metrics.inputs import check_both_classes, check_scores

SSDG_STEPS = 10_000
HFN_STEPS = 100_000
_SAFAS_FPR = 0.05


@dataclass(frozen=True)
class CompatFigures:
    """What an official evaluation reports of one score set; None is what it does not report."""

    rule: str
    eer: float
    eer_threshold: float
    hter: float
    """The figure that its tables print."""
    threshold: float
    """Where ``far``, ``frr`` and ``hter`` are taken."""
    far: float
    frr: float
    auc: float | None = None
    accuracy: float | None = None
    tpr_near_fpr_5: float | None = None
    """TPR at the ROC point whose FPR is nearest to 5 %, on either side of it."""
    half_far: float | None = None
    """FAR at the threshold 0.5."""
    half_frr: float | None = None
    """FRR at the threshold 0.5."""

    @property
    def half_hter(self) -> float | None:
        """HTER at the threshold 0.5."""
        return None if self.half_far is None or self.half_frr is None else (self.half_far + self.half_frr) / 2


def ssdg_grid(score: ArrayLike, label: ArrayLike) -> CompatFigures:
    """Return what SSDG's evaluation loop finds; needs scores in [0, 1] to mean anything.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    live, attack = _classes(score, label)
    # Division, not multiplication: the grid's bits decide ties with scores.
    thresholds = np.append(np.arange(SSDG_STEPS + 1) / SSDG_STEPS, 1.1)
    far, frr = _rates(attack, live, thresholds)
    distance = np.abs(frr - far)
    best = len(thresholds) - 1 - int(np.argmin(distance[::-1]))
    right = (1 - far[best]) * len(attack) + (1 - frr[best]) * len(live)
    half = float((far[best] + frr[best]) / 2)
    threshold = float(thresholds[best])
    return CompatFigures(
        "ssdg-grid",
        eer=half,
        eer_threshold=threshold,
        hter=half,
        threshold=threshold,
        far=float(far[best]),
        frr=float(frr[best]),
        auc=auc(score, label),
        accuracy=float(right / (len(live) + len(attack))),
    )


def safas_roc(score: ArrayLike, label: ArrayLike) -> CompatFigures:
    """Return what SA-FAS's evaluation finds.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    live, attack = _classes(score, label)
    points = roc(score, label)
    threshold, fpr, tpr = points.threshold[::-1], points.far[::-1], 1 - points.frr[::-1]
    best = int(np.argmin(np.abs(tpr + fpr - 1)))
    wrong = np.searchsorted(live, threshold[best], "left")
    wrong = wrong + len(attack) - np.searchsorted(attack, threshold[best], "right")
    frr = float(1 - tpr[best])
    return CompatFigures(
        "safas-roc",
        eer=float(fpr[best]),
        eer_threshold=float(threshold[best]),
        hter=(float(fpr[best]) + frr) / 2,
        threshold=float(threshold[best]),
        far=float(fpr[best]),
        frr=frr,
        auc=auc(score, label),
        accuracy=float(1 - wrong / (len(live) + len(attack))),
        tpr_near_fpr_5=float(tpr[int(np.argmin(np.abs(fpr - _SAFAS_FPR)))]),
    )


def hfn_min_hter(score: ArrayLike, label: ArrayLike) -> CompatFigures:
    """Return what HFN+MP's evaluation finds; ``hter`` is the least one of all thresholds.

    Raises:
        DataError: empty, NaN, strange labels, one class only, or infinite scores, between which there is no grid.
    """
    live, attack = _classes(score, label)
    least, most = min(live[0], attack[0]), max(live[-1], attack[-1])
    if not np.isfinite(most - least):
        raise DataError(
            f"scores from {least} to {most} have no grid of {HFN_STEPS + 1} thresholds",
            remedy="give finite scores, or take another rule",
        )
    # In this order of operations: the grid's bits decide ties with scores.
    thresholds = least + np.arange(HFN_STEPS + 1) * (most - least) / HFN_STEPS
    far, frr = _rates(attack, live, thresholds)
    nearest, lowest = int(np.argmin(np.abs(far - frr))), int(np.argmin(far + frr))
    half_far, half_frr = _rates(attack, live, np.array([0.5]))
    return CompatFigures(
        "hfn-min-hter",
        eer=float((far[nearest] + frr[nearest]) / 2),
        eer_threshold=float(thresholds[nearest]),
        hter=float((far[lowest] + frr[lowest]) / 2),
        threshold=float(thresholds[lowest]),
        far=float(far[lowest]),
        frr=float(frr[lowest]),
        half_far=float(half_far[0]),
        half_frr=float(half_frr[0]),
    )


COMPAT: dict[str, Callable[[ArrayLike, ArrayLike], CompatFigures]] = {
    "ssdg-grid": ssdg_grid,
    "safas-roc": safas_roc,
    "hfn-min-hter": hfn_min_hter,
}
"""The rules by name."""


def compat_figures(rule: str, score: ArrayLike, label: ArrayLike) -> CompatFigures:
    """Return the figures that a rule, by name, reports.

    Raises:
        SpecError: there is no such rule.
        DataError: empty, NaN, strange labels or one class only.
    """
    if rule not in COMPAT:
        raise SpecError(f"there is no compatibility rule {rule!r}", remedy=did_you_mean(rule, COMPAT))
    return COMPAT[rule](score, label)


def _classes(score: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the live and the attack scores, each ascending."""
    scores, live = check_scores(score, label)
    check_both_classes(live)
    return np.sort(scores[live]), np.sort(scores[~live])


def _rates(
    attack: NDArray[np.float64], live: NDArray[np.float64], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return FAR and FRR at each threshold; a score on it is live."""
    far = (len(attack) - np.searchsorted(attack, thresholds, "left")) / len(attack)
    return far, np.searchsorted(live, thresholds, "left") / len(live)
