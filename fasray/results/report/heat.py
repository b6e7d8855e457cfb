"""Honest errors by method and protocol, as the page's table of shades, and their gap to the oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fasray.results import plots
from fasray.results.means import is_mean, reports_acer
from fasray.results.plots import GapRow, HeatMap

Row = Mapping[str, Any]
"""A row of the result frame."""
RowsByCell = Mapping[tuple[str, str], Row]
"""By method and protocol."""


@dataclass(frozen=True)
class HeatCell:
    """One cell of the heat map, ready to print."""

    error: str
    spread: str
    auc: str
    ground: str
    letters: str
    best: bool
    """Lowest error of its protocol, ties included."""
    anchor: str
    """Of its section; empty if it has none."""


@dataclass(frozen=True)
class HeatRow:
    """One method of the heat map."""

    method: str
    cells: tuple[HeatCell, ...]
    mean: str
    """Over all protocols; ``-`` if one is missing."""


def headline(protocol: str) -> str:
    """Return the column that a protocol is reported by: ``acer`` for OULU-NPU's, ``hter`` for all others."""
    return "acer" if reports_acer(protocol) else "hter"


def figure_name(keys: Sequence[tuple[str, str]]) -> str:
    """Return what the errors of these (method, protocol) are called; a mixture is named as one."""
    names = {headline(protocol).upper() for _, protocol in keys} or {"HTER"}
    return names.pop() if len(names) == 1 else "HTER (ACER for OULU-NPU)"


def heat_table(honest: RowsByCell, figure: str) -> HeatMap:
    """Arrange headline errors by method and protocol."""
    methods = tuple(dict.fromkeys(method for method, _ in honest))
    names = tuple(dict.fromkeys(protocol for _, protocol in honest))
    error = np.full((len(methods), len(names)), np.nan)
    for (method, protocol), row in honest.items():
        error[methods.index(method), names.index(protocol)] = row[headline(protocol)]
    return HeatMap(methods, names, error, figure)


def heat_rows(table: HeatMap, honest: RowsByCell, anchors: Mapping[tuple[str, str], str]) -> tuple[HeatRow, ...]:
    """Return the table of shades, ready to print; ``anchors`` name the sections of the cells."""
    finite = table.error[np.isfinite(table.error)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    mean = means_over_protocols(table)
    rows = []
    for place, method in enumerate(table.methods):
        cells = []
        for column, protocol in enumerate(table.protocols):
            value = float(table.error[place, column])
            row = honest.get((method, protocol))
            ground, letters = plots.shade(value, low, high)
            others = table.error[:, column]
            best = bool(len(table.methods) > 1 and np.isfinite(value) and value <= np.nanmin(others))
            spread = math.nan if row is None else row[f"{headline(protocol)}_std"]
            cells.append(
                HeatCell(
                    error=short(value),
                    spread="" if math.isnan(spread) else f"± {100 * spread:.1f}",
                    auc="-" if row is None else short(row["auc"]),
                    ground=ground,
                    letters=letters,
                    best=best,
                    anchor=anchors.get((method, protocol), ""),
                )
            )
        rows.append(HeatRow(method, tuple(cells), short(float(mean[place]))))
    return tuple(rows)


def means_over_protocols(table: HeatMap) -> NDArray[np.float64]:
    """Return each method's mean error, [methods]; NaN where one is missing.

    Means over protocols or runs are columns of the table and do not count again.
    """
    own = [not is_mean(name) for name in table.protocols]
    return np.asarray(table.error[:, own].mean(axis=1)) if any(own) else np.full(len(table.methods), np.nan)


def gap_rows(honest: RowsByCell, oracle: RowsByCell) -> dict[tuple[str, str], GapRow]:
    """Return the cells that have both an honest and an oracle error; averages over a protocol's runs are no cells."""
    rows = {}
    for key, row in honest.items():
        name = headline(key[1])
        if key in oracle and not is_mean(key[1]) and math.isfinite(row[name]):
            rows[key] = GapRow(*key, row[name], row[f"{name}_std"], oracle[key][name])
    return rows


def gap_words(gaps: Sequence[GapRow], figure: str) -> str:
    """Say in words how much the oracle flatters; empty without cells."""
    if not gaps:
        return ""
    mean = float(np.mean([row.oracle - row.honest for row in gaps]))
    widest = min(gaps, key=lambda row: row.oracle - row.honest)
    if mean >= 0:
        return "On these runs the oracle's habit claims no lower error."
    return (
        f"Choosing step and threshold on the target would report {-100 * mean:.1f} points less {figure} on average over"
        f" {len(gaps)} {'cell' if len(gaps) == 1 else 'cells'}, and {100 * (widest.honest - widest.oracle):.1f} points"
        f" less for {widest.method} on {widest.protocol}. Nobody who deploys a model can choose that way."
    )


def short(value: float) -> str:
    """Return a fraction in percent with one decimal; ``-`` for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"
