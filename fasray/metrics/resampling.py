"""Which rows are resampled together, resamples of them, and the variance that follows: whole subjects, all videos.

Videos of one person are alike, so a resample of single videos would believe itself too sure. Subjects are drawn with
replacement within strata (those with live and attack videos, with live ones only, with attacks only), so that every
resample has both classes and about the same balance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import SpecError
from fasray.metrics.inputs import check_column
from fasray.metrics.replicates import Counts, Floats

MIN_RESAMPLES = 100
_MOST_LEFT_OUT = 1000

Part = tuple[float, float]
"""A variance and its degrees of freedom."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """The rows of a score set by what is drawn as one."""

    index: NDArray[np.int64]
    """[N] cluster of each row, 0 ... S - 1."""
    stratum: NDArray[np.int64]
    """[S] stratum of each cluster."""
    kind: str
    """``subject``, or ``row`` where the subject is unknown: then each row is drawn on its own."""
    live: int
    """Clusters with at least one live row."""
    attack: int
    """Clusters with at least one attack."""
    note: str = ""
    """A remark on them; empty if there is nothing to say."""

    @property
    def size(self) -> int:
        """S, the number of clusters."""
        return len(self.stratum)


def find_clusters(scores: Floats, live: NDArray[np.bool_], subject: ArrayLike | None) -> Clusters:
    """Group rows by subject.

    Args:
        scores: [N] as ``check_scores`` returns them.
        live: [N] likewise.
        subject: [N] names; an empty one is unknown. None where no subject is known.

    Raises:
        DataError: lengths that differ.
    """
    count = len(scores)
    names = np.full(count, "") if subject is None else check_column(subject, scores, "subjects").astype(np.str_)
    _, index = np.unique(names, return_inverse=True)
    unknown = names == ""
    index = np.where(unknown, np.arange(count) + index.max() + 1, index)
    _, index = np.unique(index, return_inverse=True)
    has_live = np.bincount(index[live], minlength=index.max() + 1) > 0
    has_attack = np.bincount(index[~live], minlength=len(has_live)) > 0
    note = ""
    if unknown.all():
        note = "subjects are unknown: intervals are made as if each row showed another person"
    elif unknown.any():
        note = f"{int(unknown.sum())} of {count} rows name no subject and are drawn one by one"
    return Clusters(
        index.astype(np.int64),
        _strata(has_live + 2 * has_attack),
        "row" if unknown.all() else "subject",
        int(has_live.sum()),
        int(has_attack.sum()),
        note,
    )


def _strata(kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put a cluster that is alone of its kind to the largest kind: alone it would never vary."""
    kinds, sizes = np.unique(kind, return_counts=True)
    lonely = np.isin(kind, kinds[sizes == 1])
    return np.where(lonely, kinds[np.argmax(sizes)], kind).astype(np.int64)


def draw(clusters: Clusters, resamples: int, seed: int) -> Counts:
    """Return how often each resample takes each cluster, [B, S]; the same for the same seed.

    Raises:
        SpecError: fewer resamples than make a standard error, or a negative seed.
    """
    if resamples < MIN_RESAMPLES:
        raise SpecError(f"{resamples} resamples are too few", remedy=f"take {MIN_RESAMPLES} or more; 1000 is usual")
    if seed < 0:
        raise SpecError(f"seed {seed} is negative", remedy="give a seed of 0 or more")
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, clusters.size), np.int64)
    for stratum in np.unique(clusters.stratum):
        members = np.flatnonzero(clusters.stratum == stratum)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return counts


def whole(clusters: Clusters) -> Counts:
    """Return the set itself as a resample, [1, S]."""
    return np.ones((1, clusters.size), np.int64)


def left_out(clusters: Clusters) -> Counts:
    """Return the resamples that leave out one cluster each, [S, S]; none, [0, S], where there are very many."""
    size = clusters.size
    return 1 - np.eye(size, dtype=np.int64) if size <= _MOST_LEFT_OUT else np.zeros((0, size), np.int64)


def standard_error(replicates: Floats, subjects: int) -> float:
    """Return the standard error of a figure from its replicates [B]; NaN without any, or for one subject.

    Drawing n of n understates the variance by (n - 1) / n. NaN replicates, of resamples that lacked a class, are left
    out.
    """
    known = replicates[~np.isnan(replicates)]
    if subjects < 2 or not len(known):
        return math.nan
    deviation = float(known.std()) if np.ptp(known) else 0.0  # of equal numbers, rounding leaves some
    return deviation * math.sqrt(subjects / (subjects - 1))


def joined(parts: Sequence[Part]) -> Part:
    """Return the variance of a sum of independent parts, with degrees of freedom by Satterthwaite (1946)."""
    variance = math.fsum(part for part, _ in parts)
    spread = math.fsum(part**2 / freedom for part, freedom in parts)
    return variance, (variance**2 / spread if spread > 0 else max(freedom for _, freedom in parts))
