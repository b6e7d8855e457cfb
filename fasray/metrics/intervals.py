"""How sure a figure is: confidence intervals over subjects.

Method: bootstrap over subjects (``resampling``); its standard error, carried to the logit scale, times Student's t.
Rates and areas so stay within [0, 1], and the interval leans to where there is room. The degrees of freedom are those
of the number of subjects, and fewer where a few subjects bring most of the variance, which the jackknife of a figure
shows that does not count single errors.
Where no error was seen, resamples see none either; then the exact bound for as many independent subjects takes their
place.

An interval speaks of other people under the same conditions, cameras and attacks; never of another domain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fasray.metrics.inputs import check_both_classes, check_column, check_confidence, check_scores
from fasray.metrics.replicates import Counts, Floats, ScoredClusters
from fasray.metrics.resampling import Clusters, draw, find_clusters, left_out, standard_error, whole
from fasray.metrics.tally import Tally, tally

FEW_SUBJECTS = 35
"""Below so many subjects intervals carry a warning."""
RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A figure and its confidence interval, fractions."""

    estimate: float
    lower: float
    """NaN if there is none; ``note`` says why."""
    upper: float
    note: str = ""
    """How it was made if not in the usual way, or why there is none."""


@dataclass(frozen=True)
class Intervals:
    """The intervals of one score set."""

    confidence: float
    resamples: int
    subjects: int
    """Clusters that were drawn: the smaller of those with live rows and those with attacks."""
    clusters: str
    """``subject``, or ``row`` where subjects are unknown."""
    auc: Interval
    eer: Interval
    tpr_at_fpr1: Interval
    far: Interval | None
    """This and the following are None where no threshold was given."""
    frr: Interval | None
    """Also the BPCER."""
    hter: Interval | None
    apcer: Interval | None
    """Of the worst attack type; None without attack types."""
    acer: Interval | None
    notes: tuple[str, ...]
    """A remark: unknown or few subjects."""

    @property
    def few_subjects(self) -> bool:
        """Whether there are so few subjects that the intervals cover less than they promise."""
        return self.subjects < FEW_SUBJECTS


def confidence_intervals(
    score: ArrayLike,
    label: ArrayLike,
    *,
    subject: ArrayLike | None = None,
    attack_type: ArrayLike | None = None,
    threshold: float | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Intervals:
    """Return the intervals of AUC, EER, TPR at FPR 1 % and, at a given threshold, of the error rates.

    Args:
        score: [N] of videos (or frames), higher = more live.
        label: [N] 1 = live, 0 = attack.
        subject: [N] whose face it is. Without it rows are drawn one by one, and a note says so.
        attack_type: [N] read for attacks only; for APCER and ACER.
        threshold: given, or chosen on other rows; it is taken as fixed.
        confidence: nominal coverage.
        resamples: B.
        seed: of the draws.

    Raises:
        DataError: empty, NaN, strange labels, one class only, or lengths that differ.
        SpecError: the confidence is not between 0 and 1, or there are too few resamples.
    """
    check_confidence(confidence)
    scores, live = check_scores(score, label)
    check_both_classes(live)
    clusters = find_clusters(scores, live, subject)
    counts = np.concatenate([whole(clusters), draw(clusters, resamples, seed), left_out(clusters)])
    sample = ScoredClusters(scores, live, clusters.index)
    both = min(clusters.live, clusters.attack)

    def interval(values: Floats, subjects: int = both, *, smooth: bool = True) -> Interval:
        replicates, jackknife = values[1 : resamples + 1], values[resamples + 1 :]
        # A figure that jumps from score to score has a jackknife that says nothing, and that of a rate of few errors
        # reflects their small number, not heavy tails: with it FAR's intervals covered 98 % of worlds.
        freedom = degrees_of_freedom(subjects, jackknife if smooth else jackknife[:0])
        return figure_interval(float(values[0]), replicates, subjects, confidence, freedom)

    far = frr = hter = apcer = acer = None
    if threshold is not None:
        false_live, false_attack = sample.far(counts, threshold), sample.frr(counts, threshold)
        far = interval(false_live, clusters.attack, smooth=False)
        frr = interval(false_attack, clusters.live, smooth=False)
        hter = interval((false_live + false_attack) / 2)
        if attack_type is not None:
            types = check_column(attack_type, scores, "attack types")
            worst = worst_apcer(scores, live, types, clusters, counts, threshold)
            apcer = interval(worst, clusters.attack, smooth=False)
            acer = interval((worst + false_attack) / 2)
    return Intervals(
        confidence,
        resamples,
        both,
        clusters.kind,
        interval(sample.auc(counts)),
        interval(eer_values(sample, counts, tally(scores, live))),
        interval(1 - sample.frr_at_far(counts, 0.01), smooth=False),
        far,
        frr,
        hter,
        apcer,
        acer,
        tuple(note for note in (clusters.note, few_subjects_warning(both)) if note),
    )


def eer_values(sample: ScoredClusters, counts: Counts, counted: Tally) -> Floats:
    """Return how the EER of a set moves under resamples, to first order, [B]; the set itself must come first.

    The EER of each resample jumps from score to score and spreads too much. With the threshold held, FAR and FRR move
    smoothly; how far the crossing follows each depends on how dense the scores of the other class are there.
    """
    eer, threshold = counted.eer()
    share = counted.live_share(eer)
    moved = share * sample.far(counts, threshold) + (1 - share) * sample.frr(counts, threshold)
    return np.asarray(moved - moved[0] + eer)


def few_subjects_warning(subjects: int) -> str:
    """Return a table's remark on intervals over few subjects; empty if they are enough."""
    if subjects >= FEW_SUBJECTS:
        return ""
    return f"only {subjects} subjects: the intervals may cover less than they promise"


def degrees_of_freedom(subjects: int, jackknife: Floats) -> float:
    """Return the degrees of freedom of a variance estimated over so many subjects.

    For a normal sample n - 1; heavier tails make a variance estimate vary more, by their excess kurtosis (the
    variance of a sample variance is sigma^4 (2 / (n - 1) + kurtosis / n)).

    Args:
        subjects: n.
        jackknife: the figure without each cluster in turn; empty if that says nothing.
    """
    known = jackknife[~np.isnan(jackknife)]
    kurtosis = 0.0
    if len(known) > 1 and np.ptp(known) > 0:
        off = known - known.mean()
        kurtosis = max(float((off**4).mean() / (off**2).mean() ** 2) - 3, 0.0)
    return 2 / (2 / (subjects - 1) + kurtosis / subjects) if subjects > 1 else math.nan


def figure_interval(
    estimate: float, replicates: Floats, subjects: int, confidence: float, freedom: float | None = None
) -> Interval:
    """Return the interval of one figure in [0, 1] from its bootstrap replicates.

    Args:
        estimate: of the set itself.
        replicates: [B] of the resamples; NaN where a resample lacked a class.
        subjects: how many independent ones the figure rests on.
        confidence: nominal coverage.
        freedom: degrees of freedom of the standard error; one less than the subjects if not given.
    """
    return interval_of_error(estimate, standard_error(replicates, subjects), subjects, confidence, freedom)


def interval_of_error(
    estimate: float, error: float, subjects: int, confidence: float, freedom: float | None = None
) -> Interval:
    """Return the interval of one figure in [0, 1] from its standard error; arguments as of ``figure_interval``."""
    from scipy.special import expit, logit, stdtrit

    nan = math.nan
    if subjects < 2:
        return Interval(estimate, nan, nan, "one subject: no interval")
    tail = (1 - confidence) / 2
    if estimate in (0.0, 1.0):
        reach = 1 - tail ** (1 / subjects)
        lower, upper = (0.0, reach) if estimate == 0 else (1 - reach, 1.0)
        return Interval(estimate, lower, upper, f"at its limit: exact bound for {subjects} independent subjects")
    half = float(stdtrit(freedom or subjects - 1, 1 - tail)) * error / (estimate * (1 - estimate))
    centre = float(logit(estimate))
    return Interval(estimate, float(expit(centre - half)), float(expit(centre + half)))


def worst_apcer(
    scores: Floats,
    live: NDArray[np.bool_],
    types: NDArray[Any],
    clusters: Clusters,
    counts: Counts,
    threshold: float,
) -> Floats:
    """Return the APCER of the worst attack type in each resample, [B]."""
    rates = [
        ScoredClusters(scores[chosen], live[chosen], clusters.index[chosen]).far(counts, threshold)
        for name in np.unique(types[~live])
        for chosen in [~live & (types == name)]
    ]
    return np.asarray(np.fmax.reduce(rates))
