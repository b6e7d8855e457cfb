"""Figures of many resamples of one score set at once.

A resample counts each cluster (a subject with all its videos) 0, 1, 2 ... times. With the scores sorted once, a
resample is a row of counts and its curve a running sum: no resample is ever sorted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
"""[B, S] how often each of B resamples takes each of S clusters."""

_LIVE = 1 << 32
_ATTACK_MASK = _LIVE - 1
_CHUNK = 1 << 19
"""Counts held at once, so that they stay near the processor."""


class ScoredClusters:
    """Scores sorted once, for figures under any number of resamples.

    A figure is NaN in a resample without one of the classes.

    Args:
        scores: [N] higher = more live, no NaN.
        live: [N] whether the row is live.
        cluster: [N] cluster of each row, 0 ... S - 1.
    """

    def __init__(self, scores: Floats, live: NDArray[np.bool_], cluster: NDArray[np.int64]) -> None:
        order = np.argsort(scores, kind="stable")
        self._scores, self._live, self._cluster = scores[order], live[order], cluster[order]
        # Live rows count in the upper half of an int64 and attacks in the lower: one running sum serves both.
        self._unit = np.where(self._live, _LIVE, 1)
        starts = np.flatnonzero(np.append(True, self._scores[1:] != self._scores[:-1]))
        self._bounds = np.append(starts, len(scores))
        group = np.repeat(np.arange(len(starts)), np.diff(self._bounds))
        self._live_rows = np.flatnonzero(self._live)
        self._below = starts[group[self._live_rows]]
        self._up_to = self._bounds[group[self._live_rows] + 1]

    def auc(self, counts: Counts) -> Floats:
        """Return the AUC of each resample, [B]."""
        return self._each(counts, self._auc)

    def far(self, counts: Counts, threshold: float) -> Floats:
        """Return the FAR of each resample at a threshold, [B]."""
        return _share(counts, self._cluster, ~self._live, self._scores >= threshold)

    def frr(self, counts: Counts, threshold: float) -> Floats:
        """Return the FRR of each resample at a threshold, [B]."""
        return _share(counts, self._cluster, self._live, self._scores < threshold)

    def frr_at_far(self, counts: Counts, far: float) -> Floats:
        """Return the least FRR of each resample at a FAR up to ``far``, all attack types together, [B]."""
        return self._each(counts, lambda sums: self._frr_at_far(sums, far))

    def _each(self, counts: Counts, figure: Callable[[NDArray[np.int64]], Floats]) -> Floats:
        """Apply ``figure`` to running sums [b, N + 1] of a few resamples at a time."""
        rows = max(1, _CHUNK // len(self._scores))
        found = []
        for start in range(0, len(counts), rows):
            taken = counts[start : start + rows]
            sums = np.zeros((len(taken), len(self._scores) + 1), np.int64)
            np.multiply(np.take(taken, self._cluster, axis=1), self._unit, out=sums[:, 1:])
            np.cumsum(sums[:, 1:], axis=1, out=sums[:, 1:])
            found.append(figure(sums))
        return np.concatenate(found) if found else np.zeros(0)

    def _auc(self, sums: NDArray[np.int64]) -> Floats:
        total = sums[:, -1]
        lives, attacks = total >> 32, total & _ATTACK_MASK
        twice = (sums[:, self._below] & _ATTACK_MASK) + (sums[:, self._up_to] & _ATTACK_MASK)
        weight = (sums[:, self._live_rows + 1] - sums[:, self._live_rows]) >> 32
        return _divide((twice * weight).sum(axis=1), 2 * lives * attacks)

    def _frr_at_far(self, sums: NDArray[np.int64], far: float) -> Floats:
        total = sums[:, -1]
        lives, attacks = total >> 32, total & _ATTACK_MASK
        row = np.arange(len(sums))

        def within(point: NDArray[np.int64]) -> NDArray[np.bool_]:
            accepted = attacks - (sums[row, self._bounds[point]] & _ATTACK_MASK)
            return np.asarray(_divide(accepted, attacks) <= far)

        first = _search(within, len(sums), len(self._bounds) - 1)
        return np.where(attacks > 0, _divide(sums[row, self._bounds[first]] >> 32, lives), np.nan)


def _search(holds: Callable[[NDArray[np.int64]], NDArray[np.bool_]], rows: int, last: int) -> NDArray[np.int64]:
    """Return for each row the first of 0 ... ``last`` where ``holds``, which stays true once it is, and is at last."""
    low, high = np.zeros(rows, np.int64), np.full(rows, last, np.int64)
    while (low < high).any():
        half = (low + high) // 2
        there = holds(half)
        high = np.where(there, half, high)
        low = np.where(there, low, np.minimum(half + 1, high))
    return low


def _share(counts: Counts, cluster: NDArray[np.int64], of: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Floats:
    """Return in each resample the share of the rows ``of`` that are also ``counted``."""
    size = counts.shape[1]
    errors = np.bincount(cluster[of & counted], minlength=size)
    everyone = np.bincount(cluster[of], minlength=size)
    return _divide(counts @ errors, counts @ everyone)


def _divide(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    out = np.full(part.shape, np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out
