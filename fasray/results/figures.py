"""The figures of one run at the steps and thresholds that a rule picked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasray.metrics import pad_rates_at, rates_at, tpr_at_fpr
from fasray.metrics.curves import bpcer_at_apcer
from fasray.metrics.tally import tally
from fasray.results.bootstrap import Replicates, Resamples, independent_subjects
from fasray.results.scores import LEVELS, Level, ScoredEvaluation
from fasray.results.selection import StepChoice

FIGURES = (
    "hter",
    "auc",
    "eer",
    "acer",
    "apcer",
    "bpcer",
    "bpcer_at_apcer1",
    "bpcer_at_apcer5",
    "bpcer_at_apcer10",
    "tpr_at_fpr1",
    "source_dev_auc",
)
"""What is computed of every run, in this order; fractions."""


@dataclass(frozen=True)
class TrialFigures:
    """The figures of one run at its chosen step, or their means over several."""

    choice: StepChoice
    seed: int
    level: Level
    values: tuple[float, ...]
    """In the order of ``FIGURES``."""
    videos: int
    frames: int
    subjects: int
    replicates: Replicates | None = None
    """[2, B] HTER and AUC under resamples of subjects; at video level only."""
    independent: int = 0
    """Subjects that the figures rest on."""


def compute_figures(evaluation: ScoredEvaluation, choice: StepChoice, seed: int, level: Level) -> TrialFigures:
    """Compute the figures of one of the evaluations that a choice has picked, at its threshold."""
    threshold = next(pick for pick in choice.picks if pick.step == evaluation.step).threshold(level)
    return TrialFigures(choice, seed, level, figures_at(evaluation, threshold, level), *_counts(evaluation))


class FigureComputer:
    """Computes the figures of many choices over the same evaluations, those that no threshold changes only once.

    Args:
        resamples: of the target's subjects, for the confidence intervals.
    """

    def __init__(self, resamples: Resamples) -> None:
        self._resamples = resamples
        self._rankings: dict[tuple[str, int, Level], dict[str, float]] = {}

    def compute(
        self, evaluations: Mapping[int, ScoredEvaluation], choice: StepChoice, seed: int
    ) -> dict[Level, TrialFigures]:
        """Compute the figures of a choice at both levels, means over its picks.

        ``evaluations`` and ``seed`` are those of the choice's trial, evaluations by step.
        """
        found: dict[Level, TrialFigures] = {}
        independent = independent_subjects(evaluations[choice.step].target.grouping)
        for level in LEVELS:
            values = [self._figures(evaluations[pick.step], pick.threshold(level), level) for pick in choice.picks]
            mean, _ = mean_and_std(values)
            counts = _counts(evaluations[choice.step])
            found[level] = TrialFigures(choice, seed, level, mean, *counts, independent=independent)
        drawn = [self._resamples.of(evaluations[pick.step], pick.video_threshold) for pick in choice.picks]
        known = [values for values in drawn if values is not None]
        replicates: Replicates | None = np.mean(known, axis=0) if known else None
        found["video"] = replace(found["video"], replicates=replicates)
        return found

    def forget(self) -> None:
        """Drop what was stored of single evaluations."""
        self._rankings.clear()
        self._resamples.forget()

    def _figures(self, evaluation: ScoredEvaluation, threshold: float, level: Level) -> tuple[float, ...]:
        key = (evaluation.trial, evaluation.step, level)
        if key not in self._rankings:
            self._rankings[key] = _ranking(evaluation, level)
        return _in_order(self._rankings[key] | _decisions(evaluation, threshold, level))


def figures_at(evaluation: ScoredEvaluation, threshold: float, level: Level) -> tuple[float, ...]:
    """Return the figures of one evaluation at one threshold, in the order of ``FIGURES``."""
    return _in_order(_ranking(evaluation, level) | _decisions(evaluation, threshold, level))


def _in_order(values: Mapping[str, float]) -> tuple[float, ...]:
    return tuple(values[name] for name in FIGURES)


def _ranking(evaluation: ScoredEvaluation, level: Level) -> dict[str, float]:
    """Return the figures that no threshold changes."""
    rows = evaluation.target.at(level)
    score, label = rows.score, rows.label
    counted = tally(score, label)
    return {
        "auc": counted.auc(),
        "eer": counted.eer()[0],
        "bpcer_at_apcer1": bpcer_at_apcer(score, label, 0.01, rows.attack_type),
        "bpcer_at_apcer5": bpcer_at_apcer(score, label, 0.05, rows.attack_type),
        "bpcer_at_apcer10": bpcer_at_apcer(score, label, 0.10, rows.attack_type),
        "tpr_at_fpr1": tpr_at_fpr(score, label, 0.01),
        "source_dev_auc": evaluation.source_dev_summary(level).auc,
    }


def _decisions(evaluation: ScoredEvaluation, threshold: float, level: Level) -> dict[str, float]:
    """Return the error rates at a threshold."""
    rows = evaluation.target.at(level)
    pad = pad_rates_at(rows.score, rows.label, rows.attack_type, threshold)
    hter = rates_at(rows.score, rows.label, threshold).hter
    return {"hter": hter, "acer": pad.acer, "apcer": pad.apcer, "bpcer": pad.bpcer}


def mean_and_std(values: Sequence[tuple[float, ...]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the column means and sample standard deviations (ddof 1); NaN where there are too few rows."""
    width = len(FIGURES)
    if not values:
        return (math.nan,) * width, (math.nan,) * width
    table = np.array(values, np.float64)
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.full(width, np.nan)
    return tuple(table.mean(axis=0).tolist()), tuple(spread.tolist())


def _counts(evaluation: ScoredEvaluation) -> tuple[int, int, int]:
    """Return videos, frames and subjects of the target."""
    target = evaluation.target
    return len(target.grouping.videos.video), len(target.score), target.grouping.subject_count
