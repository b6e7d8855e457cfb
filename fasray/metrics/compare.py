"""Mean of paired differences, such as those of two variants over the same seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError
from fasray.metrics.inputs import check_confidence


@dataclass(frozen=True)
class PairedDifference:
    """Mean of a minus b over pairs, and how well it is known."""

    mean: float
    """Mean of ``a - b``, in the unit of the figures."""
    lower: float
    """Lower end of the confidence interval of the mean; NaN if ``note`` says why there is none."""
    upper: float
    """Upper end."""
    confidence: float
    """Nominal coverage of the interval, such as 0.95."""
    n: int
    """Number of pairs."""
    p: float
    """Two-sided p-value of the mean being zero; NaN if ``note`` says why there is none."""
    note: str = ""
    """A remark, or why there is no interval; empty if there is nothing to say."""

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero; False where there is no interval."""
        return self.lower > 0 or self.upper < 0


def paired_difference(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> PairedDifference:
    """Return the mean of ``a - b`` with Student's t interval and p-value.

    The pairs are runs that share what their order says, such as the seed: the differences, not the figures
    themselves, are taken as a normal sample, so what moves both of a pair alike does not widen the interval. It
    speaks of other seeds on the same data, never of other data or subjects.

    Args:
        a: [n] figures of one variant, such as HTER by seed.
        b: [n] figures of the other, in the same order.
        confidence: nominal coverage, between 0 and 1.

    One pair has a mean and no interval: ``lower``, ``upper`` and ``p`` are NaN and ``note`` says so. Differences that
    are all the same give an interval without width, and a note.

    Raises:
        DataError: no pairs, lengths that differ, or a figure that is not finite.
        SpecError: the confidence is not between 0 and 1.

    >>> found = paired_difference([0.10, 0.12, 0.11], [0.13, 0.14, 0.15])
    >>> round(found.mean, 3), round(found.lower, 3), round(found.upper, 3)
    (-0.03, -0.055, -0.005)
    """
    check_confidence(confidence)
    difference = _differences(a, b)
    n, mean = len(difference), float(difference.mean())
    if n == 1:
        nan = math.nan
        return PairedDifference(mean, nan, nan, confidence, 1, nan, "one pair: no interval without a second seed")
    # The deviations of equal numbers from their rounded mean are not always zero.
    error = float(difference.std(ddof=1)) / math.sqrt(n) if np.ptp(difference) else 0.0
    return _student(mean, error, n, confidence)


def _student(mean: float, error: float, n: int, confidence: float) -> PairedDifference:
    from scipy.special import stdtr, stdtrit  # a tenth of a second that only this function needs

    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    if error == 0:
        return PairedDifference(mean, mean, mean, confidence, n, float(mean == 0), f"all {n} differences are the same")
    return PairedDifference(mean, mean - half, mean + half, confidence, n, 2 * float(stdtr(n - 1, -abs(mean) / error)))


def _differences(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise DataError(
            f"figures of shape {first.shape} and {second.shape} are no pairs",
            remedy="give both variants' figures for the same seeds, in the same order",
        )
    if not len(first):
        raise DataError("there are no pairs", remedy="a comparison needs at least one seed that both variants ran")
    bad = int((~(np.isfinite(first) & np.isfinite(second))).sum())
    if bad:
        raise DataError(
            f"{bad} of {len(first)} pairs hold a figure that is not finite",
            remedy="leave the pair out, and say so: a run that diverged has no figure",
        )
    return first - second
