"""What the search saw: learning curves with ASHA's cuts, response to each searched field, interaction of two fields.

All of it is source-dev; only the confirming runs' learning curves show the target, which decided nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from fasray.results.plots import style
from fasray.results.plots.style import Plot, plain

MOST_INTERACTIONS = 3
_FEW_VALUES = 6
_LOG_RATIO = 12.0
_BINS = 5
_MOST_LABELS = 8
_LETTERS = 34
"""That fit below the axes next to each other."""
_LEVEL_MARGIN, _TURNED_MARGIN = 0.46, 0.82


@dataclass(frozen=True)
class Curve:
    """One run: AUC by step, video level."""

    steps: tuple[int, ...]
    source_dev: tuple[float, ...]
    target: tuple[float, ...] = ()
    """Empty for search runs, whose target scores are not used."""
    chosen: int = -1
    """The step that source-dev picked; -1 for search runs."""
    cut: bool = False
    """ASHA stopped it."""


@dataclass(frozen=True)
class Sample:
    """One search trial: what was tried and how it did."""

    values: tuple[Any, ...]
    """In the order of the searched fields."""
    auc: float
    """Best source-dev AUC, a fraction."""
    cut: bool
    won: bool


def learning_curves(name: str, cell: str, confirmed: Sequence[Curve], searched: Sequence[Curve]) -> Plot:
    """Draw AUC by step of one cell: search runs in grey, cut ones ending in a cross; confirming runs above them."""
    cut = sum(curve.cut for curve in searched)
    alt = f"AUC by step of {cell}: {len(searched)} search runs on source-dev, {cut} of them cut by ASHA."
    for curve in confirmed:
        at = curve.steps.index(curve.chosen)
        alt += (
            f" A confirming run chose step {curve.chosen}: source-dev {100 * curve.source_dev[at]:.1f} %,"
            f" target {100 * curve.target[at]:.1f} %."
        )
    return Plot(name, "Learning curves", alt, partial(_draw_learning, tuple(confirmed), tuple(searched)))


def responses(stem: str, cell: str, fields: Sequence[str], samples: Sequence[Sample]) -> list[Plot]:
    """Draw source-dev AUC against each searched field that took at least two values."""
    return [
        Plot(
            f"{stem}-response-{number}",
            f"Response to {field}",
            f"Source-dev AUC of {len(samples)} search trials of {cell} against {field}. {_extremes(number, samples)}",
            partial(_draw_response, field, number, tuple(samples)),
        )
        for number, field in enumerate(fields)
        if _distinct(samples, number) >= 2  # one value is no curve
    ]


def interactions(stem: str, cell: str, fields: Sequence[str], samples: Sequence[Sample]) -> list[Plot]:
    """Draw source-dev AUC over pairs of fields, the first ``MOST_INTERACTIONS`` pairs that leave something to see."""
    varied = [number for number in range(len(fields)) if _distinct(samples, number) >= 2]
    pairs = [(one, other) for one in varied for other in varied if one < other]
    plots = []
    for one, other in pairs:
        if len({(_key(s.values[one]), _key(s.values[other])) for s in samples}) < 4:  # a square
            continue
        best = max(samples, key=lambda sample: sample.auc)
        plots.append(
            Plot(
                f"{stem}-interaction-{one}-{other}",
                f"{fields[one]} with {fields[other]}",
                f"Source-dev AUC of {len(samples)} search trials of {cell} over {fields[one]} and {fields[other]};"
                f" the best, {100 * best.auc:.1f} %, at {_text(best.values[one])} and {_text(best.values[other])}.",
                partial(_draw_interaction, (fields[one], fields[other]), (one, other), tuple(samples)),
            )
        )
    return plots[:MOST_INTERACTIONS]


def _draw_learning(confirmed: Sequence[Curve], searched: Sequence[Curve]) -> Figure:
    figure, axes = style.new_plot(2.6, top=0.5)
    lines = [list(zip(curve.steps, _percent(curve.source_dev), strict=True)) for curve in searched]
    axes.add_collection(LineCollection(lines, colors=style.SOFT, alpha=0.45, linewidths=0.8))
    _points(axes, [line[-1] for line, curve in zip(lines, searched, strict=True) if line and curve.cut], "x")
    _points(axes, [line[-1] for line, curve in zip(lines, searched, strict=True) if line and not curve.cut], ".")
    axes.plot([], [], color=style.SOFT, alpha=0.6, linewidth=0.8, label="search")
    axes.plot([], [], "x", color=style.SOFT, label="cut by ASHA")
    for number, curve in enumerate(confirmed):
        names = ("source-dev", "target", "chosen step") if number == 0 else (None, None, None)
        axes.plot(curve.steps, _percent(curve.source_dev), color=style.HONEST, label=names[0])
        axes.plot(
            curve.steps, _percent(curve.target), color=style.VERMILLION, linestyle=style.DASHES[1], label=names[1]
        )
        at = curve.steps.index(curve.chosen)
        axes.plot(
            curve.chosen,
            100 * curve.source_dev[at],
            "o",
            markersize=7,
            fillstyle="none",
            color=style.HONEST,
            label=names[2],
        )
    axes.autoscale_view()
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set(xlabel="optimizer steps", ylabel="AUC of videos, %")
    axes.set_ylim(top=101)
    style.legend_above(axes)
    return figure


def _draw_response(field: str, number: int, samples: Sequence[Sample]) -> Figure:
    place = _Scale(field, [sample.values[number] for sample in samples])
    figure, axes = style.new_plot(1.74 + place.margin, left=0.64, top=0.3, bottom=place.margin)
    place.dress(axes, "x")
    aucs = 100 * np.array([sample.auc for sample in samples])
    _scatter_samples(axes, place.at, aucs, samples)
    centres, means = place.means(aucs, np.array([not sample.cut for sample in samples], np.bool_))
    if len(centres) > 1:
        axes.plot(centres, means, color=style.ORANGE, linestyle=style.DASHES[1], label="its mean")
    axes.set_ylabel("source-dev AUC, %")
    style.legend_above(axes, 4)
    return figure


def _draw_interaction(fields: tuple[str, str], numbers: tuple[int, int], samples: Sequence[Sample]) -> Figure:
    across, up = (_Scale(field, [s.values[n] for s in samples]) for field, n in zip(fields, numbers, strict=True))
    figure, axes = style.new_plot(2.2 + across.margin, left=0.85, right=0.85, bottom=across.margin)
    across.dress(axes, "x")
    up.dress(axes, "y")
    aucs = 100 * np.array([sample.auc for sample in samples])
    norm = Normalize(float(aucs.min()), max(float(aucs.max()), float(aucs.min()) + 1e-9))
    if across.few and up.few:
        _squares(axes, across.at, up.at, aucs, norm)
    else:
        axes.scatter(
            across.at, up.at, c=aucs, cmap="cividis", norm=norm, s=22 + 40 * norm(aucs), edgecolors=style.PAPER,
            linewidths=0.5,
        )  # fmt: skip
    won = [number for number, sample in enumerate(samples) if sample.won]
    axes.plot(
        across.at[won], up.at[won], "s" if across.few and up.few else "o", markersize=13, fillstyle="none",
        color=style.VERMILLION, markeredgewidth=1.3,
    )  # fmt: skip
    low = across.margin / (2.2 + across.margin)
    bar = figure.add_axes((0.805, low, 0.028, 0.93 - low))
    figure.colorbar(ScalarMappable(norm, "cividis"), cax=bar, label="source-dev AUC, %; ring: winner")
    bar.tick_params(labelsize=7)
    return figure


def _squares(
    axes: Axes, across: NDArray[np.float64], up: NDArray[np.float64], aucs: NDArray[np.float64], norm: Normalize
) -> None:
    """Draw the mean of each combination of two short lists of values, with its number."""
    axes.grid(visible=False)
    for x, y in sorted(set(zip(across.tolist(), up.tolist(), strict=True))):
        mean = float(aucs[(across == x) & (up == y)].mean())
        red, green, blue, _ = mpl.colormaps["cividis"](norm(mean))
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5  # half way to white
        axes.add_patch(mpl.patches.Rectangle((x - 0.48, y - 0.48), 0.96, 0.96, facecolor=(red, green, blue)))
        colour = "#000000" if light else "#ffffff"
        axes.text(x, y, f"{mean:.1f}", ha="center", va="center", color=colour, fontsize=7)


class _Scale:
    """Where the values of a field lie on an axis: in order for few or wordy ones, else linear or logarithmic."""

    def __init__(self, field: str, values: Sequence[Any]) -> None:
        self.field = field
        keys = [_key(value) for value in values]
        numeric = all(isinstance(key, float) and math.isfinite(key) for key in keys)
        distinct = sorted(set(keys), key=lambda key: (isinstance(key, str), key))
        # Drawn values never repeat; those of a list do.
        self.few = not numeric or len(distinct) <= min(_FEW_VALUES, len(keys) - 1)
        if self.few:
            self.labels = [plain(_text(key), 10) for key in distinct]
            self.at = np.array([distinct.index(key) for key in keys], np.float64)
            self.log = False
        else:
            self.at = np.array(keys, np.float64)
            self.log = bool(self.at.min() > 0 and self.at.max() / self.at.min() >= _LOG_RATIO)

    @property
    def margin(self) -> float:
        """Inches below the axes that labels of an x axis need: those too wide to be level are turned."""
        return _TURNED_MARGIN if self.few and sum(map(len, self.labels)) > _LETTERS else _LEVEL_MARGIN

    def dress(self, axes: Axes, side: str) -> None:
        """Give one axis of ``axes`` its scale, ticks and label."""
        axis = axes.xaxis if side == "x" else axes.yaxis
        label, ticks, limit = getattr(axes, f"set_{side}label"), getattr(axes, f"set_{side}ticks"), f"set_{side}lim"
        label(plain(self.field))
        if self.few:
            turned = side == "x" and self.margin > _LEVEL_MARGIN
            every = -(-len(self.labels) // _MOST_LABELS)
            ticks(range(0, len(self.labels), every), self.labels[::every])
            if turned:
                axis.set_tick_params(labelrotation=25)
                for text in axis.get_ticklabels():
                    text.set_horizontalalignment("right")
            getattr(axes, limit)(-0.6, len(self.labels) - 0.4)
            return
        if self.log:
            getattr(axes, f"set_{side}scale")("log")
            wide = self.at.max() / self.at.min() > 1e3
            axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=8))
            axis.set_minor_locator(NullLocator())
        else:
            axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))

    def means(
        self, aucs: NDArray[np.float64], whole: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return centres and mean AUCs of trials with the ``whole`` budget; the others' AUCs are of fewer steps.

        The means are of each value if they are few, else of up to five equal groups in order of the field.
        """
        at, values = self.at[whole], aucs[whole]
        if self.few:
            centres = np.unique(at)
            return centres, np.array([values[at == centre].mean() for centre in centres])
        order = np.argsort(at, kind="stable")
        groups = np.array_split(order, min(_BINS, len(order) // 3)) if len(order) >= 2 * 3 else []
        return (
            np.array([np.median(at[group]) for group in groups]),
            np.array([values[group].mean() for group in groups]),
        )


def _scatter_samples(axes: Axes, at: NDArray[np.float64], aucs: NDArray[np.float64], samples: Sequence[Sample]) -> None:
    cut = np.array([sample.cut for sample in samples], np.bool_)
    won = np.array([sample.won for sample in samples], np.bool_)
    if (~cut).any():
        axes.plot(at[~cut], aucs[~cut], "o", color=style.BLUE, alpha=0.75, label="full budget")
    if cut.any():
        axes.plot(at[cut], aucs[cut], "x", color=style.SOFT, label="cut")
    if won.any():
        axes.plot(at[won], aucs[won], "o", markersize=9, fillstyle="none", color=style.VERMILLION, label="winner")


def _points(axes: Axes, points: Sequence[tuple[int, float]], marker: str) -> None:
    if points:
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, marker, color=style.SOFT, markersize=4)


def _percent(values: Sequence[float]) -> list[float]:
    return [100 * value for value in values]


def _distinct(samples: Sequence[Sample], number: int) -> int:
    return len({_key(sample.values[number]) for sample in samples})


def _key(value: Any) -> float | str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return float(value)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _extremes(number: int, samples: Sequence[Sample]) -> str:
    best, worst = max(samples, key=lambda s: s.auc), min(samples, key=lambda s: s.auc)
    return (
        f"Best {100 * best.auc:.1f} % at {_text(best.values[number])}, worst {100 * worst.auc:.1f} % at"
        f" {_text(worst.values[number])}."
    )
