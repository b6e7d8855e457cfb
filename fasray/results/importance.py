"""Which searched settings matter, and which pairs of them interact, from the search trials' logged results alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fasray import seeds
from fasray.results.sensitivity import (
    BEST,
    CONFIDENCE,
    SHUFFLES,
    effects,
    normal_scores,
    ped_anova,
    setting,
    within,
)
from fasray.results.tables.text import NOTHING, Grid
from fasray.runs.events import TrialRecord
from fasray.runs.record import RunRecord

FEWEST_TRIALS = 16
"""Search trials below which importance is not computed: strong settings, too, are then found by luck only."""
ALL_PROTOCOLS = "all"
"""In place of a protocol: the trials of all protocols of a method, ranked within each."""
SIGNIFICANT = 0.05

IMPORTANCE_COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "protocol": f"name of the protocol; {ALL_PROTOCOLS}: all of the method's, trials ranked within each",
    "setting": "searched setting",
    "with_setting": "the other one of a pair; empty for a setting by itself",
    "n_trials": "search trials that it rests on: finished, stopped (by their last AUC) and diverged (as the worst)",
    "n_stopped": "of these, stopped early",
    "importance": "share of the variance of the outcomes' ranks (as normal scores) that is explained: of a setting by "
    "a quadratic curve, or by the words; of a pair by their product, beyond what either explains",
    "null_upper": f"what a setting or pair of no effect stays below in {100 * CONFIDENCE:g} % of {SHUFFLES} shuffled "
    "outcomes",
    "p": "share of the shuffles with at least this importance",
    "p_adjusted": "the same for the one that stands out most, as several settings, or pairs, are looked at",
    "ped_anova": "of a setting, PED-ANOVA as Optuna computes it: how differently it is distributed among the best "
    f"{100 * BEST:g} % and among all trials; no unit",
    "note": "why there is no figure",
}
"""Columns of the importance frame."""


def importance_frame(run: RunRecord) -> pd.DataFrame:
    """Return a row for each searched setting and pair, by cell and over each method's cells; ``IMPORTANCE_COLUMNS``.

    The outcome is the best source-dev AUC of a finished trial, the last one of a stopped trial, and below all others
    for one that diverged. Only ranks within a cell count. The same run gives the same numbers.
    """
    searches: dict[str, dict[str, list[TrialRecord]]] = {}
    for trial in run.trials:
        if trial.stage == "search" and trial.searched and not math.isnan(_outcome(trial)):
            searches.setdefault(trial.method, {}).setdefault(trial.protocol, []).append(trial)
    rows = []
    for method, cells in searches.items():
        space = (run.spec["methods"].get(method) or {}).get("space", {})
        for protocol, trials in cells.items():
            rows += _rows(method, protocol, space, [trials])
        if len(cells) > 1:
            rows += _rows(method, ALL_PROTOCOLS, space, list(cells.values()))
    return pd.DataFrame(rows, columns=list(IMPORTANCE_COLUMNS))


def importance_grid(frame: pd.DataFrame) -> Grid:
    """Arrange an importance frame for people; a star marks what is more than chance gives."""
    headers = (
        "method",
        "protocol",
        "setting",
        "note",
        "trials",
        "importance",
        "by chance",
        "p",
        "p of several",
        "PED-ANOVA",
    )
    rows = tuple(
        (
            row["method"], row["protocol"], label(row), row["note"] or NOTHING, str(row["n_trials"]),
            _number(row["importance"]) + "*" * (row["p_adjusted"] <= SIGNIFICANT),
            *(_number(row[name]) for name in ("null_upper", "p", "p_adjusted", "ped_anova")),
        )
        for row in frame.to_dict("records")
    )  # fmt: skip
    notes = (
        f"From search trials on source-dev; the target has no part in it. {ALL_PROTOCOLS}: all protocols of the method,"
        " ranked within each.",
        "importance: share of the variance of ranks that a curve in the setting explains; of a pair (x), their product"
        " beyond the two curves.",
        f"PED-ANOVA: how differently a setting is distributed among the best {100 * BEST:g} % and among all trials.",
        f"by chance: {100 * CONFIDENCE:g} % of shuffled outcomes give no more; * p of several at most {SIGNIFICANT}.",
        f"Below {FEWEST_TRIALS} trials there is no figure. No star does not mean no effect.",
    )
    return Grid(headers, rows, notes, text_columns=4)


def label(row: Mapping[str, Any]) -> str:
    """Return what a row of an importance frame is about: a setting, or two with ``x`` between."""
    return f"{row['setting']} x {row['with_setting']}" if row["with_setting"] else str(row["setting"])


def _outcome(trial: TrialRecord) -> float:
    """Return what a search trial counts as, NaN for nothing."""
    if trial.status == "diverged":
        return -math.inf
    if not trial.readings or trial.status not in ("done", "stopped"):
        return math.nan
    best = trial.best
    return best.source_dev_auc if best and trial.status == "done" else trial.readings[-1].source_dev_auc


def _rows(
    method: str, protocol: str, space: Mapping[str, Any], cells: Sequence[Sequence[TrialRecord]]
) -> list[dict[str, Any]]:
    names = [name for name in cells[0][0].searched if name in space]
    inside = [[trial for trial in trials if _inside(trial, names, space)] for trials in cells]
    trials = [trial for own in inside for trial in own]
    stopped = sum(trial.status == "stopped" for trial in trials)
    head = {"method": method, "protocol": protocol, "n_trials": len(trials), "n_stopped": stopped}
    if len(trials) < FEWEST_TRIALS:
        note = f"too few trials: {len(trials)} of at least {FEWEST_TRIALS}"
        return [{**head, "setting": name, "with_setting": "", "note": note} for name in names]
    taken = {name: [trial.config[name] for trial in trials] for name in names}
    varied = [name for name, values in taken.items() if any(value != values[0] for value in values)]
    settings = [setting(name, space[name], taken[name]) for name in varied]
    groups = np.repeat(np.arange(len(inside)), [len(own) for own in inside])
    rank, score = normal_scores(np.array([_outcome(trial) for trial in trials]), groups)
    found = effects(settings, score, groups, seeds.stream(0, "importance", method, protocol))
    optunas = ped_anova(settings, rank) if settings else {}
    rows = []
    for name, other in dict.fromkeys([*((name, "") for name in names), *found]):
        row = {**head, "setting": name, "with_setting": other, "note": ""}
        if effect := found.get((name, other)):
            row |= {
                "importance": effect.value,
                **{key: getattr(effect, key) for key in ("null_upper", "p", "p_adjusted")},
            }
        else:
            row["note"] = "too many values for so few trials" if name in varied else "it had one value"
        if (name, other) in optunas:
            row["ped_anova"] = optunas[name, other]
        rows.append(row)
    return rows


def _inside(trial: TrialRecord, names: Sequence[str], space: Mapping[str, Any]) -> bool:
    return all(name in trial.config and within(space[name], trial.config[name]) for name in names)


def _number(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.3f}"
