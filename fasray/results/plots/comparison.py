"""Differences with their intervals, from a baseline or from a method with all its parts, and ranks with their bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.figure import Figure

from fasray.results.plots import style
from fasray.results.plots.style import Plot, plain


@dataclass(frozen=True)
class DifferenceRow:
    """One method against the baseline, or without a part against with it; fractions, NaN ends without an interval."""

    label: str
    difference: float
    lower: float
    upper: float
    sure: bool
    """Significant, as one of several where several are compared."""


def differences(rows: Sequence[DifferenceRow], figure: str, baseline: str, margin: float | None = None) -> Plot:
    """Draw differences of a figure with their intervals; a band is the margin of equivalence."""
    title = f"{figure} minus that of {plain(baseline)}"
    alt = f"Differences of {figure} from {baseline}: {_in_words(rows)}."
    return Plot("differences", title, alt, partial(_draw, tuple(rows), f"difference of {figure}, points", margin))


def what_parts_add(rows: Sequence[DifferenceRow], place: str) -> Plot:
    """Draw how much the error rises without each part, with its interval; parts right of zero help."""
    alt = f"Change of the target's HTER when a part is switched off, {place}: {_in_words(rows)}."
    draw = partial(_draw, tuple(rows), "change of HTER, points")
    return Plot("ablations", f"Change of HTER without the part, {place}", alt, draw)


def mean_ranks(methods: Sequence[str], ranks: Sequence[float], critical: float) -> Plot:
    """Draw mean ranks, best first, each with half the critical difference to both sides: what overlaps is not apart."""
    words = [f"{method} {rank:.2f}" for method, rank in zip(methods, ranks, strict=True)]
    alt = f"Mean ranks over protocols, 1 is best: {style.listed(words, 40)}. Critical difference {critical:.2f}."
    return Plot("ranks", "Mean rank over protocols", alt, partial(_draw_ranks, tuple(methods), tuple(ranks), critical))


def _in_words(rows: Sequence[DifferenceRow]) -> str:
    words = [
        f"{row.label} {100 * row.difference:+.1f} points"
        + ("" if np.isnan(row.lower) else f" ({100 * row.lower:+.1f} to {100 * row.upper:+.1f})")
        for row in rows
    ]
    return style.listed(words, 40)


def _draw(rows: Sequence[DifferenceRow], axis: str, margin: float | None = None) -> Figure:
    figure, axes = style.new_plot(0.65 + 0.23 * len(rows), left=2.05, right=0.15)
    places = np.arange(len(rows))
    middle = 100 * np.array([row.difference for row in rows])
    ends = 100 * np.array([[row.lower, row.upper] for row in rows])
    reach = np.nan_to_num(np.abs(ends - middle[:, None]).T)
    sure = np.array([row.sure for row in rows])
    if margin is not None:
        axes.axvspan(-100 * margin, 100 * margin, color=style.LINE, alpha=0.5, linewidth=0)
    axes.axvline(0, color=style.SOFT, linewidth=1)
    for chosen, fill in ((sure, style.HONEST), (~sure, "none")):
        axes.errorbar(
            middle[chosen], places[chosen], xerr=reach[:, chosen], fmt="o", color=style.HONEST, elinewidth=0.9,
            capsize=2, markersize=5, markerfacecolor=fill,
        )  # fmt: skip
    axes.set_yticks(places, [plain(row.label, 35) for row in rows], fontsize=7)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=axis)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def _draw_ranks(methods: Sequence[str], ranks: Sequence[float], critical: float) -> Figure:
    figure, axes = style.new_plot(0.65 + 0.23 * len(methods), left=1.45, right=0.15)
    places = np.arange(len(methods))
    axes.errorbar(
        ranks, places, xerr=critical / 2, fmt="o", color=style.HONEST, elinewidth=0.9, capsize=2, markersize=5
    )
    axes.set_yticks(places, [plain(name, 24) for name in methods], fontsize=7)
    axes.set(ylim=(len(methods) - 0.4, -0.6), xlabel="mean rank, 1 is best")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure
