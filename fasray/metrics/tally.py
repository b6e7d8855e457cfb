"""A score set sorted and counted once: what all figures over thresholds are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.metrics.inputs import check_both_classes, check_scores


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts at each operating point, by rising threshold.

    A score at or above the threshold is accepted as live. Point k has the threshold ``distinct[k]``; the last, K,
    rejects everything.
    """

    distinct: NDArray[np.float64]
    """[K] the different scores, ascending."""
    rejected_live: NDArray[np.int64]
    """[K + 1] live rows below the threshold."""
    accepted_attack: NDArray[np.int64]
    """[K + 1] attacks at or above it."""
    lives: int
    attacks: int

    def auc(self) -> float:
        """Return the area under the ROC; see ``curves.auc``."""
        live_here = np.diff(self.rejected_live)
        above, here_or_above = self.accepted_attack[1:], self.accepted_attack[:-1]
        twice_below = 2 * self.attacks - here_or_above - above
        return float(int((live_here * twice_below).sum()) / (2 * self.lives * self.attacks))

    def eer(self) -> tuple[float, float]:
        """Return the equal error rate and its threshold; see ``curves.eer``."""
        # Rejecting everything is never better than accepting everything, so the last point is left out.
        false_live = self.accepted_attack[:-1] * self.lives
        false_attack = self.rejected_live[:-1] * self.attacks
        # FRR - FAR never falls: only the last point before it reaches zero and the first one there can be nearest.
        there = min(int(np.searchsorted(false_attack - false_live, 0)), len(false_live) - 1)
        before = max(there - 1, 0)
        best = min(
            (before, there),
            key=lambda point: (abs(int(false_live[point]) - int(false_attack[point])),
                               int(false_live[point]) + int(false_attack[point])),
        )  # fmt: skip
        same = (false_live == false_live[best]) & (false_attack == false_attack[best])
        best = int(np.flatnonzero(same)[0])
        total = int(false_live[best]) + int(false_attack[best])
        return total / (2 * self.lives * self.attacks), self.middle(best)

    def live_share(self, eer: float) -> float:
        """Return which share of the change of FRR - FAR near the EER is FRR's, the rest being FAR's.

        Taken from where FAR exceeds FRR by ``eer`` to where FRR exceeds FAR by as much: wide enough to be smooth. A
        half where live and attack scores lie equally dense around the threshold.
        """
        far, frr = self.accepted_attack / self.attacks, self.rejected_live / self.lives
        lower = max(int(np.searchsorted(frr - far, -eer, "right")) - 1, 0)
        upper = min(int(np.searchsorted(frr - far, eer)), len(far) - 1)
        of_frr, of_far = float(frr[upper] - frr[lower]), float(far[lower] - far[upper])
        return of_frr / (of_frr + of_far) if of_frr + of_far > 0 else 0.5

    def first_within(self, far: float) -> int:
        """Return the first point whose FAR is at most ``far``; the last one always is."""
        return int(np.argmax(self.accepted_attack / self.attacks <= far))

    def frr_at(self, point: int) -> float:
        """Return the share of live faces rejected at a point."""
        return float(self.rejected_live[point] / self.lives)

    def middle(self, point: int) -> float:
        """Return the threshold half way between a point's score and the one below it: the same operating point."""
        upper = float(self.distinct[point])
        if point == 0:
            return upper
        lower = float(self.distinct[point - 1])
        half_way = lower / 2 + upper / 2
        # Neighbouring floats have no middle, nor does an infinite interval.
        return half_way if math.isfinite(half_way) and lower < half_way <= upper else upper


def tally(score: ArrayLike, label: ArrayLike) -> Tally:
    """Count a score set, O(n log n).

    Raises:
        DataError: empty, NaN, strange labels or one class only.
    """
    scores, live = check_scores(score, label)
    lives, attacks = check_both_classes(live)
    order = np.argsort(scores)
    ordered = scores[order]
    last = np.ones(len(ordered), np.bool_)  # of the rows with the same score
    np.not_equal(ordered[1:], ordered[:-1], out=last[:-1])
    ends = np.flatnonzero(last)
    rejected_live, accepted_attack = np.zeros((2, len(ends) + 1), np.int64)
    np.take(np.cumsum(live[order]), ends, out=rejected_live[1:])
    accepted_attack[1:] = rejected_live[1:] - ends - 1
    accepted_attack += attacks
    return Tally(ordered[ends], rejected_live, accepted_attack, lives, attacks)
