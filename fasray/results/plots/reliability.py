"""Are probabilities what they say: reliability diagrams, before and after a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from matplotlib.figure import Figure

from fasray.metrics.calibration import Reliability
from fasray.results.plots import style
from fasray.results.plots.style import Plot, plain


def reliability_plot(name: str, title: str, place: str, curves: Sequence[tuple[str, Reliability]]) -> Plot:
    """Draw the share of live videos over the probability that was predicted; dots are as large as bins are full."""
    words = style.listed([f"{label}: expected calibration error {100 * curve.ece:.1f} %" for label, curve in curves])
    alt = f"Reliability diagram on {place}; on the diagonal probabilities are what they say. {words}."
    return Plot(name, title, alt, partial(_draw, tuple(curves)))


def _draw(curves: Sequence[tuple[str, Reliability]]) -> Figure:
    figure, axes = style.new_plot(2.9, top=0.3)
    axes.plot([0, 100], [0, 100], color=style.SOFT, linewidth=0.9)
    for number, (label, curve) in enumerate(curves):
        colour, dash = style.line_look(number)
        axes.plot(100 * curve.predicted, 100 * curve.observed, color=colour, linestyle=dash, label=plain(label, 17))
        axes.scatter(
            100 * curve.predicted,
            100 * curve.observed,
            s=4 + 60 * curve.rows / curve.rows.sum(),
            color=colour,
            zorder=3,
        )
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel="predicted probability of live, %", ylabel="live, %")
    style.legend_above(axes, 2)
    return figure
