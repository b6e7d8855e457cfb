"""How far a row of the frame would move with other people: the target's subjects drawn again, alike for all runs.

A row is a mean over runs. Every run is evaluated under the same resamples of subjects, and the mean of their figures is
what varies; the spread over seeds is separate, in the ``_std`` columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasray.metrics.intervals import RESAMPLES, figure_interval
from fasray.metrics.replicates import Counts, ScoredClusters
from fasray.metrics.resampling import draw, find_clusters
from fasray.results.scores import Grouping, ScoredEvaluation

CONFIDENCE = 0.95

Replicates = NDArray[np.float64]
"""[2, B] HTER and AUC of each resample."""


@dataclass(frozen=True, eq=False)
class _Drawn:
    grouping: Grouping
    cluster: NDArray[np.int64]
    counts: Counts


class Resamples:
    """Evaluates target videos under resamples of their subjects; those of one protocol share the draws.

    Args:
        count: B, how many resamples; 0 for none at all.
    """

    def __init__(self, count: int = RESAMPLES) -> None:
        self._count = count
        self._drawn: list[_Drawn] = []
        self._areas: dict[tuple[str, int], NDArray[np.float64]] = {}

    def of(self, evaluation: ScoredEvaluation, threshold: float) -> Replicates | None:
        """Return HTER at a threshold and AUC of an evaluation under each resample; None if there are none."""
        if not self._count:
            return None
        videos = evaluation.target.videos
        live = videos.label == 1
        drawn = self._draws(evaluation.target.grouping, live)
        sample = ScoredClusters(videos.score, live, drawn.cluster)
        key = evaluation.trial, evaluation.step
        if key not in self._areas:
            self._areas[key] = sample.auc(drawn.counts)
        hter = (sample.far(drawn.counts, threshold) + sample.frr(drawn.counts, threshold)) / 2
        return np.stack([hter, self._areas[key]])

    def forget(self) -> None:
        """Drop what was stored of single evaluations."""
        self._areas.clear()

    def _draws(self, grouping: Grouping, live: NDArray[np.bool_]) -> _Drawn:
        for known in self._drawn:
            if known.grouping is grouping:
                return known
        clusters = find_clusters(np.zeros(len(live)), live, grouping.subjects)
        found = _Drawn(grouping, clusters.index, draw(clusters, self._count, seed=0))
        self._drawn = [*self._drawn[-7:], found]
        return found


def independent_subjects(grouping: Grouping) -> int:
    """Return how many subjects the figures of a target rest on: the fewer of those with live and with attack videos."""
    live = grouping.videos.label == 1
    return min(len(np.unique(grouping.subjects[live])), len(np.unique(grouping.subjects[~live])))


def interval(estimate: float, replicates: Sequence[NDArray[np.float64] | None], subjects: int) -> tuple[float, float]:
    """Return the 95 % interval of a mean over runs, from the replicates of each; NaN without them.

    Rounded to six places: further ones say nothing and may depend on the machine.
    """
    known = [values for values in replicates if values is not None]
    if not known or len(known) < len(replicates) or math.isnan(estimate):
        return math.nan, math.nan
    found = figure_interval(estimate, np.mean(known, axis=0), subjects, CONFIDENCE)
    return round(found.lower, 6), round(found.upper, 6)
