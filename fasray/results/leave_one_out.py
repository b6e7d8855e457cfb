"""The inner trials of confirming runs: the same run without one of its source domains, and evaluated on it.

What ``leave-one-source-out`` knows comes from here. The target of the run has no part in its inner trials: none of its
rows is in their score files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fasray import protocols
from fasray.errors import SpecError
from fasray.metrics import eer
from fasray.metrics.tally import tally
from fasray.results.digests import LeftOutDigest, TrialDigests
from fasray.results.scores import ScoredEvaluation, ScoreReader
from fasray.results.selection import Selection
from fasray.runs.events import ENDED, TrialRecord, cell_protocol
from fasray.runs.record import RunRecord

INNER = "inner"
"""The stage of inner trials."""


@dataclass(frozen=True)
class InnerTrials:
    """The inner trials of one confirming run, in the order of the log."""

    trials: tuple[TrialRecord, ...]
    planned: int
    """One for each source domain."""

    @property
    def complete(self) -> bool:
        """Whether all of them have reached their full budget."""
        return len(self.trials) == self.planned and all(trial.status == "done" for trial in self.trials)

    @property
    def lost(self) -> bool:
        """Whether one of them diverged or failed, so that they will never be complete."""
        return any(trial.status in ENDED and trial.status != "done" for trial in self.trials)


def has_inner_trials(trials: Sequence[TrialRecord]) -> bool:
    """Whether a run planned inner trials, and has come to them."""
    return any(trial.stage == INNER for trial in trials)


def check_inner_trials(run: RunRecord, rule: Selection) -> None:
    """Check that a run planned the inner trials that a rule needs.

    Raises:
        SpecError: it did not.
    """
    if rule.inner and not has_inner_trials(run.trials):
        raise SpecError(
            f"{rule.name} needs inner trials, which this run does not have",
            where="--select",
            remedy="plan them in the sweep with `confirm: {leave_one_source_out: true}`",
        )


def inner_trials(trials: Sequence[TrialRecord], run: TrialRecord) -> InnerTrials:
    """Return the inner trials of a confirming run, out of all trials of its sweep, by protocol."""
    cell = (run.method, run.variant, run.protocol, run.seed)
    found = (trial for trial in trials if trial.stage == INNER)
    own = tuple(t for t in found if (t.method, t.variant, cell_protocol(t), t.seed) == cell)
    return InnerTrials(own, len(protocols.parse(run.protocol).domains))


def with_inner_trials(digests: TrialDigests, run: RunRecord, trial: TrialRecord, reader: ScoreReader) -> TrialDigests:
    """Return the digests of a confirming run with those of its inner trials, once all of these are complete.

    Raises:
        DataError: a score file of an inner trial is missing, damaged, or holds scores that are not finite numbers.
    """
    inner = inner_trials(run.cell_trials, trial)
    if not inner.complete:
        return digests
    read = [
        reader.read_all([run.score_uri(each.id, step) for step in each.steps], each.protocol) for each in inner.trials
    ]
    by_step = [dict(zip(each.steps, found, strict=True)) for each, found in zip(inner.trials, read, strict=True)]
    return replace(digests, left_out=left_out_digests(by_step))


def left_out_digests(inner: Sequence[Mapping[int, ScoredEvaluation]]) -> tuple[LeftOutDigest, ...]:
    """Sum up, step by step, how inner trials do on the domains that they have left out.

    Scores of different models are pooled for the threshold, as they are applied to those of a third one: models of one
    method with one configuration are taken to score alike.

    Args:
        inner: the evaluations of each inner trial by step; their targets are the left-out domains. Steps that not all
            have are left out.
    """
    steps = sorted(set.intersection(*(set(evaluations) for evaluations in inner)))
    return tuple(_digest(step, [evaluations[step] for evaluations in inner]) for step in steps)


def _digest(step: int, evaluations: Sequence[ScoredEvaluation]) -> LeftOutDigest:
    videos = [evaluation.target.videos for evaluation in evaluations]
    frames = [evaluation.target for evaluation in evaluations]
    auc = float(np.mean([tally(part.score, part.label).auc() for part in videos]))
    video, frame = (
        eer(np.concatenate([part.score for part in parts]), np.concatenate([part.label for part in parts])).threshold
        for parts in (videos, frames)
    )
    return LeftOutDigest(step, auc, video, frame)
