"""What ISO/IEC 30107-3:2023 reports of a PAD subsystem at one threshold: counts, rates and exact bounds by PAI species.

========  ============================================================================================
APCER     share of the attack presentations of one PAI species that are classified as bona fide
BPCER     share of bona fide presentations that are classified as attacks
APNRR     share of the attack presentations of one species without a response
BPNRR     share of bona fide presentations without a response
RIAPAR    1 + (IAPAR - (1 - FRR)) = IAPAR + FRR, of a whole recognition system
========  ============================================================================================

A presentation here is a video; one without a detected face has no response. Bounds are Clopper and Pearson's (1934),
exact for independent presentations. Those of one person are not independent: then bounds are too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fasray.errors import DataError, SpecError
from fasray.metrics.inputs import check_both_classes, check_column, check_confidence, check_rate, check_scores


@dataclass(frozen=True)
class Presentations:
    """Presentations of one kind: a PAI species, an instrument, or bona fide ones."""

    name: str
    live: bool
    count: int
    """Those with a response."""
    errors: int
    """Those of them that were classified wrongly: an attack as bona fide, or the other way round."""
    subjects: int = 0
    """Different people in them; 0 if unknown."""
    non_responses: int = 0
    """Further ones without a response."""

    @property
    def rate(self) -> float:
        """APCER or BPCER of those with a response; NaN without any."""
        return self.errors / self.count if self.count else np.nan

    @property
    def non_response_rate(self) -> float:
        """APNRR or BPNRR; NaN without any presentation."""
        total = self.count + self.non_responses
        return self.non_responses / total if total else np.nan

    @property
    def as_attack(self) -> Presentations:
        """The same with every non-response counted as classified as an attack: right for an attack, else an error."""
        errors = self.errors + (self.non_responses if self.live else 0)
        return Presentations(self.name, self.live, self.count + self.non_responses, errors, self.subjects)

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the exact two-sided interval of the rate."""
        return clopper_pearson(self.errors, self.count, confidence)

    def upper(self, confidence: float = 0.95) -> float:
        """Return the exact one-sided upper bound of the rate."""
        return upper_bound(self.errors, self.count, confidence)


@dataclass(frozen=True)
class PadCounts:
    """A score set counted at one threshold."""

    threshold: float
    species: tuple[Presentations, ...]
    """Attacks by PAI species, by name."""
    live: Presentations

    @property
    def apcer(self) -> float:
        """APCER of the worst species with a response."""
        return max(each.rate for each in self.species if each.count)

    @property
    def far(self) -> float:
        """Share of all attacks with a response that were accepted, whatever their species: no APCER."""
        return sum(each.errors for each in self.species) / sum(each.count for each in self.species)

    @property
    def hter(self) -> float:
        """(FAR + BPCER) / 2, over the presentations with a response."""
        return (self.far + self.live.rate) / 2

    @property
    def as_attack(self) -> PadCounts:
        """The same with every non-response counted as classified as an attack."""
        return PadCounts(self.threshold, tuple(each.as_attack for each in self.species), self.live.as_attack)


def pad_counts(
    score: ArrayLike,
    label: ArrayLike,
    species: ArrayLike,
    threshold: float,
    *,
    subject: ArrayLike | None = None,
    non_responses: Sequence[tuple[str, int]] = (),
    live_non_responses: int = 0,
) -> PadCounts:
    """Count a score set at a threshold; a score at or above it is classified as bona fide.

    Args:
        score: [N] of presentations with a response, higher = more live.
        label: [N] 1 = live, 0 = attack.
        species: [N] PAI species (or instruments), read for attacks only.
        threshold: chosen on other rows.
        subject: [N] whose face it is; empty if unknown.
        non_responses: (species, attack presentations of it without a response); a species may have nothing else.
        live_non_responses: bona fide presentations without a response.

    Raises:
        DataError: empty, NaN (scores or threshold), strange labels, one class only, or lengths that differ.
    """
    scores, live = check_scores(score, label)
    check_both_classes(live)
    if np.isnan(threshold):
        raise DataError("the threshold is NaN", remedy="take a threshold from scores of both classes")
    names = check_column(species, scores, "species")
    people = None if subject is None else check_column(subject, scores, "subjects").astype(np.str_)
    accepted, missing = scores >= threshold, dict(non_responses)

    def counted(name: str, rows: np.ndarray, is_live: bool, without: int) -> Presentations:
        known = 0 if people is None else len(set(people[rows].tolist()) - {""})
        wrong = accepted[rows] != is_live
        return Presentations(name, is_live, int(rows.sum()), int(wrong.sum()), known, without)

    found = sorted({*np.unique(names[~live]).tolist(), *missing})
    return PadCounts(
        float(threshold),
        tuple(counted(name, ~live & (names == name), False, missing.get(name, 0)) for name in found),
        counted("bona fide", live, True, live_non_responses),
    )


def clopper_pearson(errors: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval of a rate; (0, 1) where nothing was counted.

    Raises:
        DataError: more errors than presentations, or fewer than none.
        SpecError: the confidence is not between 0 and 1.

    >>> low, high = clopper_pearson(3, 100)
    >>> round(low, 4), round(high, 4)
    (0.0062, 0.0852)
    """
    check_confidence(confidence)
    if not 0 <= errors <= count:
        raise DataError(f"{errors} errors of {count} presentations are not possible", remedy="count them again")
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    lower = float(betaincinv(errors, count - errors + 1, tail)) if errors > 0 else 0.0
    upper = float(betaincinv(errors + 1, count - errors, 1 - tail)) if errors < count else 1.0
    return lower, upper


def upper_bound(errors: int, count: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper bound of a rate; 1 where nothing was counted.

    Raises:
        DataError: as ``clopper_pearson``.
        SpecError: the confidence is not above a half and below 1.

    >>> round(100 * upper_bound(0, 150), 2)  # no error in 150 presentations is a rate of at most 2 %
    1.98
    """
    if not 0.5 < confidence < 1:
        raise SpecError(f"a one-sided confidence of {confidence} is no bound", remedy="95 % is 0.95 here")
    return clopper_pearson(errors, count, 2 * confidence - 1)[1]


def presentations_needed(rate: float, confidence: float = 0.95) -> int:
    """Return how many presentations without any error show that a rate is at most ``rate``.

    Raises:
        SpecError: the rate or the confidence is not between 0 and 1.

    >>> presentations_needed(0.02), presentations_needed(0.01)
    (149, 299)
    """
    check_rate(rate)
    check_confidence(confidence)
    if rate in (0, 1):
        raise SpecError(f"a rate of {rate:g} is shown by no number of presentations", remedy="name one in between")
    return int(np.ceil(np.log(1 - confidence) / np.log(1 - rate) - 1e-9))


def riapar(iapar: float, frr: float) -> float:
    """Return the relative impostor attack presentation accept rate of a recognition system.

    Args:
        iapar: share of impostor attack presentations that the whole system accepts as the target, fraction.
        frr: its false reject rate, fraction.

    Raises:
        SpecError: one of them is not in [0, 1].
    """
    check_rate(iapar)
    check_rate(frr)
    return iapar + frr
