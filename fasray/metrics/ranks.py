"""Which of several methods ranks best over protocols: Friedman's test, Nemenyi's critical difference (Demsar 2006)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fasray.errors import DataError
from fasray.metrics.inputs import check_confidence

FEW_PROTOCOLS = 10
"""Below it, or with fewer than five methods, the test's chi-square distribution is rough, and says so."""


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of methods over protocols; 1 is best, ties share their mean."""

    mean: tuple[float, ...]
    """In the order of the methods."""
    protocols: int
    critical_difference: float
    """Methods whose mean ranks differ by less cannot be told apart at this confidence (Nemenyi)."""
    statistic: float
    """Friedman's chi-square, corrected for ties; NaN where all methods tie everywhere."""
    p: float
    """Of all methods being equal."""
    confidence: float
    note: str = ""


def rank_methods(error: ArrayLike, confidence: float = 0.95) -> Ranks:
    """Rank methods on each protocol by an error, lower being better, and average.

    It takes protocols as drawn by chance, and knows nothing of how sure each error is; with few of them it finds
    little. For a mean over given protocols take ``mean_difference``.

    Args:
        error: [methods, protocols] finite.
        confidence: of the critical difference.

    Raises:
        DataError: fewer than two methods or protocols, or a figure that is not finite.
        SpecError: the confidence is not between 0 and 1.
    """
    check_confidence(confidence)
    table = np.asarray(error, np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise DataError(
            f"ranks need a finite figure of two methods or more on two protocols or more, not shape {table.shape}",
            remedy="leave out methods that did not run on each protocol",
        )
    from scipy.special import chdtrc
    from scipy.stats import rankdata, studentized_range  # half a second that only this function needs

    methods, protocols = table.shape
    ranks = rankdata(table, axis=0)
    mean = ranks.mean(axis=1)
    spread = float(((ranks - (methods + 1) / 2) ** 2).sum()) / (methods - 1)
    statistic = p = math.nan
    if spread > 0:
        statistic = protocols**2 * float(((mean - (methods + 1) / 2) ** 2).sum()) / spread
        p = float(chdtrc(methods - 1, statistic))
    reach = float(studentized_range.ppf(confidence, methods, math.inf)) / math.sqrt(2)
    critical = reach * math.sqrt(methods * (methods + 1) / (6 * protocols))
    few = protocols < FEW_PROTOCOLS or methods < 5
    note = (
        f"{methods} methods on {protocols} protocols are few for Friedman's test: its p-value is rough" if few else ""
    )
    return Ranks(tuple(mean.tolist()), protocols, critical, statistic, p, confidence, note)
