"""Errors at one given threshold: FAR, FRR, HTER, and APCER, BPCER, ACER by attack type.

A score at or above the threshold is accepted as live. FAR is the share of attacks accepted and FRR that of live faces
rejected; over one attack type they are APCER and BPCER of ISO/IEC 30107-3. All rates are fractions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError
from fasray.metrics.inputs import check_both_classes, check_column, check_scores


@dataclass(frozen=True)
class Rates:
    """Error rates at one threshold."""

    threshold: float
    far: float
    """Attacks accepted, all attack types together."""
    frr: float
    """Live faces rejected."""

    @property
    def hter(self) -> float:
        """Half total error rate, (FAR + FRR) / 2."""
        return (self.far + self.frr) / 2


@dataclass(frozen=True)
class PadRates:
    """ISO/IEC 30107-3 rates at one threshold."""

    threshold: float
    apcer_by_type: tuple[tuple[str, float], ...]
    """(attack type, its APCER), by name."""
    bpcer: float

    @property
    def apcer(self) -> float:
        """APCER of the worst attack type."""
        return max(rate for _, rate in self.apcer_by_type)

    @property
    def acer(self) -> float:
        """(APCER of the worst attack type + BPCER) / 2, as OULU-NPU reports it."""
        return (self.apcer + self.bpcer) / 2


def rates_at(score: ArrayLike, label: ArrayLike, threshold: float) -> Rates:
    """Return FAR, FRR and HTER at ``threshold``.

    Raises:
        DataError: empty, NaN (scores or threshold), strange labels or one class only.

    >>> rates = rates_at([0.9, 0.3, 0.6, 0.1], [1, 1, 0, 0], threshold=0.3)  # a score at the threshold is accepted
    >>> rates.far, rates.frr, rates.hter
    (0.5, 0.0, 0.25)
    """
    scores, live = check_scores(score, label)
    lives, attacks = check_both_classes(live)
    accepted = _accepted(scores, threshold)
    far = int((accepted & ~live).sum()) / attacks
    frr = int((~accepted & live).sum()) / lives
    return Rates(float(threshold), far, frr)


def pad_rates_at(score: ArrayLike, label: ArrayLike, attack_type: ArrayLike, threshold: float) -> PadRates:
    """Return APCER per attack type, their maximum, BPCER and ACER at ``threshold``.

    ``attack_type`` [N] is read for attacks only. A type without any attack has no APCER and is not listed.

    Raises:
        DataError: empty, NaN (scores or threshold), strange labels, one class only, or lengths that differ.

    >>> rates = pad_rates_at([0.9, 0.4, 0.6, 0.1, 0.2], [1, 1, 0, 0, 0], ["", "", "print", "print", "replay"], 0.5)
    >>> rates.apcer_by_type
    (('print', 0.5), ('replay', 0.0))
    >>> rates.apcer, rates.bpcer, rates.acer
    (0.5, 0.5, 0.5)
    """
    scores, live = check_scores(score, label)
    lives, _ = check_both_classes(live)
    types = check_column(attack_type, scores, "attack types")
    accepted = _accepted(scores, threshold)
    names, inverse = np.unique(types[~live], return_inverse=True)
    passed = np.bincount(inverse, weights=accepted[~live], minlength=len(names))
    shares = passed / np.bincount(inverse, minlength=len(names))
    by_type = tuple((str(name), float(share)) for name, share in zip(names, shares, strict=True))
    return PadRates(float(threshold), by_type, int((~accepted & live).sum()) / lives)


def _accepted(scores: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    if np.isnan(threshold):
        raise DataError("the threshold is NaN", remedy="take a threshold from scores of both classes")
    return np.asarray(scores >= threshold, np.bool_)
