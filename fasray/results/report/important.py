"""Which searched settings matter, as far as the search trials can tell."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from fasray.results import plots
from fasray.results.importance import (
    ALL_PROTOCOLS,
    FEWEST_TRIALS,
    SIGNIFICANT,
    importance_frame,
    importance_grid,
    label,
)
from fasray.results.plots import EffectRow, Plot
from fasray.results.tables.text import Grid
from fasray.runs.record import RunRecord

MOST_PAIRS = 5


@dataclass(frozen=True)
class Importance:
    """Importance of each method's settings and pairs of settings."""

    plots: tuple[Plot, ...]
    """One a method: over its protocols where there are several."""
    table: Grid
    few: str
    """Which cells have too few trials; empty if none."""


def importance(run: RunRecord) -> Importance | None:
    """Return which settings matter; None if nothing was searched."""
    frame = importance_frame(run)
    if frame.empty:
        return None
    known = frame[frame["importance"].notna()]
    drawn = [
        plots.importances(method, place, _drawn(rows[rows["protocol"] == place]))
        for method, rows in known.groupby("method", sort=False)
        for place in [ALL_PROTOCOLS if ALL_PROTOCOLS in set(rows["protocol"]) else rows["protocol"].iloc[0]]
    ]
    short = frame[frame["n_trials"] < FEWEST_TRIALS].drop_duplicates(["method", "protocol"])
    listed = [f"{row['method']} on {row['protocol']} ({row['n_trials']})" for row in short.to_dict("records")]
    few = f"Too few search trials, of at least {FEWEST_TRIALS}: {plots.listed(listed)}." if listed else ""
    return Importance(tuple(drawn), importance_grid(known), few)


def _drawn(rows: pd.DataFrame) -> list[EffectRow]:
    """Return all settings and the pairs that stand out most."""
    effects = [
        EffectRow(label(row), row["importance"] / max(row["null_upper"], 1e-9), row["p_adjusted"] <= SIGNIFICANT)
        for row in rows.to_dict("records")
    ]
    alone = rows["with_setting"].eq("").sum()
    pairs = sorted(effects[alone:], key=lambda effect: -effect.times_chance)
    return [*effects[:alone], *pairs[:MOST_PAIRS]]
