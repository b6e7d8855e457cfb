"""From scores to probabilities of being live: a logistic curve fitted on source-dev, and how far off probabilities are.

===============  ==========================================================================================
``platt``        ``p = 1 / (1 + exp(-(slope * x + intercept)))``; Platt (1999)
``temperature``  the same with intercept 0, slope = 1 / T; Guo et al. (2017). For scores in [0, 1] only.
===============  ==========================================================================================

``x`` is the logit of the score where all fitted scores are in [0, 1], else the score itself. A curve keeps the order of
scores: a score at or above a threshold stays at or above the threshold's own probability, so no decision changes.

**What travels with a model** is ``Calibration.to_json``: ``{"kind", "input", "slope", "intercept", "live_share",
"rows"}``; ``Calibration.from_json(...).apply(scores)`` gives the probabilities again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.metrics.inputs import check_both_classes, check_scores
from fasray.metrics.losses import CLIP

Kind = Literal["platt", "temperature"]
KINDS: tuple[Kind, ...] = ("platt", "temperature")
BINS = 15
"""Of the ECE and of reliability diagrams, as Guo et al. have it."""
_MOST_STEPS = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A fitted curve from scores to probabilities of being live."""

    kind: Kind
    input: Literal["logit", "score"]
    """What the curve is a function of: the logit of a score in [0, 1], or the score itself."""
    slope: float
    """Above 0."""
    intercept: float
    live_share: float
    """Share of live rows among those fitted: the probabilities hold for a stream with that share."""
    rows: int
    """Number of rows fitted."""

    def apply(self, score: ArrayLike) -> Floats:
        """Return the probability of being live of each score, in [0, 1]; NaN stays NaN."""
        return _logistic(self.slope * _input(np.asarray(score, np.float64), self.input) + self.intercept)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, for the metadata of a model."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """Return the calibration that ``to_json`` wrote.

        Raises:
            DataError: a key is missing, or a value has another type.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("calibration", *first["loc"])))
            raise DataError(
                f"not a calibration: {first['msg']}", where=where, remedy="export the model again"
            ) from error


@dataclass(frozen=True, eq=False)
class Reliability:
    """Probabilities by bins of equal width; bins without rows are left out."""

    predicted: Floats
    """[B] mean probability in the bin."""
    observed: Floats
    """[B] share of live rows in the bin."""
    rows: NDArray[np.int64]
    """[B] rows in the bin."""

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of the two, weighted by rows, in [0, 1]."""
        return float(np.abs(self.predicted - self.observed) @ self.rows / self.rows.sum())


def fit_calibration(score: ArrayLike, label: ArrayLike, kind: Kind = "platt") -> Calibration:
    """Fit a curve by maximum likelihood, with Platt's targets ``(n + 1) / (n + 2)`` in place of 1 and 0.

    With these targets a set that is separated without error has a finite curve, too. Give source-dev rows: on the
    target's own rows the curve would be an oracle's.

    Args:
        score: [N] higher = more live.
        label: [N] 1 = live, 0 = attack.
        kind: ``platt`` or ``temperature``.

    Raises:
        DataError: empty, NaN or infinite scores, strange labels or one class only; the scores do not rank live faces
            above attacks, so that no rising curve fits; or ``temperature`` for scores outside [0, 1].
        SpecError: there is no such kind.

    >>> found = fit_calibration([0.9, 0.8, 0.3, 0.6, 0.2, 0.1], [1, 1, 1, 0, 0, 0])
    >>> found.apply([0.1, 0.5, 0.9]).round(2).tolist()
    [0.24, 0.51, 0.77]
    """
    if kind not in KINDS:
        raise SpecError(f"there is no calibration {kind!r}", remedy=did_you_mean(kind, KINDS))
    scores, live = check_scores(score, label)
    lives, attacks = check_both_classes(live)
    if not np.isfinite(scores).all():
        raise DataError("infinite scores have no calibration", remedy="give finite scores")
    probabilities = bool(scores.min() >= 0 and scores.max() <= 1)
    if kind == "temperature" and not probabilities:
        raise DataError(
            f"scores from {scores.min():.4g} to {scores.max():.4g} are no probabilities, which a temperature needs",
            remedy="take platt",
        )
    given: Literal["logit", "score"] = "logit" if probabilities else "score"
    x = _input(scores, given)
    target = np.where(live, (lives + 1) / (lives + 2), 1 / (attacks + 2))
    slope, intercept = _maximum_likelihood(x, target, with_intercept=kind == "platt")
    if slope <= 0:
        raise DataError(
            "the scores do not rank live faces above attacks, so that no rising curve fits them",
            remedy="leave the scores as they are: this model is worse than chance on these rows",
        )
    return Calibration(kind, given, slope, intercept, lives / len(scores), len(scores))


def reliability(probability: ArrayLike, label: ArrayLike, bins: int = BINS) -> Reliability:
    """Return how often rows are live, by the probability that was predicted.

    It is the probability of being live that is looked at, not that of the more likely class. Bins are
    ``(k / bins, (k + 1) / bins]``, the first one with its 0.

    Raises:
        DataError: empty, NaN, strange labels, or a probability outside [0, 1].
    """
    values, live = _check_probabilities(probability, label)
    place = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], values, "left")
    rows = np.bincount(place, minlength=bins)
    there = rows > 0
    predicted, observed = (np.bincount(place, weights=each, minlength=bins)[there] for each in (values, live))
    return Reliability(predicted / rows[there], observed / rows[there], rows[there].astype(np.int64))


def brier(probability: ArrayLike, label: ArrayLike) -> float:
    """Return the mean of the squared distance of probability and label, in [0, 1]; errors as ``reliability``."""
    values, live = _check_probabilities(probability, label)
    return float(((values - live) ** 2).mean())


def _check_probabilities(probability: ArrayLike, label: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, live = check_scores(probability, label)
    if values.min() < 0 or values.max() > 1:
        raise DataError(
            f"values from {values.min():.4g} to {values.max():.4g} are no probabilities", remedy="calibrate them first"
        )
    return values, live


def _input(scores: Floats, kind: str) -> Floats:
    if kind == "score":
        return scores
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _logistic(x: Floats) -> Floats:
    small = np.exp(-np.abs(x))  # never overflows
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)))


def _maximum_likelihood(x: Floats, target: Floats, *, with_intercept: bool) -> tuple[float, float]:
    """Minimise the cross-entropy of ``slope * x + intercept`` by Newton's method with halved steps; it is convex."""
    centre, scale = (float(x.mean()) if with_intercept else 0.0), float(np.abs(x).max()) or 1.0
    design = np.stack([(x - centre) / scale, np.ones_like(x)], axis=1)[:, : 1 + with_intercept]

    def loss(weights: Floats) -> float:
        logits = design @ weights
        return float((np.logaddexp(0, logits) - target * logits).sum())

    weights = np.zeros(design.shape[1])
    now = loss(weights)
    for _ in range(_MOST_STEPS):
        probability = _logistic(design @ weights)
        gradient = design.T @ (probability - target)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.lstsq(curvature, gradient, rcond=None)[0]
        while (then := loss(weights - step)) > now and np.abs(step).max() > 0:
            step = step / 2
        weights = weights - step
        if now - then <= 1e-14 * abs(now):
            break
        now = then
    slope = float(weights[0]) / scale
    return slope, (float(weights[1]) - slope * centre if with_intercept else 0.0)
