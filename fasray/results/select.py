"""Which step of a confirmed run is reported, and at which threshold: honest rules, and the literature's habit, marked.

``source-dev``   the step of the highest macro-averaged video-level source-dev AUC; ties by the lower source-dev
                 loss, then the earlier step. Threshold: EER of the pooled source-dev videos at that step.
``last``         the last step; threshold as above.
``oracle``       the step of the least target HTER at the target's own EER threshold; ties by the higher target AUC,
                 then the earlier step. Threshold: EER of the target. It reads the answers and is always marked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fasray.errors import SpecError, did_you_mean
from fasray.metrics import auc, eer
from fasray.results.evaluations import Evaluation, Level, Scores, Trial

ThresholdRule = Literal["source-dev-eer", "target-eer"]


@dataclass(frozen=True)
class Selection:
    """A selection rule by name."""

    name: str
    threshold_rule: ThresholdRule
    oracle: bool
    """Looks at target labels."""


SELECTIONS = {
    rule.name: rule
    for rule in (
        Selection("source-dev", "source-dev-eer", oracle=False),
        Selection("last", "source-dev-eer", oracle=False),
        Selection("oracle", "target-eer", oracle=True),
    )
}


@dataclass(frozen=True)
class Choice:
    """The step and the thresholds that a rule picked for one trial."""

    trial: str
    step: int
    selection: str
    threshold_rule: ThresholdRule
    oracle: bool
    video_threshold: float
    frame_threshold: float

    def threshold(self, level: Level) -> float:
        """Return the threshold for frames or for videos; a score at or above it is accepted as live."""
        return self.video_threshold if level == "video" else self.frame_threshold


@dataclass(frozen=True)
class SourceDigest:
    """What honest rules may know of one evaluation."""

    step: int
    auc: float
    loss: float
    video_threshold: float
    frame_threshold: float


@dataclass(frozen=True)
class TargetDigest:
    """What only the oracle may know of one evaluation."""

    step: int
    auc: float
    hter: float
    video_threshold: float
    frame_threshold: float


@dataclass(frozen=True)
class TrialDigests:
    """All evaluations of one trial in brief, by step."""

    trial: str
    source: tuple[SourceDigest, ...]
    target: tuple[TargetDigest, ...]


def source_digest(evaluation: Evaluation) -> SourceDigest:
    """Sum up the source-dev rows of an evaluation."""
    summary = evaluation.source_dev_summary()
    return SourceDigest(evaluation.step, summary.auc, summary.loss, *_eer_thresholds(evaluation.source_dev))


def target_digest(evaluation: Evaluation) -> TargetDigest:
    """Sum up the target rows of an evaluation."""
    videos = evaluation.target.videos
    return TargetDigest(
        evaluation.step,
        auc(videos.score, videos.label),
        eer(videos.score, videos.label).eer,
        *_eer_thresholds(evaluation.target),
    )


def digest_trial(trial: Trial, evaluation_at: Callable[[str, int], Evaluation]) -> TrialDigests:
    """Read each evaluation of a trial once and sum it up."""
    source, target = [], []
    for step in trial.steps:
        evaluation = evaluation_at(trial.id, step)
        source.append(source_digest(evaluation))
        target.append(target_digest(evaluation))
    return TrialDigests(trial.id, tuple(source), tuple(target))


def best_source_step(digests: Sequence[SourceDigest]) -> SourceDigest:
    """Return the evaluation that ``source-dev`` picks."""
    return min(digests, key=lambda d: (-d.auc, d.loss, d.step))


def best_target_step(digests: Sequence[TargetDigest]) -> TargetDigest:
    """Return the evaluation that ``oracle`` picks."""
    return min(digests, key=lambda d: (d.hter, -d.auc, d.step))


def choose(selection: str, digests: TrialDigests) -> Choice:
    """Apply a selection rule to one trial.

    Raises:
        SpecError: there is no such rule.
    """
    if selection not in SELECTIONS:
        raise SpecError(
            f"there is no selection {selection!r}", where="--select", remedy=did_you_mean(selection, SELECTIONS)
        )
    rule = SELECTIONS[selection]
    picked: SourceDigest | TargetDigest
    if rule.oracle:
        picked = best_target_step(digests.target)
    elif selection == "last":
        picked = max(digests.source, key=lambda d: d.step)
    else:
        picked = best_source_step(digests.source)
    return Choice(
        digests.trial,
        picked.step,
        selection,
        rule.threshold_rule,
        rule.oracle,
        picked.video_threshold,
        picked.frame_threshold,
    )


def _eer_thresholds(scores: Scores) -> tuple[float, float]:
    videos = scores.videos
    return eer(videos.score, videos.label).threshold, eer(scores.score, scores.label).threshold
