"""Histograms of a run's scores, one panel a domain, live against every attack type, with the honest threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fasray.metrics import Videos
from fasray.results.plots import style
from fasray.results.plots.style import Plot, plain

_BINS = 28
_HATCHES = ("////", "....", "\\\\\\\\", "xxxx", "++++")


@dataclass(frozen=True)
class DomainScores:
    """Videos of one domain."""

    domain: str
    role: str
    """``source-dev`` or ``target, unseen``."""
    videos: Videos


def score_histograms(name: str, cell: str, seed: int, panels: Sequence[DomainScores], threshold: float) -> Plot:
    """Draw the shares of live and of each attack type by score; the threshold is the one from source-dev."""
    accepted = style.listed(
        [f"{panel.domain} ({panel.role}): {_accepted(panel.videos, threshold)}" for panel in panels]
    )
    return Plot(
        name,
        f"Scores by domain and attack type, seed {seed}",
        f"Histograms of the video scores of {cell}, seed {seed}, one panel a domain, live above and attacks below."
        f" Accepted at the honest threshold {threshold:.3g}: {accepted}.",
        partial(_draw, tuple(panels), threshold),
    )


def _draw(panels: Sequence[DomainScores], threshold: float) -> Figure:
    every = np.concatenate([panel.videos.score for panel in panels])
    bins = np.linspace(every.min(), max(float(every.max()), float(every.min()) + 1e-9), _BINS + 1)
    kinds = sorted({str(k) for panel in panels for k in np.unique(panel.videos.attack_type[panel.videos.label == 0])})
    rows = -(-(2 + len(kinds)) // 3)
    top, each, bottom = 0.12 + 0.16 * rows, 0.86, 0.42
    height = top + each * len(panels) + bottom
    figure = Figure(figsize=(style.WIDTH, height))
    for number, panel in enumerate(panels):
        low = (bottom + each * (len(panels) - 1 - number)) / height
        axes = figure.add_axes((0.07, low, 0.9, (each - 0.26) / height))
        _draw_panel(axes, panel, kinds, bins, threshold)
        last = number == len(panels) - 1
        axes.tick_params(axis="x", length=0)
        axes.xaxis.set_visible(last)
        if last:
            axes.set_xlabel("score: attack-like left, live-like right")
        if number == 0:
            figure.legend(
                *_row_order(axes, 3), ncols=3, loc="upper left", bbox_to_anchor=(0.05, 1.0), borderaxespad=0.1,
                handlelength=1.6, columnspacing=1.2, handletextpad=0.5,
            )  # fmt: skip
    return figure


def _row_order(axes: Axes, columns: int) -> tuple[list[Any], list[str]]:
    """Return the legend's entries so that they read along rows; matplotlib fills columns first."""
    entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
    entries.sort(key=lambda entry: (entry[1] == "threshold", entry[1] != "live"))
    rows = -(-len(entries) // columns)
    order = [
        entries[row * columns + column]
        for column in range(columns)
        for row in range(rows)
        if row * columns + column < len(entries)
    ]
    return [handle for handle, _ in order], [label for _, label in order]


def _draw_panel(
    axes: Axes, panel: DomainScores, kinds: Sequence[str], bins: NDArray[np.float64], threshold: float
) -> None:
    """Live upward, attack types stacked downward; each side fills its half, so that classes of any size are seen."""
    videos = panel.videos
    live = _share(videos.score[videos.label == 1], bins, int((videos.label == 1).sum()))
    live = live / max(float(live.max(initial=0)), 1e-9)
    attacks = int((videos.label == 0).sum())
    axes.stairs(live, bins, fill=True, color=style.LIVE, label="live")
    ground = np.zeros(len(live))
    scale = 1 / max(float(_share(videos.score[videos.label == 0], bins, attacks).max(initial=0)), 1e-9)
    for number, kind in enumerate(kinds):
        chosen = (videos.label == 0) & (videos.attack_type == kind)
        share = scale * _share(videos.score[chosen], bins, attacks)
        axes.stairs(
            -(ground + share), bins, baseline=-ground, fill=True, color=style.ATTACKS[number % len(style.ATTACKS)],
            hatch=_HATCHES[number % len(_HATCHES)], edgecolor=style.PAPER, linewidth=0, label=plain(kind, 16),
        )  # fmt: skip
        ground += share
    axes.axhline(0, color=style.SOFT, linewidth=0.8)
    axes.axvline(threshold, color=style.INK, linestyle=style.DASHES[2], linewidth=1.2, label="threshold")
    axes.set(xlim=(bins[0], bins[-1]), ylim=(-1.08, 1.08))
    axes.yaxis.set_visible(False)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{plain(panel.domain, 20)}, {panel.role}", fontsize=7.5, pad=2)


def _share(score: NDArray[np.float64], bins: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    return np.histogram(score, bins)[0] / max(total, 1)


def _accepted(videos: Videos, threshold: float) -> str:
    taken = videos.score >= threshold
    live, attack = taken[videos.label == 1], taken[videos.label == 0]
    return f"{int(live.sum())} of {len(live)} live and {int(attack.sum())} of {len(attack)} attacks"
