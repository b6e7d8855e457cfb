"""Where to put the threshold: rules that look at the scores of given rows.

On source-dev rows a rule is honest; on the target's own rows it is the oracle's, and the caller has to mark it.

=============  =======================================================================================
``eer``        equal error rate, see ``curves.eer``
``bpcer=X``    the highest threshold that rejects at most the share X of live faces
``apcer=X``    the lowest threshold at which every attack type keeps to the share X
``min-hter``   least HTER; of several such points the one nearest to equal errors, then the lowest
=============  =======================================================================================

All thresholds between two neighbouring scores are the same operating point; the middle of them is returned.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.metrics.curves import eer, first_within_every_type
from fasray.metrics.inputs import check_rate
from fasray.metrics.tally import tally

RULES = ("eer", "bpcer=X", "apcer=X", "min-hter")


def eer_threshold(score: ArrayLike, label: ArrayLike) -> float:
    """Return the threshold of the equal error rate; errors as ``curves.eer``."""
    return eer(score, label).threshold


def bpcer_threshold(score: ArrayLike, label: ArrayLike, bpcer: float) -> float:
    """Return the highest threshold that rejects at most the share ``bpcer`` of live faces.

    The lowest score rejects no video, so there always is one.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
        SpecError: ``bpcer`` is not in [0, 1].
    """
    check_rate(bpcer)
    counted = tally(score, label)
    return counted.middle(int(np.flatnonzero(counted.rejected_live[:-1] / counted.lives <= bpcer)[-1]))


def apcer_threshold(score: ArrayLike, label: ArrayLike, apcer: float, attack_type: ArrayLike | None = None) -> float:
    """Return the lowest threshold at which at most the share ``apcer`` of the attacks of every type is accepted.

    Without ``attack_type`` all attacks count together. If an attack has the highest score of all, nothing but
    rejecting everything may keep to the limit: then the threshold is the next number above it.

    Raises:
        DataError: empty, NaN, strange labels, one class only, lengths that differ; or the attack with the highest
            score is at +inf, which no threshold rejects.
        SpecError: ``apcer`` is not in [0, 1].
    """
    check_rate(apcer)
    counted = tally(score, label)
    point = first_within_every_type(counted, score, label, apcer, attack_type)
    if point < len(counted.distinct):
        return counted.middle(point)
    if counted.distinct[-1] == np.inf:
        raise DataError(
            "attacks scored +inf pass every threshold", remedy="give finite scores, or allow a higher APCER"
        )
    return float(np.nextafter(counted.distinct[-1], np.inf))


def min_hter_threshold(score: ArrayLike, label: ArrayLike) -> float:
    """Return the threshold of the least HTER; of equal ones that with the least |FAR - FRR|, then the lowest.

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    counted = tally(score, label)
    # Whole numbers: sums that are equal as fractions may differ in the last bit as floats.
    false_live = counted.accepted_attack[:-1] * counted.lives
    false_attack = counted.rejected_live[:-1] * counted.attacks
    return counted.middle(int(np.lexsort((np.abs(false_live - false_attack), false_live + false_attack))[0]))


def choose_threshold(rule: str, score: ArrayLike, label: ArrayLike, attack_type: ArrayLike | None = None) -> float:
    """Return the threshold that a rule, written as in the table above, chooses on these rows.

    Raises:
        SpecError: there is no such rule.
        DataError: see the rules.

    >>> score, label = [0.9, 0.8, 0.3, 0.6, 0.2, 0.1], [1, 1, 1, 0, 0, 0]
    >>> [round(choose_threshold(rule, score, label), 2) for rule in ("eer", "bpcer=0", "apcer=0", "min-hter")]
    [0.45, 0.25, 0.7, 0.25]
    """
    name, given, number = rule.partition("=")
    if not given and name in ("eer", "min-hter"):
        return eer_threshold(score, label) if name == "eer" else min_hter_threshold(score, label)
    if name in ("bpcer", "apcer"):
        rate = _rate(rule, number)
        if name == "bpcer":
            return bpcer_threshold(score, label, rate)
        return apcer_threshold(score, label, rate, attack_type)
    raise SpecError(f"there is no threshold rule {rule!r}", remedy=did_you_mean(rule, RULES))


def _rate(rule: str, number: str) -> float:
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if math.isnan(rate):
        raise SpecError(f"threshold rule {rule!r} needs a rate", remedy=f"write {rule.partition('=')[0]}=0.05 for 5 %")
    check_rate(rate)
    if rate == 1:  # nobody asks for 100 % of errors
        raise SpecError(
            f"threshold rule {rule!r} allows every error: 1 is 100 %",
            remedy=f"write {rule.partition('=')[0]}=0.01 for 1 %",
        )
    return rate
