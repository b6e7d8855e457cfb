"""The evaluations of a trial in brief: what honest selection rules may know of them, and what only oracles may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fasray.metrics import eer, rates_at
from fasray.metrics.tally import tally
from fasray.metrics.thresholds import min_hter_threshold
from fasray.results.scores import ScoredEvaluation


@dataclass(frozen=True)
class SourceDigest:
    """What honest rules may know of one evaluation."""

    step: int
    auc: float
    loss: float
    video_threshold: float
    frame_threshold: float
    worst_auc: float = 0.0
    """AUC of the worst source domain."""


@dataclass(frozen=True)
class TargetDigest:
    """What only the oracles may know of one evaluation."""

    step: int
    auc: float
    hter: float
    """At the EER threshold."""
    video_threshold: float
    frame_threshold: float
    min_hter: float = 1.0
    """Over all thresholds."""
    min_hter_video_threshold: float = 0.0
    min_hter_frame_threshold: float = 0.0


@dataclass(frozen=True)
class LeftOutDigest:
    """The inner trials of a confirming run at one step, each evaluated on the source domain that it left out."""

    step: int
    auc: float
    """Mean over the inner trials, video level."""
    video_threshold: float
    """EER of the left-out videos of all inner trials, pooled."""
    frame_threshold: float


@dataclass(frozen=True)
class TrialDigests:
    """All evaluations of one trial in brief, by step."""

    trial: str
    source: tuple[SourceDigest, ...]
    target: tuple[TargetDigest, ...]
    left_out: tuple[LeftOutDigest, ...] = ()
    """Empty without inner trials, and as long as they have not all reached their full budget."""


def source_digest(evaluation: ScoredEvaluation) -> SourceDigest:
    """Sum up the source-dev rows of an evaluation."""
    summary = evaluation.source_dev_summary()
    videos, frames = evaluation.source_dev.videos, evaluation.source_dev
    return SourceDigest(
        evaluation.step,
        summary.auc,
        summary.loss,
        eer(videos.score, videos.label).threshold,
        eer(frames.score, frames.label).threshold,
        min(part.auc for part in summary.per_domain),
    )


def target_digest(evaluation: ScoredEvaluation) -> TargetDigest:
    """Sum up the target rows of an evaluation."""
    videos, frames = evaluation.target.videos, evaluation.target
    least = min_hter_threshold(videos.score, videos.label)
    counted = tally(videos.score, videos.label)
    hter, threshold = counted.eer()
    return TargetDigest(
        evaluation.step,
        counted.auc(),
        hter,
        threshold,
        eer(frames.score, frames.label).threshold,
        rates_at(videos.score, videos.label, least).hter,
        least,
        min_hter_threshold(frames.score, frames.label),
    )


def digests_of(trial: str, evaluations: Iterable[ScoredEvaluation]) -> TrialDigests:
    """Sum up the evaluations of a trial."""
    read = list(evaluations)
    return TrialDigests(trial, tuple(map(source_digest, read)), tuple(map(target_digest, read)))
