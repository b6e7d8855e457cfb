"""Which step of a confirmed run is reported, and at which threshold: honest rules, and the literature's habits, marked.

Honest rules read source-dev scores only:

``source-dev``        the step of the highest macro-averaged video-level source-dev AUC; ties by the lower source-dev
                      loss, then the earlier step. Threshold: EER of the pooled source-dev videos at that step.
``worst-source``      the step whose worst source domain has the highest source-dev AUC; ties as ``source-dev``.
                      Threshold as above.
``last``              the last step; threshold as above.
``mean-of-last-k``    no step is picked: the mean of the figures over the last k evaluations, each at its own
                      threshold as above. k is 5, or all evaluations where there are fewer; ``mean-of-last-3`` and
                      the like name another k.

``leave-one-source-out``  (only where the sweep planned its inner trials, ``confirm: {leave_one_source_out: true}``)
                      Each confirming run is trained again without each of its source domains, with the same
                      configuration, seed and budget. The step of the highest mean, over these inner trials, of the
                      video-level AUC on the domain that was left out; ties by the earlier step. Threshold: EER of the
                      left-out scores of all inner trials at that step, pooled. Both are applied to the confirming run,
                      which has seen all sources.

The oracles read the answers, are not attainable in use, and are always marked:

``oracle``            the step of the least target HTER at the target's own EER threshold; ties by the higher target
                      AUC, then the earlier step. Threshold: EER of the target.
``oracle-search``     as ``oracle``, but over all trials of the cell, those of the search included: one trial, one step.
                      Only where search trials scored the target, ``search: {score_target: true}``.
``oracle-min-hter``   the step of the least target HTER over all thresholds, at the threshold that gives it.

A further rule is one more entry of ``SELECTIONS``; those of ``PLANNED_SELECTIONS`` need what only some sweeps plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.results.digests import LeftOutDigest, SourceDigest, TargetDigest, TrialDigests
from fasray.results.scores import Level

ThresholdRule = Literal["source-dev-eer", "left-out-eer", "target-eer", "target-min-hter"]

LAST_K = 5
"""How many evaluations ``mean-of-last-k`` averages, where there are so many."""


@dataclass(frozen=True)
class Pick:
    """One evaluation and its thresholds."""

    step: int
    video_threshold: float
    frame_threshold: float

    def threshold(self, level: Level) -> float:
        """Return the threshold for frames or for videos; a score at or above it is accepted as live."""
        return self.video_threshold if level == "video" else self.frame_threshold


@dataclass(frozen=True)
class Selection:
    """A selection rule by name."""

    name: str
    threshold_rule: ThresholdRule
    oracle: bool
    """Looks at target labels."""
    meaning: str
    """For the notes under a table: a sentence without its end."""
    pick: Callable[[TrialDigests], tuple[Pick, ...]]
    """The evaluations that are taken; their figures are averaged."""
    any_trial: bool = False
    """Takes the best of all trials of a cell instead of each confirming run."""
    inner: bool = False
    """Needs the inner trials of each confirming run, which only some sweeps plan."""
    several: bool = False
    """Takes several steps of a run, each at its own threshold."""


@dataclass(frozen=True)
class StepChoice:
    """The steps and the thresholds that a rule picked for one trial."""

    trial: str
    selection: str
    threshold_rule: ThresholdRule
    oracle: bool
    picks: tuple[Pick, ...]
    """By step; one, but for ``mean-of-last-k``."""

    @property
    def step(self) -> int:
        """The picked step, the last one of several."""
        return self.picks[-1].step

    @property
    def video_threshold(self) -> float:
        """The threshold for videos at ``step``."""
        return self.picks[-1].video_threshold


def best_source_step(digests: Sequence[SourceDigest]) -> SourceDigest:
    """Return the evaluation that ``source-dev`` picks."""
    return min(digests, key=lambda d: (-d.auc, d.loss, d.step))


def best_target_step(digests: Sequence[TargetDigest]) -> TargetDigest:
    """Return the evaluation that ``oracle`` picks."""
    return min(digests, key=lambda d: (d.hter, -d.auc, d.step))


def selection(name: str) -> Selection:
    """Return a rule by its name; ``mean-of-last-3`` and the like are made on demand.

    Raises:
        SpecError: there is no such rule.
    """
    known = {**SELECTIONS, **PLANNED_SELECTIONS}
    if name in known:
        return known[name]
    found = re.fullmatch(r"mean-of-last-([1-9]\d{0,3})", name)
    if found:
        return _mean_of_last(name, int(found[1]))
    raise SpecError(f"no selection {name!r}", where="--select", remedy=did_you_mean(name, known))


def rule_of_runs(name: str, one_step: bool = False) -> Selection:
    """Return a rule that applies to each confirmed run.

    Args:
        name: of the rule.
        one_step: whether it must pick one step of each.

    Raises:
        SpecError: there is no such rule, or it is no such rule.
    """
    rule = selection(name)
    if rule.any_trial:
        raise SpecError(f"{name} applies to no single confirmed run", where="--select", remedy="name another rule")
    if one_step and rule.several:
        what = f"{name} takes several steps of a run, each with a threshold of its own"
        raise SpecError(what, where="--select", remedy="name a rule of one step: source-dev, worst-source or last")
    return rule


def choose(name: str, digests: TrialDigests) -> StepChoice:
    """Apply a selection rule to one trial.

    Raises:
        SpecError: there is no such rule.
        DataError: the rule needs inner trials, and the digests have none.
    """
    rule = selection(name)
    return StepChoice(digests.trial, rule.name, rule.threshold_rule, rule.oracle, rule.pick(digests))


def _picked(digest: SourceDigest | TargetDigest | LeftOutDigest) -> tuple[Pick, ...]:
    return (Pick(digest.step, digest.video_threshold, digest.frame_threshold),)


def _least_hter_pick(digests: TrialDigests) -> tuple[Pick, ...]:
    best = min(digests.target, key=lambda d: (d.min_hter, -d.auc, d.step))
    return (Pick(best.step, best.min_hter_video_threshold, best.min_hter_frame_threshold),)


def _left_out_pick(digests: TrialDigests) -> tuple[Pick, ...]:
    if not digests.left_out:
        raise DataError(
            f"the inner trials of trial {digests.trial} have not all reached their full budget",
            remedy="resume the sweep; `fasray results RUN --what trials` shows their progress",
        )
    return _picked(min(digests.left_out, key=lambda d: (-d.auc, d.step)))


def _mean_of_last(name: str, k: int) -> Selection:
    def pick(digests: TrialDigests) -> tuple[Pick, ...]:
        by_step = sorted(digests.source, key=lambda d: d.step)
        return tuple(pick for digest in by_step[-k:] for pick in _picked(digest))

    meaning = (
        f"mean of the figures over the last {k} evaluations (fewer if there are fewer), each at its source-dev EER"
    )
    return Selection(name, "source-dev-eer", False, meaning, pick, several=True)


SELECTIONS = {
    rule.name: rule
    for rule in (
        Selection(
            "source-dev",
            "source-dev-eer",
            False,
            "step of the best source-dev AUC, threshold at the EER of source-dev",
            lambda digests: _picked(best_source_step(digests.source)),
        ),
        Selection(
            "worst-source",
            "source-dev-eer",
            False,
            "step of the best source-dev AUC of the worst source domain, threshold at the EER of source-dev",
            lambda digests: _picked(min(digests.source, key=lambda d: (-d.worst_auc, -d.auc, d.loss, d.step))),
        ),
        Selection(
            "last",
            "source-dev-eer",
            False,
            "last step, threshold at the EER of source-dev",
            lambda digests: _picked(max(digests.source, key=lambda d: d.step)),
        ),
        _mean_of_last("mean-of-last-k", LAST_K),
        Selection(
            "oracle",
            "target-eer",
            True,
            "best step and EER threshold chosen on the target itself",
            lambda digests: _picked(best_target_step(digests.target)),
        ),
        Selection(
            "oracle-search",
            "target-eer",
            True,
            "best step of the best trial, search trials included, and EER threshold chosen on the target itself",
            lambda digests: _picked(best_target_step(digests.target)),
            any_trial=True,
        ),
        Selection(
            "oracle-min-hter",
            "target-min-hter",
            True,
            "step and threshold of the least HTER on the target itself",
            _least_hter_pick,
        ),
    )
}
"""Every rule that any run offers by name, honest ones first."""

PLANNED_SELECTIONS = {
    rule.name: rule
    for rule in (
        Selection(
            "leave-one-source-out",
            "left-out-eer",
            False,
            "step of the best mean AUC on a left-out source domain, threshold at the EER of the left-out scores",
            _left_out_pick,
            inner=True,
        ),
    )
}
"""Rules by name that only those runs offer whose sweep planned the trials that they need; all honest."""
