"""How far scores are from their labels: the loss that breaks ties between equally good rankings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fasray.metrics.inputs import check_scores

CLIP = 1e-7


def binary_cross_entropy(score: ArrayLike, label: ArrayLike) -> float:
    """Return the mean of -log(p of the label), the score being taken as the probability of live, in nats.

    Scores are clipped to [1e-7, 1 - 1e-7]; for methods whose scores are not probabilities (a mean depth, say) it is
    an order among scores of the same method and no more. One class alone is fine.

    Raises:
        DataError: empty, NaN or strange labels.
    """
    scores, live = check_scores(score, label)
    probability = np.clip(scores, CLIP, 1 - CLIP)
    # Sorted, so that the order of rows does not change a bit of the sum.
    return float(-np.sort(np.log(np.where(live, probability, 1 - probability))).mean())
