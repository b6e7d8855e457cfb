"""ROC and DET curves with confidence bands, and where the honest threshold lies on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fasray.results.plots import style
from fasray.results.plots.style import Plot, plain

_DET_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)
_MOST_BANDS = 4
_SHORT, _LONGEST = 10, 17
"""Letters of a name that leave room for three in a row of the legend, and for two."""


@dataclass(frozen=True, eq=False)
class Band:
    """The mean curve of some runs over the same target, with its confidence band; fractions."""

    label: str
    far: NDArray[np.float64]
    """[G] attacks accepted, rising from 0 to 1."""
    frr: NDArray[np.float64]
    """[G] live faces rejected, mean over runs."""
    low: NDArray[np.float64]
    """[G] lower end of the band of ``frr``."""
    high: NDArray[np.float64]
    """[G] upper end."""
    honest: tuple[tuple[float, float], ...] = ()
    """(FAR, FRR) of each run at its honest threshold."""


def roc_plot(name: str, title: str, place: str, bands: Sequence[Band]) -> Plot:
    """Draw ROC curves: live accepted over attacks accepted."""
    figures = style.listed([f"{band.label}: {_rates_in_words(band, 'accepted')}" for band in bands])
    alt = f"ROC on {place} with 95 % bands. Live faces accepted at 1, 5 and 10 % of attacks accepted: {figures}."
    return Plot(name, title, alt, partial(_draw_roc, tuple(bands)))


def det_plot(
    name: str, title: str, place: str, bands: Sequence[Band], errors: tuple[str, str] = ("FAR", "FRR")
) -> Plot:
    """Draw DET curves: live rejected over attacks accepted, both axes in normal deviates; ``errors`` name the rates."""
    figures = style.listed([f"{band.label}: {_rates_in_words(band, 'rejected')}" for band in bands])
    banded = " with 95 % bands" if any((band.low < band.high).any() for band in bands) else ""
    alt = f"DET on {place}{banded}. Live faces rejected at 1, 5 and 10 % of attacks accepted: {figures}."
    return Plot(name, title, alt, partial(_draw_det, tuple(bands), errors))


def _draw_roc(bands: Sequence[Band]) -> Figure:
    figure, axes = _framed(bands)
    for number, band in enumerate(bands):
        colour, dash = style.line_look(number)
        if len(bands) <= _MOST_BANDS:
            axes.fill_between(
                100 * band.far, 100 - 100 * band.high, 100 - 100 * band.low, color=colour, alpha=0.16, linewidth=0
            )
        axes.plot(100 * band.far, 100 - 100 * band.frr, color=colour, linestyle=dash, label=plain(band.label, _LONGEST))
        for far, frr in band.honest:
            axes.plot(100 * far, 100 - 100 * frr, "o", color=colour, markersize=4, markeredgecolor=style.PAPER)
    axes.plot([0, 100], [0, 100], color=style.LINE, linewidth=0.9)
    axes.set(xlim=(-1, 101), ylim=(-1, 101), xlabel="attacks accepted (FAR), %", ylabel="live accepted, %")
    _legend(axes, bands)
    return figure


def _draw_det(bands: Sequence[Band], errors: tuple[str, str]) -> Figure:
    figure, axes = _framed(bands)
    ticks, labels = _deviates(np.array(_DET_TICKS)), [f"{100 * tick:g}" for tick in _DET_TICKS]
    limits = (ticks[0] - 0.1, ticks[-1] + 0.25)
    for number, band in enumerate(bands):
        colour, dash = style.line_look(number)
        inside = (band.far > 0) & (band.far < 1)
        far = _deviates(band.far[inside])
        if len(bands) <= _MOST_BANDS:
            axes.fill_between(
                far, _deviates(band.low[inside]), _deviates(band.high[inside]), color=colour, alpha=0.16, linewidth=0
            )
        axes.plot(far, _deviates(band.frr[inside]), color=colour, linestyle=dash, label=plain(band.label, _LONGEST))
        for point in band.honest:
            x, y = np.clip(_deviates(np.array(point)), *limits)  # no error at all has no deviate: at the edge
            axes.plot(x, y, "o", color=colour, markersize=4, markeredgecolor=style.PAPER, clip_on=False)
    axes.set(
        xlim=limits, ylim=limits, xlabel=f"attacks accepted ({errors[0]}), %", ylabel=f"live rejected ({errors[1]}), %"
    )
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    _legend(axes, bands)
    return figure


def _framed(bands: Sequence[Band]) -> tuple[Figure, Axes]:
    rows = -(-len(bands) // _columns(bands)) if len(bands) > 1 else 0
    return style.new_plot(2.75 + 0.16 * rows, top=0.12 + 0.16 * rows)


def _legend(axes: Axes, bands: Sequence[Band]) -> None:
    if len(bands) > 1:
        style.legend_above(axes, _columns(bands))


def _columns(bands: Sequence[Band]) -> int:
    """Return how many names are next to each other in a legend."""
    return 3 if all(len(band.label) <= _SHORT for band in bands) else 2


def _deviates(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    normal = NormalDist()
    return np.array([normal.inv_cdf(min(max(float(rate), 1e-3), 1 - 1e-3)) for rate in rates])


def _rates_in_words(band: Band, which: str) -> str:
    at = [float(np.interp(far, band.far, band.frr)) for far in (0.01, 0.05, 0.10)]
    return ", ".join(f"{100 * (1 - frr if which == 'accepted' else frr):.0f} %" for frr in at)
