"""All thresholds at once: ROC points, area under the curve, equal error rate.

A score at or above the threshold is accepted as live. The operating points are therefore those of the distinct
scores, and one more that rejects everything; between two neighbouring scores nothing changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.metrics.inputs import check_both_classes, check_column, check_rate, check_scores


@dataclass(frozen=True, eq=False)
class Roc:
    """Operating points by rising threshold: FAR falls from 1 to 0 while FRR rises from 0 to 1."""

    threshold: NDArray[np.float64]
    """[K + 1] the K distinct scores and +inf, which stands for rejecting everything."""
    far: NDArray[np.float64]
    """[K + 1] share of attacks accepted."""
    frr: NDArray[np.float64]
    """[K + 1] share of live faces rejected."""


@dataclass(frozen=True)
class Eer:
    """Equal error rate and the threshold that gives it."""

    eer: float
    """(FAR + FRR) / 2 at ``threshold``, a fraction; so it is the HTER there."""
    threshold: float


@dataclass(frozen=True, eq=False)
class Det:
    """Operating points by rising threshold on the axes of a DET plot."""

    threshold: NDArray[np.float64]
    """[K + 1] as ``Roc``."""
    apcer: NDArray[np.float64]
    """[K + 1] normal deviate of the share of attacks accepted, all attack types together."""
    bpcer: NDArray[np.float64]
    """[K + 1] normal deviate of the share of live faces rejected."""


def roc(score: ArrayLike, label: ArrayLike) -> Roc:
    """Return every operating point of a score set, O(n log n).

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    distinct, rejected_live, accepted_attack, lives, attacks = _counts(score, label)
    return Roc(np.append(distinct, np.inf), accepted_attack / attacks, rejected_live / lives)


def auc(score: ArrayLike, label: ArrayLike) -> float:
    """Return the area under the ROC: the chance that a live score exceeds an attack score, ties counting one half.

    Mann-Whitney, summed in integers, so it does not depend on the order of rows; it equals the trapezoid area.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    _, rejected_live, accepted_attack, lives, attacks = _counts(score, label)
    live_here = np.diff(rejected_live)
    twice_below = 2 * (attacks - accepted_attack[:-1]) + (accepted_attack[:-1] - accepted_attack[1:])
    return float(int((live_here * twice_below).sum()) / (2 * lives * attacks))


def eer(score: ArrayLike, label: ArrayLike) -> Eer:
    """Return the equal error rate and its threshold.

    Convention: among the operating points the one with the smallest absolute FAR - FRR, nothing interpolated; of two
    such points the one with the smaller FAR + FRR, then the lower threshold. All thresholds between two
    neighbouring scores are the same point, and the middle of them is returned: on a separable set it lies half way
    between the classes instead of on the weakest live score.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    distinct, rejected_live, accepted_attack, lives, attacks = _counts(score, label)
    difference = np.abs(accepted_attack * lives - rejected_live * attacks)
    total = accepted_attack * lives + rejected_live * attacks
    # Rejecting everything is never better than accepting everything, so the last point needs no threshold.
    best = int(np.lexsort((total[:-1], difference[:-1]))[0])
    return Eer(float(total[best] / (2 * lives * attacks)), middle(distinct, best))


def tpr_at_fpr(score: ArrayLike, label: ArrayLike, fpr: float) -> float:
    """Return the largest share of live faces accepted while at most ``fpr`` of the attacks are.

    An operating point of the set, nothing interpolated; rejecting everything is one, so there always is an answer.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
        SpecError: ``fpr`` is no rate.
    """
    check_rate(fpr)
    _, rejected_live, accepted_attack, lives, attacks = _counts(score, label)
    allowed = accepted_attack / attacks <= fpr
    return float((lives - rejected_live[allowed].min()) / lives)


def bpcer_at_apcer(score: ArrayLike, label: ArrayLike, apcer: float, attack_type: ArrayLike | None = None) -> float:
    """Return the smallest BPCER of an operating point whose APCER is at most ``apcer``; nothing interpolated.

    Args:
        score: [N] higher = more live.
        label: [N] 1 = live, 0 = attack.
        apcer: the limit, a fraction; 0.1, 0.05 and 0.01 give the field's BPCER10, BPCER20 and BPCER100.
        attack_type: [N] where given, every attack type has to keep to the limit, as ISO/IEC 30107-3 has it; else all
            attacks count together.

    Raises:
        DataError: empty, NaN, strange labels, one class only, or lengths that differ.
        SpecError: ``apcer`` is no rate.
    """
    check_rate(apcer)
    distinct, rejected_live, _, lives, _ = _counts(score, label)
    # Rejecting more only lowers an APCER, so the first point that keeps to the limit has the least BPCER.
    return float(rejected_live[first_point_within(score, label, apcer, attack_type, distinct)] / lives)


def first_point_within(
    score: ArrayLike, label: ArrayLike, apcer: float, attack_type: ArrayLike | None, distinct: NDArray[np.float64]
) -> int:
    """Return the index in ``distinct`` of the lowest threshold with every APCER at most ``apcer``; K rejects all."""
    scores, live = check_scores(score, label)
    groups = [scores[~live]]
    if attack_type is not None:
        types = check_column(attack_type, scores, "attack types")[~live]
        groups = [scores[~live][types == name] for name in np.unique(types)]
    position = 0
    for group in groups:
        accepted = len(group) - np.searchsorted(np.sort(group), distinct, "left")
        within = np.flatnonzero(np.append(accepted, 0) / len(group) <= apcer)
        position = max(position, int(within[0]))
    return position


def det(score: ArrayLike, label: ArrayLike) -> Det:
    """Return the detection error trade-off: the ROC's points, as normal deviates.

    A rate of 0 or 1 has no deviate and is -inf or +inf there; a plot leaves it out or clips it, and says so.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    from scipy.special import ndtri  # a tenth of a second that only this function needs

    points = roc(score, label)
    return Det(points.threshold, ndtri(points.far), ndtri(points.frr))


def _counts(
    score: ArrayLike, label: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64], int, int]:
    """Return distinct scores [K], live rejected and attacks accepted at each and at reject-all [K + 1], class sizes."""
    scores, live = check_scores(score, label)
    lives, attacks = check_both_classes(live)
    distinct, inverse = np.unique(scores, return_inverse=True)
    live_at = np.bincount(inverse[live], minlength=len(distinct))
    attack_at = np.bincount(inverse[~live], minlength=len(distinct))
    rejected_live = np.concatenate([[0], np.cumsum(live_at)]).astype(np.int64)
    accepted_attack = attacks - np.concatenate([[0], np.cumsum(attack_at)]).astype(np.int64)
    return distinct, rejected_live, accepted_attack, lives, attacks


def middle(distinct: NDArray[np.float64], position: int) -> float:
    """Return the threshold half way between a distinct score and the one below it: the same operating point."""
    upper = float(distinct[position])
    if position == 0:
        return upper
    lower = float(distinct[position - 1])
    half_way = lower / 2 + upper / 2
    # Neighbouring floats have no middle, and half of infinity is none.
    return half_way if math.isfinite(half_way) and lower < half_way <= upper else upper
