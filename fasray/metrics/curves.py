"""All thresholds at once: ROC points, area under the curve, equal error rate.

A score at or above the threshold is accepted as live. The operating points are therefore those of the distinct
scores, and one more that rejects everything; between two neighbouring scores nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.metrics.inputs import check_column, check_rate, check_scores
from fasray.metrics.tally import Tally, tally


@dataclass(frozen=True, eq=False)
class Roc:
    """Operating points by rising threshold: FAR falls from 1 to 0 while FRR rises from 0 to 1."""

    threshold: NDArray[np.float64]
    """[K + 1] the K distinct scores and +inf, which rejects everything."""
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
    far: NDArray[np.float64]
    """[K + 1] normal deviate of the share of attacks accepted, all attack types together."""
    frr: NDArray[np.float64]
    """[K + 1] normal deviate of the share of live faces rejected."""


def roc(score: ArrayLike, label: ArrayLike) -> Roc:
    """Return every operating point of a score set, O(n log n).

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    counted = tally(score, label)
    far, frr = counted.accepted_attack / counted.attacks, counted.rejected_live / counted.lives
    return Roc(np.append(counted.distinct, np.inf), far, frr)


def auc(score: ArrayLike, label: ArrayLike) -> float:
    """Return the area under the ROC: the chance that a live score exceeds an attack score, ties counting one half.

    Mann-Whitney, summed in integers, so it does not depend on the order of rows; it equals the trapezoid area.

    Raises:
        DataError: empty, NaN, strange labels or one class only.

    >>> auc([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0])  # three pairs of four in order, and half a tie
    0.875
    """
    return tally(score, label).auc()


def eer(score: ArrayLike, label: ArrayLike) -> Eer:
    """Return the equal error rate and its threshold.

    Convention: among the operating points the one with the smallest absolute FAR - FRR, nothing interpolated; of two
    such points the one with the smaller FAR + FRR, then the lower threshold. All thresholds between two
    neighbouring scores are the same point, and the middle of them is returned: on a separable set it lies half way
    between the classes instead of on the weakest live score.

    Raises:
        DataError: empty, NaN, strange labels or one class only.

    >>> found = eer([0.9, 0.8, 0.3, 0.6, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
    >>> round(found.eer, 3), round(found.threshold, 3)
    (0.333, 0.45)
    """
    return Eer(*tally(score, label).eer())


def tpr_at_fpr(score: ArrayLike, label: ArrayLike, fpr: float) -> float:
    """Return the largest share of live faces accepted while at most ``fpr`` of the attacks are.

    An operating point of the set, nothing interpolated; rejecting everything is one, so there always is an answer.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
        SpecError: ``fpr`` is not in [0, 1].

    >>> tpr_at_fpr([0.9, 0.8, 0.3, 0.6, 0.2, 0.1], [1, 1, 1, 0, 0, 0], fpr=0.01)
    0.6666666666666666
    """
    check_rate(fpr)
    counted = tally(score, label)
    return float((counted.lives - counted.rejected_live[counted.first_within(fpr)]) / counted.lives)


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
        SpecError: ``apcer`` is not in [0, 1].

    >>> score, label = [0.9, 0.8, 0.5, 0.6, 0.2, 0.1], [1, 1, 1, 0, 0, 0]
    >>> bpcer_at_apcer(score, label, 0.4)  # one attack of three may pass
    0.0
    >>> bpcer_at_apcer(score, label, 0.4, ["", "", "", "print", "replay", "replay"])  # it is every print
    0.3333333333333333
    """
    check_rate(apcer)
    counted = tally(score, label)
    # Rejecting more only lowers an APCER, so the first point that keeps to the limit has the least BPCER.
    point = first_within_every_type(counted, score, label, apcer, attack_type)
    return counted.frr_at(point)


def first_within_every_type(
    counted: Tally, score: ArrayLike, label: ArrayLike, apcer: float, attack_type: ArrayLike | None
) -> int:
    """Return the first point of a tally of these rows at which the APCER of every attack type is at most ``apcer``."""
    if attack_type is None:
        return counted.first_within(apcer)
    scores, live = check_scores(score, label)
    types, attacks = check_column(attack_type, scores, "attack types")[~live], scores[~live]
    point = 0
    for name in np.unique(types):
        of_type = np.sort(attacks[types == name])
        accepted = np.append(len(of_type) - np.searchsorted(of_type, counted.distinct, "left"), 0)
        point = max(point, int(np.argmax(accepted / len(of_type) <= apcer)))
    return point


def det(score: ArrayLike, label: ArrayLike) -> Det:
    """Return the detection error trade-off: the ROC's points, as normal deviates.

    A rate of 0 or 1 has no deviate and is -inf or +inf there; a plot leaves it out or clips it, and says so.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    from scipy.special import ndtri  # a tenth of a second that only this function needs

    points = roc(score, label)
    return Det(points.threshold, ndtri(points.far), ndtri(points.frr))
