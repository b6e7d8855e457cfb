"""The whole run in two plots: headline error by method and protocol, and what choosing on the target would claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fasray.results.plots import style
from fasray.results.plots.style import Plot, plain

SHADES = "cividis_r"
"""Dark is a high error; even in lightness, so it survives grey print and colour blindness."""


@dataclass(frozen=True)
class HeatMap:
    """Errors by method (rows) and protocol (columns)."""

    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    error: NDArray[np.float64]
    """[methods, protocols] fractions, NaN where there is none."""
    figure: str
    """What it is: HTER or ACER."""


@dataclass(frozen=True)
class GapRow:
    """One cell's error under the honest rule and under the oracle, fractions; deviations are NaN for one seed."""

    method: str
    protocol: str
    honest: float
    honest_std: float
    oracle: float


@dataclass(frozen=True)
class EffectRow:
    """How much a searched setting, or a pair of them, seems to matter."""

    label: str
    times_chance: float
    """Its importance in units of what 95 % of shuffled outcomes stay below."""
    significant: bool
    """Also as one of several that were looked at."""


def shade(value: float, low: float, high: float) -> tuple[str, str]:
    """Return background and text colour of a heat map's cell as ``#rrggbb``; NaN is grey.

    The text is black or white, whichever contrasts more (WCAG).
    """
    if np.isnan(value):
        return "#d5d9e0", "#1f2937"
    # The ends of the map are left out: nearly black and glaring yellow say nothing more.
    place = 0.06 + 0.88 * (value - low) / max(high - low, 1e-9)
    red, green, blue, _ = mpl.colormaps[SHADES](place)
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    white, black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return mpl.colors.to_hex((red, green, blue)), "#ffffff" if white >= black else "#000000"


def heat_map(table: HeatMap) -> Plot:
    """Draw honest errors in percent, methods down and protocols across; grey where there is no number."""
    figures = [
        f"{method} on {protocol} {100 * table.error[row, column]:.1f} %"
        for row, method in enumerate(table.methods)
        for column, protocol in enumerate(table.protocols)
        if np.isfinite(table.error[row, column])
    ]
    alt = f"Heat map of the honest {table.figure} on the target: {style.listed(figures, 40)}."
    return Plot("heat-map", f"Honest {table.figure} by method and protocol", alt, partial(_draw_heat, table))


def honest_and_oracle(rows: Sequence[GapRow], figure: str = "HTER") -> Plot:
    """Draw each cell's honest error and what the oracle would report, joined by a line."""
    figures = [
        f"{row.method} on {row.protocol} {100 * row.honest:.1f} % against {100 * row.oracle:.1f} %" for row in rows
    ]
    alt = f"Dots of the target's {figure}, honest against oracle: {style.listed(figures, 40)}."
    title = "What choosing on the target would claim"
    return Plot("honest-against-oracle", title, alt, partial(_draw_gaps, tuple(rows), figure))


def importances(method: str, place: str, rows: Sequence[EffectRow]) -> Plot:
    """Draw how much each setting of a method seems to matter, in units of what chance gives."""
    figures = [f"{row.label} {row.times_chance:.1f}{' (significant)' if row.significant else ''}" for row in rows]
    title = f"Importance of the settings of {plain(method)}" + ("" if place == "all" else f" on {plain(place)}")
    alt = f"{title}, in units of what 95 % of shuffled outcomes stay below: {style.listed(figures, 40)}."
    return Plot(style.file_stem("importance", method), title, alt, partial(_draw_effects, tuple(rows)))


def _draw_effects(rows: Sequence[EffectRow]) -> Figure:
    figure, axes = style.new_plot(0.65 + 0.23 * len(rows), left=2.05, right=0.15)
    places = np.arange(len(rows))
    values = np.array([row.times_chance for row in rows])
    sure = np.array([row.significant for row in rows])
    axes.axvline(1, color=style.SOFT, linewidth=1)
    axes.hlines(places, 0, values, color=style.LINE, linewidth=1.2)
    for chosen, fill in ((sure, style.HONEST), (~sure, "none")):
        axes.plot(values[chosen], places[chosen], "o", color=style.HONEST, markersize=5, markerfacecolor=fill)
    axes.set_yticks(places, [plain(row.label, 35) for row in rows], fontsize=7)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel="times chance (95 %)")
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def _draw_heat(table: HeatMap) -> Figure:
    rows, columns = table.error.shape
    width, height, left, bottom, top = 0.72 * columns, 0.34 * rows, 1.15, 0.75, 0.1
    size = (max(left + width + 0.1, 2.8), height + bottom + top)
    figure = Figure(figsize=size)
    axes = figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
    finite = table.error[np.isfinite(table.error)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    for (row, column), value in np.ndenumerate(table.error):
        ground, letters = shade(float(value), low, high)
        axes.add_patch(mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=ground, edgecolor=style.PAPER))
        text = "-" if np.isnan(value) else f"{100 * value:.1f}"
        axes.text(column, row, text, ha="center", va="center", color=letters)
    axes.set_xticks(range(columns), [plain(name, 14) for name in table.protocols], rotation=30, ha="right")
    axes.set_yticks(range(rows), [plain(name, 16) for name in table.methods])
    axes.set_xlabel(f"{plain(table.figure, 12)} on the target, %")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _draw_gaps(rows: Sequence[GapRow], figure_name: str) -> Figure:
    figure, axes = style.new_plot(0.85 + 0.21 * len(rows), left=1.68, top=0.3, right=0.15)
    places = np.arange(len(rows))
    honest = 100 * np.array([row.honest for row in rows])
    oracle = 100 * np.array([row.oracle for row in rows])
    spread = 100 * np.nan_to_num([row.honest_std for row in rows])
    axes.hlines(places, np.fmin(honest, oracle), np.fmax(honest, oracle), color=style.SOFT, linewidth=1.2)
    axes.errorbar(
        honest,
        places,
        xerr=spread,
        fmt="o",
        color=style.HONEST,
        elinewidth=0.8,
        capsize=2,
        markersize=5,
        label="honest, ± std",
    )
    axes.errorbar(
        oracle, places, fmt="D", markerfacecolor="none", markeredgewidth=1.3, color=style.ORACLE, label="oracle\u2020"
    )
    axes.set_yticks(places, [f"{plain(row.method, 15)}  {plain(row.protocol, 11)}" for row in rows], fontsize=7)
    axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"{figure_name} on the target, %")
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for before, row in enumerate(rows[1:]):
        if row.method != rows[before].method:
            axes.axhline(before + 0.5, color=style.LINE, linewidth=0.8)
    style.legend_above(axes, 2)
    return figure
