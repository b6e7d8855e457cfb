"""Confidence bands of ROC and DET curves: whole subjects of the target are resampled, the same ones for every run.

The videos of one subject share a face, a room and a camera, so resampling single videos would make bands too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fasray.metrics import rates_at
from fasray.metrics.resampling import draw, find_clusters
from fasray.results.plots import Band
from fasray.results.scores import Scores

RESAMPLES = 200
CONFIDENCE = 0.95
GRID = np.unique(np.concatenate([[0.0], np.geomspace(2e-3, 1.0, 40), np.linspace(0.0, 1.0, 41)]))
"""FAR at which curves are compared."""


def band(label: str, runs: Sequence[tuple[Scores, float]]) -> Band:
    """Return the mean curve over runs and its 95 % band by the subject bootstrap, at video level.

    A curve gives, for each FAR, the least FRR of an operating point that accepts no more attacks; nothing is
    interpolated. Resamples that lack a class are left out. The draw is seeded: the same scores, the same band.

    Args:
        label: what the curve is called.
        runs: target scores of each run, over the same videos, and its honest video threshold.
    """
    curves, resampled, honest = [], [], []
    for scores, threshold in runs:
        videos = scores.videos
        live = videos.label == 1
        rates = rates_at(videos.score, videos.label, threshold)
        honest.append((rates.far, rates.frr))
        clusters = find_clusters(videos.score, live, scores.subjects("video"))
        draws = draw(clusters, RESAMPLES, seed=0)
        weights = np.vstack([np.ones((1, len(live)), np.int64), draws[:, clusters.index]])
        frr = _curves(videos.score, live, weights)
        curves.append(frr[0])
        resampled.append(frr[1:])
    spread = np.mean(resampled, axis=0)
    spread = spread[np.isfinite(spread).all(axis=1)]
    middle = np.mean(curves, axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(spread, [tail, 1 - tail], axis=0) if len(spread) else (middle, middle)
    return Band(label, GRID, middle, np.minimum(low, middle), np.maximum(high, middle), tuple(honest))


def _curves(score: NDArray[np.float64], live: NDArray[np.bool_], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return FRR on ``GRID`` for each row of weights [B, V] over videos; NaN where a class is missing."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    taken_live = np.cumsum(weights[:, order] * live[order], axis=1)
    taken_attack = np.cumsum(weights[:, order] * ~live[order], axis=1)
    found = np.full((len(weights), len(GRID)), np.nan)
    for row, (lives, attacks) in enumerate(zip(taken_live, taken_attack, strict=True)):
        if lives[-1] and attacks[-1]:
            far = np.concatenate([[0.0], attacks[ends] / attacks[-1]])
            frr = np.concatenate([[1.0], 1 - lives[ends] / lives[-1]])
            found[row] = frr[np.searchsorted(far, GRID, side="right") - 1]
    return found
