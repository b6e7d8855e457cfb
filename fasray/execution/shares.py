"""Which share of a card a trial gets: pure arithmetic over what its method needs and what the card has."""

from __future__ import annotations

import math

CONTEXT_BYTES = 600 * 2**20
"""What each process takes of a card that torch's allocator does not report: the CUDA context and its libraries' own."""
SAFETY = 1.15
"""By how much a trial may exceed the peak of the short run that was measured."""
_STEPS = 10_000
"""Into so many parts Ray divides a resource."""


def trials_per_card(peak: int, card: int, most: int) -> int:
    """Return how many trials of one method share a card.

    Args:
        peak: most bytes that a trial of the method takes.
        card: bytes of the card.
        most: upper limit.

    >>> gib = 2**30
    >>> [trials_per_card(peak * gib, 24 * gib, 4) for peak in (1, 5, 6, 9, 30)]
    [4, 3, 3, 2, 1]
    """
    return max(1, min(most, int(card // bytes_needed(peak))))


def bytes_needed(peak: int) -> float:
    """Return what a trial takes of a card, with some to spare, if torch's allocator held ``peak`` bytes at most."""
    return SAFETY * peak + CONTEXT_BYTES


def share_of(trials: int) -> float:
    """Return the share of each of so many trials on a card, rounded so that all of them fit.

    >>> [share_of(trials) for trials in (1, 2, 3, 4)]
    [1.0, 0.5, 0.3333, 0.25]
    """
    return math.floor(_STEPS / trials) / _STEPS


def doubled(share: float) -> float:
    """Return the share of a trial that has run out of memory, when it is taken up once more; at most a whole card.

    Whole cards stay as many as they are.
    """
    return min(2 * share, 1.0) if share < 1 else share


def cores_of_trial(cores: float, share: float, most: int = 4) -> float:
    """Return the CPU cores for a trial: its part of a card's, at most ``most``; whole ones from 1 on.

    Args:
        cores: of the node, for each of its cards.
        share: of the card.
        most: cores beyond this bring a trial nothing: one computes, one prepares batches, others write.

    >>> [cores_of_trial(cores, share) for cores, share in ((8, 0.25), (8, 1), (1, 0.5), (0.5, 1))]
    [2, 4, 0.5, 0.5]
    """
    part = min(cores / trials_at(share), most)
    return math.floor(part) if part >= 1 else math.floor(100 * part) / 100


def trials_at(share: float) -> int:
    """Return how many trials of a share fit on a card; a trial of several cards counts as one on each."""
    return max(1, int(1 / share + 1e-9)) if share <= 1 else 1
