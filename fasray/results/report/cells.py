"""What the page shows of one cell, that is of one method on one protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fasray import protocols
from fasray.errors import FasrayError
from fasray.metrics import Videos
from fasray.results import plots
from fasray.results.calibrated import calibration_grid, calibration_of
from fasray.results.confirmed import ConfirmedRun
from fasray.results.frame import RunResults
from fasray.results.plots import Band, Curve, DomainScores, Plot, Sample
from fasray.results.report.bands import RESAMPLES, band
from fasray.results.report.faces import Suspect, worst
from fasray.results.scores import ScoredEvaluation
from fasray.results.selection import best_target_step
from fasray.results.slices import cell_slices_grid, slice_rows
from fasray.results.tables.text import Grid, of_one_cell, percent
from fasray.results.transfer import gap_of, thresholds_grid, thresholds_of
from fasray.runs.events import TrialRecord
from fasray.runs.record import RunRecord
from fasray.runs.videos import VideoFacts

HONEST = "source-dev"
MOST_RESPONSES = 6
FEWEST_SAMPLES = 4
"""Search trials that a response curve needs; fewer differ in everything at once."""
TRIAL_HEADERS = ("trial", "stage", "seed", "state", "steps", "chosen step", "source-dev AUC", "seconds", "searched")
TEXT_COLUMNS = frozenset({"trial", "stage", "state", "searched"})


@dataclass(frozen=True)
class CellSection:
    """One method on one protocol."""

    method: str
    protocol: str
    anchor: str
    note: str
    plots: tuple[Plot, ...]
    attacks: tuple[Suspect, ...]
    """Attack videos that look most live, worst first."""
    lives: tuple[Suspect, ...]
    """Live videos that look most like attacks, worst first."""
    search_note: str
    """Why there are no response curves; empty if there are, or nothing was searched."""
    shown_seed: int
    """Seed of the run that scores and faces are shown of; -1 without a confirmed run."""
    configuration: tuple[tuple[str, str], ...]
    """The configuration that was confirmed; searched fields first."""
    searched: frozenset[str]
    trials: tuple[tuple[str, ...], ...]
    """One row a trial, in the order of ``TRIAL_HEADERS``; confirming runs first, then the best search trials."""
    band: Band | None = field(repr=False, default=None)
    groups: Grid | None = None
    """Errors by group of the target's videos; this and the following are None without a confirmed run."""
    thresholds: Grid | None = None
    """What thresholds of source-dev do on the target."""
    calibration: Grid | None = None
    """Errors of scores as probabilities, before and after calibration."""
    gap: pd.DataFrame | None = field(repr=False, default=None)
    """Of ``fasray.results.transfer.gap_of``."""


def cell_section(
    run: RunRecord,
    results: RunResults,
    anchor: str,
    trials: Sequence[TrialRecord],
    read: Callable[[TrialRecord, int], ScoredEvaluation],
    videos: VideoFacts | None,
) -> CellSection:
    """Gather what is shown of one cell, from all its trials.

    ``anchor`` is unique in the page and begins its plots' file names; ``read`` gives the evaluation of a trial's step,
    ``videos`` the facts of the run's videos.
    """
    method, protocol = trials[0].method, trials[0].protocol
    cell = f"{method} on {protocol}"
    confirmed = [_confirmed(trial, results, read) for trial in trials if (trial.key, HONEST) in results.choices]
    searched = [trial for trial in trials if trial.stage == "search" and trial.readings]
    drawn: list[Plot] = []
    curve = None
    if confirmed:
        curve = band(cell, [(each.evaluation.target, each.choice.video_threshold) for each in confirmed])
        drawn += [
            plots.det_plot(f"{anchor}-det", "DET on the target", cell, [curve]),
            plots.roc_plot(f"{anchor}-roc", "ROC on the target", cell, [curve]),
            _histograms(anchor, cell, confirmed[0]),
        ]
    if confirmed or searched:
        curves = [_confirmed_curve(each) for each in confirmed], [_searched_curve(trial) for trial in searched]
        drawn.append(plots.learning_curves(f"{anchor}-learning", cell, *curves))
    drawn += _search_plots(anchor, cell, searched, confirmed)
    attacks, lives = (
        worst(confirmed[0].evaluation.target, confirmed[0].choice.video_threshold) if confirmed else ((), ())
    )
    fields = tuple(dict.fromkeys(name for trial in trials for name in trial.searched))
    return CellSection(
        method=method,
        protocol=protocol,
        anchor=anchor,
        note=_protocol_note(protocol),
        plots=tuple(drawn),
        attacks=attacks,
        lives=lives,
        search_note=(
            f"{len(searched)} configurations were tried: too few to show how the result responds to each setting."
            if fields and 0 < len(searched) < FEWEST_SAMPLES
            else ""
        ),
        shown_seed=confirmed[0].trial.seed if confirmed else -1,
        configuration=_configuration(confirmed, fields),
        searched=frozenset(fields),
        trials=tuple(_trial_row(trial, results, fields) for trial in sorted(trials, key=_rank)),
        band=curve,
        groups=_groups(confirmed, videos),
        thresholds=of_one_cell(thresholds_grid(thresholds_of(confirmed))) if confirmed else None,
        calibration=of_one_cell(calibration_grid(calibration_of(confirmed))) if confirmed else None,
        gap=gap_of(confirmed) if confirmed else None,
    )


def _confirmed(
    trial: TrialRecord, results: RunResults, read: Callable[[TrialRecord, int], ScoredEvaluation]
) -> ConfirmedRun:
    """Return a confirmed run with its evaluations at the honest step and at the oracle's."""
    digests, choice = results.digests[trial.key], results.choices[trial.key, HONEST]
    steps = dict.fromkeys((choice.step, best_target_step(digests.target).step))
    return ConfirmedRun(trial, {step: read(trial, step) for step in steps}, digests, choice)


def _groups(confirmed: Sequence[ConfirmedRun], videos: VideoFacts | None) -> Grid | None:
    """Return errors by group of the target's videos, means over the confirmed runs."""
    runs = [(each.evaluation.target, each.choice.video_threshold) for each in confirmed]
    return cell_slices_grid(slice_rows(runs, videos, resamples=RESAMPLES)) if runs else None


def seconds_of(trial: TrialRecord) -> float:
    """Return the wall seconds of a trial's training and evaluations."""
    return math.fsum(reading.seconds for reading in trial.paid)


def _histograms(anchor: str, cell: str, confirmed: ConfirmedRun) -> Plot:
    evaluation, threshold = confirmed.evaluation, confirmed.choice.video_threshold
    panels = [
        DomainScores(domain, role, _of_domain(scores.videos, domain))
        for role, scores in (("source-dev", evaluation.source_dev), ("target, unseen", evaluation.target))
        for domain in np.unique(scores.videos.domain).tolist()
    ]
    return plots.score_histograms(f"{anchor}-scores", cell, confirmed.trial.seed, panels, threshold)


def _of_domain(videos: Videos, domain: str) -> Videos:
    rows = videos.domain == domain
    columns = (videos.video, videos.score, videos.label, videos.domain, videos.attack_type, videos.frames)
    return Videos(*(column[rows] for column in columns))


def _confirmed_curve(confirmed: ConfirmedRun) -> Curve:
    digests = confirmed.digests
    return Curve(
        tuple(digest.step for digest in digests.source),
        tuple(digest.auc for digest in digests.source),
        tuple(digest.auc for digest in digests.target),
        confirmed.choice.step,
    )


def _searched_curve(trial: TrialRecord) -> Curve:
    steps, aucs = trial.steps, tuple(reading.source_dev_auc for reading in trial.readings)
    return Curve(tuple(steps), aucs, cut=trial.status == "stopped")


def _search_plots(
    anchor: str, cell: str, searched: Sequence[TrialRecord], confirmed: Sequence[ConfirmedRun]
) -> list[Plot]:
    fields = tuple(dict.fromkeys(name for trial in searched for name in trial.searched))
    if not fields or len(searched) < FEWEST_SAMPLES:
        return []
    winner = dict(confirmed[0].trial.config) if confirmed else None
    samples = [
        Sample(
            tuple(trial.config.get(name) for name in fields),
            _best_auc(trial),
            cut=trial.status != "done",
            won=winner is not None and dict(trial.config) == winner,
        )
        for trial in searched
    ]
    return plots.responses(anchor, cell, fields, samples)[:MOST_RESPONSES] + plots.interactions(
        anchor, cell, fields, samples
    )


def _configuration(confirmed: Sequence[ConfirmedRun], fields: Sequence[str]) -> tuple[tuple[str, str], ...]:
    if not confirmed:
        return ()
    config = confirmed[0].trial.config
    ordered = [*(name for name in fields if name in config), *(name for name in config if name not in fields)]
    return tuple((name, _value(config[name])) for name in ordered)


def _trial_row(trial: TrialRecord, results: RunResults, fields: Sequence[str]) -> tuple[str, ...]:
    choice = results.choices.get((trial.key, HONEST))
    return (
        trial.id,
        trial.stage,
        str(trial.seed),
        trial.status,
        f"{max(trial.steps, default=0)} of {trial.total_steps}",
        str(choice.step) if choice else "-",
        percent(_best_auc(trial)),
        f"{seconds_of(trial):.0f}",
        ", ".join(f"{name} = {_value(trial.config[name])}" for name in fields if name in trial.config) or "-",
    )


def _rank(trial: TrialRecord) -> tuple[bool, float, int]:
    best = _best_auc(trial)
    return trial.stage != "confirm", 0.0 if trial.stage == "confirm" or math.isnan(best) else -best, trial.seed


def _best_auc(trial: TrialRecord) -> float:
    return max((reading.source_dev_auc for reading in trial.readings), default=math.nan)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _protocol_note(name: str) -> str:
    try:
        return protocols.parse(name).in_words
    except FasrayError:
        return ""
