"""Is one method better on average over protocols: paired by protocol, seed and subject, with both kinds of chance.

Two things are drawn by chance, and the interval speaks of both: which people are in the targets, and which seeds the
runs were trained with. Protocols are taken as given.

- *Subjects*: every run of a protocol is evaluated under the same resamples of its subjects (``resampling``), and the
  variance of the mean difference over them is that part.
- *Seeds*: the variance of the differences over the seeds, pooled over the protocols. Part of it is that each seed does
  well on other people, which the first part holds already. That interaction is estimated from the resamples of single
  seeds and its share ``1 - 1 / freedom`` taken off: almost all of it of many seeds, none of two runs
  alone, whose intervals are so rather wide than wrong.

The half width is the root of the sum of the squares of each part's own half width (its standard error times Student's
t for its own degrees of freedom). ``freedom`` is that of the one Student's t with the same half width; p-values, power
and equivalence follow from it, so that they agree with the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fasray.errors import DataError
from fasray.metrics.inputs import check_confidence
from fasray.metrics.replicates import Floats
from fasray.metrics.resampling import Part, joined, standard_error

POWER = 0.8
"""With which a difference counts as one that would have been seen."""
_NODES = 100


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """The runs of two methods on one protocol, a minus b, paired by seed."""

    value: Floats
    """[S] difference of each seed's figures."""
    replicates: Floats
    """[S, B] the same under resamples of the target's subjects, the same resamples for each seed."""
    subjects: int
    """How many independent ones the figures rest on."""
    target: Hashable = 0
    """Protocols of one target share its subjects, and must share their resamples."""
    training: Hashable = 0
    """Protocols that were served by the same training runs share this, and the order of their seeds."""


@dataclass(frozen=True)
class MeanDifference:
    """Mean of a minus b over protocols and seeds, and how well it is known."""

    mean: float
    error: float
    """Standard error; NaN if ``note`` says why there is none."""
    freedom: float
    """Degrees of freedom of Student's t that goes with it; may be a fraction."""
    lower: float
    upper: float
    confidence: float
    p: float
    """Two-sided p-value of no difference."""
    subject_share: float
    """Share of the variance that is due to which subjects were in the targets; the rest is due to the seeds."""
    protocols: int
    seeds: int
    """The fewest of a protocol."""
    subjects: int
    """The fewest of a protocol."""
    note: str = ""
    """What the interval does not speak of, or why there is none."""

    @property
    def below_zero(self) -> float:
        """Probability that the difference is below zero: for errors, that a is better.

        What is known of the difference is taken as Student's t around the mean (a flat prior); it is a half where both
        are the same.
        """
        if self.error == 0:
            return 0.5 if self.mean == 0 else float(self.mean < 0)
        return self._below(0.0)

    def equivalence_p(self, margin: float) -> float:
        """Return the p-value of the difference being ``margin`` or more, in either direction.

        Two one-sided tests (Schuirmann 1987). If it is below 5 %, the 90 % interval lies within the margin.
        """
        if self.error == 0:
            return float(abs(self.mean) >= margin)
        return max(self._below(-margin), 1 - self._below(margin))

    def power(self, difference: float) -> float:
        """Return the chance to find a true difference of this size significant, with as many subjects and seeds."""
        if not self.error > 0:
            return math.nan if math.isnan(self.error) else float(difference != 0)
        from scipy.special import gammaincinv, ndtr, stdtrit

        # SciPy's noncentral t is NaN in places; the mean over the chi-square of the error, by quadrature, never is.
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        errors = np.sqrt(2 * gammaincinv(self.freedom / 2, (nodes + 1) / 2) / self.freedom)
        reach = float(stdtrit(self.freedom, (1 + self.confidence) / 2)) * errors
        away = abs(difference) / self.error
        return float(weights @ (ndtr(away - reach) + ndtr(-away - reach))) / 2

    def smallest_seen(self, power: float = POWER) -> float:
        """Return the smallest true difference that would be found significant with this power."""
        if not self.error > 0:
            return self.error
        from scipy.optimize import brentq

        high = self.error
        while self.power(high) < power:
            high *= 2
        return float(brentq(lambda size: self.power(size) - power, 0, high))

    def _below(self, value: float) -> float:
        from scipy.special import stdtr

        return float(stdtr(self.freedom, (value - self.mean) / self.error))


def mean_difference(runs: Sequence[PairedRuns], confidence: float = 0.95) -> MeanDifference:
    """Return the mean difference over protocols, each the mean over its seeds.

    Raises:
        DataError: there are no runs, or numbers of resamples differ.
        SpecError: the confidence is not between 0 and 1.
    """
    check_confidence(confidence)
    if not runs or not all(len(each.value) for each in runs):
        raise DataError("there are no pairs of runs", remedy="a comparison needs a seed that both methods ran")
    mean = float(np.mean([each.value.mean() for each in runs]))
    seeds, subjects = min(len(each.value) for each in runs), min(each.subjects for each in runs)
    counts = (len(runs), seeds, subjects)
    if subjects < 2:
        nan = math.nan
        return MeanDifference(mean, nan, nan, nan, nan, confidence, nan, nan, *counts, "one subject: no interval")
    of_subjects, of_seeds = _subject_variance(runs), _seed_variance(runs)
    note = "" if of_seeds else "one seed: the interval speaks of other people, not of other training runs"
    parts = [part for part in (*of_subjects, *of_seeds) if part[0] > 0]
    variance = math.fsum(part[0] for part in parts)
    if variance == 0:
        note = note or ("every seed and resample has the same difference: the interval has no width" if mean else "")
        return MeanDifference(mean, 0, math.inf, mean, mean, confidence, float(mean == 0), math.nan, *counts, note)
    return _student(mean, joined(of_subjects), of_seeds, confidence, counts, note)


def holm(p: ArrayLike) -> Floats:
    """Return p-values adjusted for their number by Holm's method (1979); NaN stays, and does not count.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    adjusted = values.copy()
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return adjusted


def _student(
    mean: float,
    of_subjects: Part,
    of_seeds: Sequence[Part],
    confidence: float,
    counts: tuple[int, int, int],
    note: str,
) -> MeanDifference:
    from scipy.special import stdtr, stdtrit

    tail = (1 + confidence) / 2
    parts = [part for part in (of_subjects, *of_seeds) if part[0] > 0]
    variance = math.fsum(part[0] for part in parts)
    half = math.sqrt(math.fsum(part * float(stdtrit(freedom, tail)) ** 2 for part, freedom in parts))
    error = math.sqrt(variance)
    bounds = [freedom for _, freedom in parts]
    freedom = _freedom(half / error, tail, min(bounds), max(bounds))
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    share = of_subjects[0] / variance
    return MeanDifference(mean, error, freedom, mean - half, mean + half, confidence, p, share, *counts, note)


def _freedom(critical: float, tail: float, low: float, high: float) -> float:
    """Return the degrees of freedom, between two bounds, whose ``tail`` quantile is the critical value."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    if stdtrit(high, tail) >= critical or high - low < 1e-9:
        return high
    if stdtrit(low, tail) <= critical:
        return low
    return float(brentq(lambda freedom: float(stdtrit(freedom, tail)) - critical, low, high))


def _subject_variance(runs: Sequence[PairedRuns]) -> list[Part]:
    """Return the part of each target's subjects: that of the sum over its protocols, over the number of protocols."""
    return [
        (_variance(sum(each.replicates.mean(axis=0) for each in of_target), of_target[0].subjects) / len(runs) ** 2,
         min(each.subjects for each in of_target) - 1)
        for of_target in _groups(runs, lambda each: each.target)
    ]  # fmt: skip


def _seed_variance(runs: Sequence[PairedRuns]) -> list[Part]:
    """Return the part of the seeds, pooled over the protocols; nothing where each has one seed."""
    squares = interaction = 0.0
    freedom, scale = 0, 0.0
    for served in _groups(runs, lambda each: each.training):
        value = np.mean([each.value for each in served], axis=0)
        seeds = len(value)
        scale += (len(served) / len(runs)) ** 2 / seeds
        if seeds > 1:
            replicates, subjects = np.mean([each.replicates for each in served], axis=0), served[0].subjects
            single = float(np.mean([_variance(each, subjects) for each in replicates]))
            # Of the mean of S seeds: what all share, and the interaction over S; of one seed: both in full.
            alone = (single - _variance(replicates.mean(axis=0), subjects)) * seeds / (seeds - 1)
            squares += float(value.var(ddof=1)) * (seeds - 1)
            interaction += max(alone, 0.0) * (seeds - 1)
            freedom += seeds - 1
    if not freedom:
        return []
    left = squares - interaction * (1 - 1 / freedom)
    return [(max(left, 0.0) / freedom * scale, freedom)]


def _variance(replicates: Floats, subjects: int) -> float:
    return standard_error(replicates, subjects) ** 2


def _groups(runs: Sequence[PairedRuns], key: Callable[[PairedRuns], Hashable]) -> list[list[PairedRuns]]:
    found: dict[Hashable, list[PairedRuns]] = {}
    for each in runs:
        found.setdefault(key(each), []).append(each)
    return list(found.values())
