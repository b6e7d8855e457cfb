"""Which trained model a PAD report is about, and how it was put to the test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.metrics.thresholds import choose_threshold
from fasray.results.confirmed import ConfirmedRun, confirmed_runs
from fasray.results.scores import ScoredEvaluation
from fasray.results.selection import selection
from fasray.runs.checksums import read_files
from fasray.runs.events import TrialRecord
from fasray.runs.layout import trial_folder
from fasray.runs.record import RunRecord
from fasray.runs.weights import weights_of_trial

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class PadOptions:
    """What is reported."""

    method: str
    protocol: str
    selection: str = "source-dev"
    threshold: str = "eer"
    """Rule of ``fasray.metrics.thresholds``, applied to source-dev."""
    seed: int | None = None
    """Of the confirming run; None: the best by source-dev."""
    iapar: float | None = None
    """Of a recognition system with this subsystem, measured elsewhere; a fraction."""
    frr: float | None = None
    """Likewise its false reject rate."""


@dataclass(frozen=True, eq=False)
class Tested:
    """One confirmed run at the step and threshold that source-dev chose."""

    trial: TrialRecord
    step: int
    evaluation: ScoredEvaluation
    threshold: float
    source_dev_auc: float
    weights_sha256: str
    """Of the checkpoint at the step."""
    initial_weights: str

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return self.trial.seed


def find_tested(run: RunRecord, options: PadOptions) -> tuple[Tested, tuple[Tested, ...]]:
    """Return the model that is reported, and all confirmed ones of its cell, by seed.

    The model is the one with the highest source-dev AUC, unless a seed is named: no score of the target chooses it.

    Raises:
        DataError: nothing of the cell is confirmed, or a score file is missing or damaged.
        SpecError: there is no such method, protocol, seed or threshold rule; or the selection looks at the target, or
            takes several steps, or a threshold of its own.
    """
    rule = selection(options.selection)
    if rule.oracle:
        what = f"{rule.name} chooses on the target's own labels: no evaluator can sign for that"
        raise SpecError(what, where="--select", remedy="name source-dev, worst-source or last")
    if rule.threshold_rule != "source-dev-eer" or rule.several:
        what = f"{rule.name} is not one step of one model with a threshold from source-dev"
        raise SpecError(what, where="--select", remedy="name source-dev, worst-source or last")
    found = tuple(
        _tested(run, each, options.threshold) for each in confirmed_runs(run, rule.name, _trials(run, options))
    )
    best = max(found, key=lambda each: (each.source_dev_auc, -each.seed))
    if options.seed is None:
        return best, found
    for each in found:
        if each.seed == options.seed:
            return each, found
    seeds = ", ".join(str(each.seed) for each in found)
    what = f"no confirmed run of {options.method} on {options.protocol} with seed {options.seed}"
    raise SpecError(what, where="--seed", remedy=f"choose one of: {seeds}")


def _trials(run: RunRecord, options: PadOptions) -> Sequence[TrialRecord]:
    whole = [trial for trial in run.cell_trials if not trial.variant]
    methods = dict.fromkeys(trial.method for trial in whole)
    if options.method not in methods:
        what = f"the run has no method {options.method!r}"
        raise SpecError(what, where="METHOD", remedy=did_you_mean(options.method, methods))
    protocol = "".join(options.protocol.split())
    names = dict.fromkeys(
        trial.protocol for trial in whole if trial.method == options.method and trial.stage != "inner"
    )
    if protocol not in names:
        what = f"{options.method} has no protocol {options.protocol!r} in this run"
        raise SpecError(what, where="PROTOCOL", remedy=did_you_mean(protocol, names))
    found = [
        trial
        for trial in run.confirmed
        if (trial.method, trial.variant, trial.protocol) == (options.method, "", protocol) and trial.steps
    ]
    if not found:
        raise DataError(
            f"no confirming run of {options.method} on {protocol} has finished yet",
            where=run.uri,
            remedy="resume the sweep; `fasray results RUN --what trials` shows its progress",
        )
    return sorted(found, key=lambda trial: trial.seed)


def _tested(run: RunRecord, found: ConfirmedRun, threshold: str) -> Tested:
    trial, evaluation = found.trial, found.evaluation
    dev = evaluation.source_dev.videos
    files = read_files(trial_folder(run.uri, trial.id))
    auc = evaluation.source_dev_summary().auc
    return Tested(
        trial,
        evaluation.step,
        evaluation,
        choose_threshold(threshold, dev.score, dev.label, dev.attack_type),
        0.0 if math.isnan(auc) else auc,
        (files.checkpoints.get(evaluation.step) if files else None) or NOT_RECORDED,
        str(weights_of_trial(run.uri, trial.method, trial.config) or ""),
    )
