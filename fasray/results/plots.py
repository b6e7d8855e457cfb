"""Pictures of a run as SVG text: heat map, honest against oracle, learning curves, score histograms.

Colours stay apart for colour-blind readers and every picture is readable in print. No display is needed; the same
numbers give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fasray.metrics import Videos
from fasray.results.evaluations import Trial
from fasray.results.select import Choice, TrialDigests

LIVE_COLOUR, ATTACK_COLOUR = "#0072B2", "#D55E00"
HONEST_COLOUR, ORACLE_COLOUR = "#0072B2", "#E69F00"
MUTED = "#6b7280"


@dataclass(frozen=True)
class ScorePanel:
    """Target videos of one confirmed run at its honest step."""

    seed: int
    videos: Videos
    threshold: float


def heat_map(frame: pd.DataFrame, selection: str = "source-dev", figure: str = "hter") -> str:
    """Draw video-level ``figure`` in percent, methods down and protocols across; grey where there is no number."""
    chosen = frame[(frame["level"] == "video") & (frame["selection"] == selection)]
    methods, protocols = list(dict.fromkeys(chosen["method"])), list(dict.fromkeys(chosen["protocol"]))
    table = np.full((len(methods), len(protocols)), np.nan)
    for method, protocol, value in zip(chosen["method"], chosen["protocol"], chosen[figure], strict=True):
        table[methods.index(method), protocols.index(protocol)] = 100 * value
    with _style():
        drawing, axes = _figure(2.2 + 1.15 * len(protocols), 1.2 + 0.5 * len(methods))
        _draw_heat(axes, table, methods, protocols, figure)
        return _svg(drawing)


def honest_and_oracle(frame: pd.DataFrame) -> str:
    """Draw HTER per cell under ``source-dev`` and under ``oracle``, with standard deviations."""
    chosen = frame[frame["level"] == "video"]
    cells = list(dict.fromkeys(zip(chosen["method"], chosen["protocol"], strict=True)))
    with _style():
        drawing, axes = _figure(6.4, 1.2 + 0.42 * len(cells))
        for offset, selection, colour, label in (
            (-0.19, "source-dev", HONEST_COLOUR, "honest (source-dev)"),
            (0.19, "oracle", ORACLE_COLOUR, "oracle (reads target labels)"),
        ):
            rows = chosen[chosen["selection"] == selection]
            places = [cells.index(cell) + offset for cell in zip(rows["method"], rows["protocol"], strict=True)]
            spread = np.nan_to_num(100 * rows["hter_std"].to_numpy(np.float64))
            axes.barh(
                places, 100 * rows["hter"], 0.36, xerr=spread, color=colour, label=label,
                hatch="//" if selection == "oracle" else None, edgecolor="white", error_kw={"elinewidth": 1},
            )  # fmt: skip
        axes.set_yticks(range(len(cells)), [_plain(f"{method}  {protocol}") for method, protocol in cells])
        axes.invert_yaxis()
        axes.set_xlabel("HTER on the target, %")
        axes.set_xlim(left=0)
        _legend_above(axes)
        return _svg(drawing)


def learning_curves(confirmed: Sequence[tuple[Trial, TrialDigests, Choice]], searched: Sequence[Trial] = ()) -> str:
    """Draw one cell: video-level AUC by step on source-dev and target, the chosen step ringed; search runs in grey."""
    with _style():
        drawing, axes = _figure(6.4, 3.0)
        for number, trial in enumerate(searched):
            steps = [reading.step for reading in trial.readings]
            values = [reading.source_dev_auc for reading in trial.readings]
            label = "source-dev, search runs" if number == 0 else None
            axes.plot(steps, values, color=MUTED, alpha=0.5, linewidth=0.9, marker=".", markersize=3, label=label)
            if trial.status == "stopped" and steps:
                axes.plot(steps[-1:], values[-1:], "x", color=MUTED, markersize=5)
        for number, (_, digests, choice) in enumerate(confirmed):
            steps = [digest.step for digest in digests.source]
            source, target = [d.auc for d in digests.source], [d.auc for d in digests.target]
            first = number == 0
            axes.plot(steps, source, color=HONEST_COLOUR, marker=".", label="source-dev" if first else None)
            axes.plot(steps, target, color=ATTACK_COLOUR, linestyle="--", marker=".", label="target" if first else None)
            at = steps.index(choice.step)
            axes.plot(
                [choice.step], [source[at]], "o", markersize=9, fillstyle="none", color=HONEST_COLOUR,
                label="chosen step" if first else None,
            )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.set_xlabel("optimizer steps")
        axes.set_ylabel("AUC, video level")
        axes.set_ylim(top=1.01)
        _legend_above(axes)
        return _svg(drawing)


def score_histograms(panels: Sequence[ScorePanel]) -> str:
    """Draw the target's video scores, live against attack, one panel a seed, with the honest threshold."""
    with _style():
        drawing = Figure(figsize=(min(6.4, 3.2 * len(panels)), 2.2 * -(-len(panels) // 2)), layout="constrained")
        grid = drawing.subplots(-(-len(panels) // 2), min(2, len(panels)), squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for number, (axes, panel) in enumerate(zip(grid.flat, panels, strict=False)):
            _draw_histogram(axes, panel)
            if number == 0:
                drawing.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3, frameon=False)
        return _svg(drawing)


def _draw_heat(
    axes: Axes, table: NDArray[np.float64], methods: Sequence[str], protocols: Sequence[str], figure: str
) -> None:
    shade = mpl.colormaps["cividis_r" if figure != "auc" else "cividis"].with_extremes(bad="#d1d5db")
    finite = table[np.isfinite(table)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    high = max(high, low + 1e-9)
    image = axes.imshow(np.ma.masked_invalid(table), cmap=shade, vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(len(protocols)), [_plain(name) for name in protocols], rotation=20, ha="right")
    axes.set_yticks(range(len(methods)), [_plain(name) for name in methods])
    for (row, column), value in np.ndenumerate(table):
        text = "-" if np.isnan(value) else f"{value:.1f}"
        red, green, blue, _ = shade((value - low) / (high - low)) if np.isfinite(value) else (0.8, 0.8, 0.8, 1.0)
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, label=f"{figure.upper()}, %")


def _draw_histogram(axes: Axes, panel: ScorePanel) -> None:
    score = panel.videos.score
    bins = np.linspace(score.min(), max(score.max(), score.min() + 1e-9), 25).tolist()
    for label, colour, name in ((1, LIVE_COLOUR, "live"), (0, ATTACK_COLOUR, "attack")):
        axes.hist(score[panel.videos.label == label], bins, color=colour, alpha=0.55, label=name)
    axes.axvline(panel.threshold, color="black", linestyle=":", label="threshold")
    axes.set_title(f"seed {panel.seed}", fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("score")
    axes.set_ylabel("videos")


def _style() -> AbstractContextManager[None]:
    return mpl.rc_context(
        {"svg.hashsalt": "fasray", "font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False}
    )


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots()


def _legend_above(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0))


def _plain(text: str) -> str:
    """Keep matplotlib from reading a name as mathematics."""
    return text.replace("$", r"\$")


def _svg(drawing: Figure) -> str:
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
