"""Plots of a run: each is words and a way to draw it, as SVG or PNG; the same numbers give the same bytes."""

from fasray.results.plots.comparison import DifferenceRow, what_parts_add
from fasray.results.plots.curves import Band, det_plot, roc_plot
from fasray.results.plots.overview import (
    EffectRow,
    GapRow,
    HeatMap,
    heat_map,
    honest_and_oracle,
    importances,
    shade,
)
from fasray.results.plots.scores import DomainScores, score_histograms
from fasray.results.plots.search import Curve, Sample, interactions, learning_curves, responses
from fasray.results.plots.style import Plot, PlotFormat, encode, file_stem, listed, to_page_svg, to_png, to_svg

__all__ = [
    "Band",
    "Curve",
    "DifferenceRow",
    "DomainScores",
    "EffectRow",
    "GapRow",
    "HeatMap",
    "Plot",
    "PlotFormat",
    "Sample",
    "det_plot",
    "encode",
    "file_stem",
    "heat_map",
    "honest_and_oracle",
    "importances",
    "interactions",
    "learning_curves",
    "listed",
    "responses",
    "roc_plot",
    "score_histograms",
    "shade",
    "to_page_svg",
    "to_png",
    "to_svg",
    "what_parts_add",
]
