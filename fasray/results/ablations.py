"""What each part of a method adds: the same runs with the part switched off, paired by seed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fasray.metrics.compare import PairedDifference, paired_difference
from fasray.results.bootstrap import Resamples
from fasray.results.confirmed import ConfirmedRun, confirmed_runs
from fasray.results.figures import FIGURES, FigureComputer
from fasray.results.scores import LEVELS, Level
from fasray.results.tables.text import NOTHING, Grid, percent
from fasray.runs.record import RunRecord

MEAN_OF_PROTOCOLS = "mean"
"""In place of a protocol: each seed's figures are first averaged over the protocols that all its runs ended on."""
CONFIDENCE = 0.95

ABLATION_COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "ablation": "what was switched off; its name in the sweep file",
    "protocol": f"name of the protocol; {MEAN_OF_PROTOCOLS}: each seed's mean over the protocols",
    "selection": "rule that picked step and threshold, in both of a pair",
    "level": "video (mean of its frames) or frame",
    "n_pairs": "seeds with which both ran to the end",
    "hter": "HTER of the whole method on the target, mean over the pairs, fraction",
    "hter_ablated": "HTER without the part",
    "hter_difference": "hter_ablated minus hter: above zero, the part helps",
    "hter_lower": f"lower end of the {100 * CONFIDENCE:g} % interval of the difference (Student's t over the pairs)",
    "hter_upper": "upper end",
    "hter_p": "two-sided p-value of no difference",
    "auc": "as hter",
    "auc_ablated": "as hter_ablated",
    "auc_difference": "auc_ablated minus auc: below zero, the part helps",
    "auc_lower": "as hter_lower",
    "auc_upper": "as hter_upper",
    "auc_p": "as hter_p",
    "note": "why there is no interval",
}
"""Columns of the ablation frame."""

_Pair = dict[str, float]
_Runs = dict[tuple[str, int], _Pair]
"""hter and auc by (protocol, seed)."""


def ablation_frame(run: RunRecord, selection: str = "source-dev") -> pd.DataFrame:
    """Return one row for each ablation, protocol and level of a run, and their means; see ``ABLATION_COLUMNS``.

    The difference is taken run by run: both of a pair share seed, batches and faces. Its interval speaks of other
    seeds on the same data. Pairs of which one failed, diverged or has not ended are left out.

    Raises:
        DataError: a score file is missing or damaged.
        SpecError: there is no such selection.
    """
    figures = _figures_by_run(run, selection)
    rows = []
    for (method, variant, level), runs in figures.items():
        whole = figures.get((method, "", level), {})
        if variant and (pairs := sorted(set(runs) & set(whole))):
            protocols = dict.fromkeys(protocol for protocol, _ in whole)
            rows += [
                _row(method, variant, protocol, selection, level, *_figures(whole, runs, protocol, pairs))
                for protocol in protocols
                if any(found == protocol for found, _ in pairs)
            ]
            if len(protocols) > 1:
                rows.append(
                    _row(method, variant, MEAN_OF_PROTOCOLS, selection, level, *_means(whole, runs, protocols, pairs))
                )
    return pd.DataFrame([row for row in rows if row["n_pairs"]], columns=list(ABLATION_COLUMNS))


def ablation_grid(frame: pd.DataFrame, level: Level = "video") -> Grid:
    """Arrange one level of an ablation frame for people, in percent."""
    chosen = frame[frame["level"] == level]
    figures = ("difference", "95 % interval")
    headers = (
        "method",
        "without",
        "protocol",
        "seeds",
        "HTER",
        "HTER without",
        *figures,
        "AUC",
        "AUC without",
        *figures,
    )
    rows = tuple(
        (
            row["method"], row["ablation"].removeprefix("no "), row["protocol"], str(row["n_pairs"]),
            *(cell for figure in ("hter", "auc") for cell in _cells(row, figure)),
        )
        for row in chosen.to_dict("records")
    )  # fmt: skip
    notes = (
        "Percent, on the unseen target, step and threshold by " + " ".join(sorted(set(chosen["selection"]))) + ".",
        "difference: without the part minus with it, seed by seed. A part helps where HTER rises or AUC falls without"
        " it.",
        "Intervals are Student's t over the seeds; * excludes zero. They say nothing of other data.",
        f"{MEAN_OF_PROTOCOLS}: each seed's mean over the protocols.",
    )
    return Grid(headers, rows, notes, text_columns=3)


def _cells(row: Mapping[str, Any], figure: str) -> tuple[str, str, str, str]:
    lower, upper = row[f"{figure}_lower"], row[f"{figure}_upper"]
    interval = NOTHING if math.isnan(lower) else f"{100 * lower:+.2f} to {100 * upper:+.2f}"
    star = "*" if lower > 0 or upper < 0 else ""
    difference = f"{100 * row[f'{figure}_difference']:+.2f}{star}"
    return percent(row[figure]), percent(row[f"{figure}_ablated"]), difference, interval


def _figures_by_run(run: RunRecord, selection: str) -> dict[tuple[str, str, Level], _Runs]:
    """Return the figures of every confirmed run of a method that has ablations."""
    ablated = {trial.method for trial in run.trials if trial.variant}
    found: dict[tuple[str, str, Level], _Runs] = defaultdict(dict)
    trials = [trial for trial in run.confirmed if trial.method in ablated and trial.steps]
    for each in confirmed_runs(run, selection, trials):
        trial = each.trial
        for level, figures in _figures_of_run(each).items():
            found[trial.method, trial.variant, level][trial.protocol, trial.seed] = figures
    return found


def _figures_of_run(run: ConfirmedRun) -> dict[Level, _Pair]:
    computed = FigureComputer(Resamples(0)).compute(run.evaluations, run.choice, run.trial.seed)
    named = {level: dict(zip(FIGURES, computed[level].values, strict=True)) for level in LEVELS}
    return {level: {"hter": values["hter"], "auc": values["auc"]} for level, values in named.items()}


def _figures(whole: _Runs, ablated: _Runs, protocol: str, pairs: list[tuple[str, int]]) -> tuple[list[_Pair], ...]:
    """Return the figures of one protocol, seed by seed, of both of each pair."""
    keys = [key for key in pairs if key[0] == protocol]
    return [whole[key] for key in keys], [ablated[key] for key in keys]


def _means(
    whole: _Runs, ablated: _Runs, protocols: Mapping[str, None], pairs: list[tuple[str, int]]
) -> tuple[list[_Pair], ...]:
    """Return, for each seed with a pair on every protocol, the means over the protocols of both."""
    seeds = [seed for seed in sorted({seed for _, seed in pairs}) if all((name, seed) in pairs for name in protocols)]
    sides: tuple[list[_Pair], list[_Pair]] = ([], [])
    for runs, side in zip((whole, ablated), sides, strict=True):
        for seed in seeds:
            of_seed = [runs[name, seed] for name in protocols]
            side.append({key: float(np.mean([figures[key] for figures in of_seed])) for key in ("hter", "auc")})
    return sides


def _row(
    method: str, ablation: str, protocol: str, selection: str, level: Level, whole: list[_Pair], ablated: list[_Pair]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": method, "ablation": ablation, "protocol": protocol, "selection": selection, "level": level,
        "n_pairs": len(whole), "note": "",
    }  # fmt: skip
    for name in ("hter", "auc") if whole else ():
        with_part, without = ([figures[name] for figures in side] for side in (whole, ablated))
        found: PairedDifference = paired_difference(without, with_part, CONFIDENCE)
        row |= {
            name: float(np.mean(with_part)), f"{name}_ablated": float(np.mean(without)),
            f"{name}_difference": found.mean, f"{name}_p": found.p, "note": found.note,
            f"{name}_lower": max(found.lower, -1.0), f"{name}_upper": min(found.upper, 1.0),  # as far as rates differ
        }  # fmt: skip
    return row
