"""The result frame: one row per method, protocol, selection rule and level, each naming the runs that it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fasray import protocols
from fasray.metrics import auc, eer, pad_rates_at, rates_at
from fasray.results.evaluations import ENDED, LEVELS, Evaluation, Level, RunView, Trial, read_scores
from fasray.results.select import SELECTIONS, Choice, TrialDigests, choose, digest_trial

FIGURES = ("hter", "auc", "eer", "acer", "apcer", "bpcer", "source_dev_auc")

COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "protocol": "name of the protocol, or of the OULU-NPU protocol whose six runs are averaged",
    "selection": "rule that picked step and threshold: source-dev, last, oracle",
    "threshold_rule": "source-dev-eer or target-eer",
    "oracle": "whether the rule looked at target labels",
    "level": "video (mean of its frames) or frame",
    "n_seeds": "confirming runs that reached their full budget",
    "n_runs": "protocol runs that were averaged: 1, or 6 for OULU-NPU protocols 3 and 4",
    "n_failed": "confirming runs that diverged or failed and are not in the figures",
    "hter": "(FAR + FRR) / 2 on the target at the threshold, mean over seeds, fraction",
    "hter_std": "standard deviation over seeds (ddof 1; over runs where n_runs > 1); NaN for one",
    "auc": "area under the target's ROC",
    "auc_std": "as hter_std",
    "eer": "equal error rate of the target, a property of the ranking and no decision that could be deployed",
    "eer_std": "as hter_std",
    "acer": "(APCER of the worst attack type + BPCER) / 2 on the target at the threshold",
    "acer_std": "as hter_std",
    "apcer": "APCER of the worst attack type",
    "apcer_std": "as hter_std",
    "bpcer": "BPCER",
    "bpcer_std": "as hter_std",
    "source_dev_auc": "macro average over the source domains of the source-dev AUC at the picked step",
    "source_dev_auc_std": "as hter_std",
    "optimism_gap": "HTER of oracle minus HTER of this row, same runs: how much lower the literature's habit reads",
    "optimism_gap_auc": "AUC of oracle minus AUC of this row",
    "videos": "target videos judged",
    "frames": "target frames judged",
    "trials": "ids of the runs",
    "seeds": "their seeds",
    "steps": "the step picked in each run",
    "thresholds": "the threshold applied in each run",
}
"""Columns of the result frame and what they mean; rates are fractions."""


@dataclass(frozen=True)
class TrialFigures:
    """The figures of one run at its chosen step."""

    choice: Choice
    seed: int
    level: Level
    values: tuple[float, ...]
    """In the order of ``FIGURES``."""
    videos: int
    frames: int


@dataclass(frozen=True)
class CellFigures:
    """One row of the frame before its gap to the oracle is known."""

    method: str
    protocol: str
    selection: str
    level: Level
    n_runs: int
    n_failed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    runs: tuple[TrialFigures, ...]
    videos: int
    frames: int


@dataclass(frozen=True)
class RunResults:
    """Everything that tables, plots and the report are made of."""

    frame: pd.DataFrame
    digests: dict[str, TrialDigests]
    """Every evaluation of each confirmed trial, by trial id."""
    choices: dict[tuple[str, str], Choice]
    """By (trial id, selection)."""


def results_frame(run: RunView, selections: Sequence[str] = tuple(SELECTIONS)) -> pd.DataFrame:
    """Return the result frame of a run; see ``COLUMNS``.

    Cells whose confirming runs all diverged or failed are rows of NaN; cells without any ended one are left out.

    Raises:
        DataError: a score file is missing, damaged, or holds scores that are not finite numbers.
        SpecError: there is no such selection.
    """
    return compute_results(run, selections).frame


def compute_results(run: RunView, selections: Sequence[str] = tuple(SELECTIONS)) -> RunResults:
    """Return the result frame and what it was derived from; errors as ``results_frame``."""

    def evaluation_at(trial: str, step: int) -> Evaluation:
        return read_scores(run.score_uri(trial, step))

    wanted = tuple(dict.fromkeys((*selections, "oracle")))
    digests = {trial.id: digest_trial(trial, evaluation_at) for trial in run.confirmed if trial.steps}
    choices = {(trial, rule): choose(rule, digest) for trial, digest in digests.items() for rule in wanted}
    cells: dict[tuple[str, str], list[Trial]] = {}
    for trial in run.trials:
        if trial.stage == "confirm" and trial.status in ENDED:
            cells.setdefault((trial.method, trial.protocol), []).append(trial)
    rows = []
    for (method, protocol), trials in cells.items():
        done = [trial for trial in trials if trial.id in digests]
        figures: dict[tuple[str, Level], list[TrialFigures]] = {}
        for trial in done:
            for rule in wanted:
                picked = choices[trial.id, rule]
                evaluation = evaluation_at(trial.id, picked.step)
                for level in LEVELS:
                    figures.setdefault((rule, level), []).append(judge(evaluation, picked, trial.seed, level))
        failed = len(trials) - len(done)
        rows += [
            _cell(method, protocol, rule, level, failed, figures.get((rule, level), []))
            for rule in wanted
            for level in LEVELS
        ]
    rows += _aggregates(rows)
    return RunResults(_to_frame(rows, selections), digests, choices)


def judge(evaluation: Evaluation, choice: Choice, seed: int, level: Level) -> TrialFigures:
    """Compute the figures of one evaluation at the threshold of a choice."""
    rows = evaluation.target.at(level)
    threshold = choice.threshold(level)
    pad = pad_rates_at(rows.score, rows.label, rows.attack_type, threshold)
    values = {
        "hter": rates_at(rows.score, rows.label, threshold).hter,
        "auc": auc(rows.score, rows.label),
        "eer": eer(rows.score, rows.label).eer,
        "acer": pad.acer,
        "apcer": pad.apcer,
        "bpcer": pad.bpcer,
        "source_dev_auc": evaluation.source_dev_summary(level).auc,
    }
    return TrialFigures(
        choice,
        seed,
        level,
        tuple(values[name] for name in FIGURES),
        videos=len(evaluation.target.videos.video),
        frames=len(evaluation.target.score),
    )


def mean_and_std(values: Sequence[tuple[float, ...]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the column means and sample standard deviations (ddof 1); NaN where there are too few rows."""
    width = len(FIGURES)
    if not values:
        return (math.nan,) * width, (math.nan,) * width
    table = np.array(values, np.float64)
    spread = table.std(axis=0, ddof=1) if len(table) > 1 else np.full(width, np.nan)
    return tuple(table.mean(axis=0).tolist()), tuple(spread.tolist())


def _cell(
    method: str, protocol: str, selection: str, level: Level, failed: int, runs: Sequence[TrialFigures]
) -> CellFigures:
    mean, std = mean_and_std([run.values for run in runs])
    videos, frames = (runs[0].videos, runs[0].frames) if runs else (0, 0)
    return CellFigures(method, protocol, selection, level, 1, failed, mean, std, tuple(runs), videos, frames)


def _aggregates(rows: Sequence[CellFigures]) -> list[CellFigures]:
    """Return the rows of protocols whose runs are all there, means and deviations over the runs."""
    families: dict[tuple[str, str, str, Level], list[CellFigures]] = {}
    for row in rows:
        parent = protocols.parse(row.protocol).aggregate
        if parent and row.runs:
            families.setdefault((row.method, parent, row.selection, row.level), []).append(row)
    found = []
    for (method, parent, selection, level), members in families.items():
        if len(members) == len(protocols.GROUPS[parent]):
            mean, std = mean_and_std([member.mean for member in members])
            runs = tuple(run for member in members for run in member.runs)
            failed, videos, frames = (
                sum(getattr(member, count) for member in members) for count in ("n_failed", "videos", "frames")
            )
            found.append(
                CellFigures(method, parent, selection, level, len(members), failed, mean, std, runs, videos, frames)
            )
    return found


def _to_frame(rows: Sequence[CellFigures], selections: Sequence[str]) -> pd.DataFrame:
    oracle = {(row.method, row.protocol, row.level): row.mean for row in rows if row.selection == "oracle"}
    records = [_record(row, oracle[row.method, row.protocol, row.level]) for row in rows if row.selection in selections]
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    methods = {name: place for place, name in enumerate(dict.fromkeys(row.method for row in rows))}
    frame["_method"] = frame["method"].map(methods)
    return frame.sort_values("_method", kind="stable").drop(columns="_method").reset_index(drop=True)


def _record(row: CellFigures, oracle: tuple[float, ...]) -> dict[str, object]:
    rule = SELECTIONS[row.selection]
    mean = dict(zip(FIGURES, row.mean, strict=True))
    std = {f"{name}_std": value for name, value in zip(FIGURES, row.std, strict=True)}
    best = dict(zip(FIGURES, oracle, strict=True))
    return {
        "method": row.method,
        "protocol": row.protocol,
        "selection": row.selection,
        "threshold_rule": rule.threshold_rule,
        "oracle": rule.oracle,
        "level": row.level,
        "n_seeds": len({run.seed for run in row.runs}),
        "n_runs": row.n_runs,
        "n_failed": row.n_failed,
        **mean,
        **std,
        "optimism_gap": math.nan if rule.oracle else best["hter"] - mean["hter"],
        "optimism_gap_auc": math.nan if rule.oracle else best["auc"] - mean["auc"],
        "videos": row.videos,
        "frames": row.frames,
        "trials": [run.choice.trial for run in row.runs],
        "seeds": [run.seed for run in row.runs],
        "steps": [run.choice.step for run in row.runs],
        "thresholds": [run.choice.threshold(row.level) for run in row.runs],
    }
