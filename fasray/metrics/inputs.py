"""What every metric accepts: finite or infinite scores, 0/1 labels, both classes; anything else is refused aloud."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError, SpecError


def check_scores(score: ArrayLike, label: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return ``(score as float64 [N], live as bool [N])``.

    Infinite scores have an order and pass; a NaN has none.

    Raises:
        DataError: shapes differ or are not one-dimensional, nothing is there, a score is NaN, a label is neither
            1 (live) nor 0 (attack).
    """
    scores = np.asarray(score, np.float64)
    labels: NDArray[Any] = np.asarray(label)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise DataError(
            f"scores of shape {scores.shape} and labels of shape {labels.shape} do not fit together",
            remedy="give one label to each score",
        )
    if not len(scores):
        raise DataError("there are no scores", remedy="a metric needs at least one live and one attack score")
    missing = int(np.isnan(scores).sum())
    if missing:
        raise DataError(
            f"{missing} of {len(scores)} scores are NaN",
            remedy="a NaN is no decision: leave the trial that wrote it out, or score its videos as attacks",
        )
    live = np.asarray(labels == 1, np.bool_)
    if not (live | np.asarray(labels == 0)).all():
        raise DataError("a label is neither 1 nor 0", remedy="1 is live (bona fide), 0 is an attack presentation")
    return scores, live


def check_both_classes(live: NDArray[np.bool_]) -> tuple[int, int]:
    """Return ``(number of live, number of attack)`` scores.

    Raises:
        DataError: one of them is zero, so error rates of the two kinds do not both exist.
    """
    count = int(live.sum())
    if count in (0, len(live)):
        raise DataError(
            f"all {len(live)} scores are {'live' if count else 'attacks'}",
            remedy="this metric compares live and attack scores and needs both",
        )
    return count, len(live) - count


def check_confidence(confidence: float) -> None:
    """Check a nominal coverage.

    Raises:
        SpecError: it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise SpecError(f"confidence must be between 0 and 1, not {confidence}", remedy="95 % is 0.95 here")


def check_rate(rate: float) -> None:
    """Check a rate.

    Raises:
        SpecError: it is not in [0, 1].
    """
    if not 0 <= rate <= 1:
        raise SpecError(f"a rate must be between 0 and 1, not {rate}", remedy="rates are fractions: 5 % is 0.05")


def check_column(column: ArrayLike, scores: NDArray[np.float64], what: str) -> NDArray[Any]:
    """Return a column that accompanies the scores.

    Raises:
        DataError: it has another shape than the scores.
    """
    values: NDArray[Any] = np.asarray(column)
    if values.shape != scores.shape:
        raise DataError(f"{values.size} {what} for {len(scores)} scores", remedy="give one to each score")
    return values
