"""Everything that the page says about a run, worked out before a word of HTML is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from fasray import protocols
from fasray.errors import FasrayError
from fasray.results import plots
from fasray.results.evaluations import Evaluation, RunView, Trial, read_scores
from fasray.results.frame import RunResults
from fasray.results.plots import Band, GapRow, HeatMap, Plot
from fasray.results.report.cells import HONEST, CellSection, cell_section, seconds_of
from fasray.results.report.faces import FaceShelf, Key
from fasray.results.tables import Grid, grid, percent

GENERATED_WARNING = (
    "These faces are generated, and the differences between their domains are designed. The numbers show that the"
    " machinery works; they are no evidence about anti-spoofing on real faces."
)
_MOST_LINES = 7
OPERATING_POINTS = (0.01, 0.05, 0.10)
"""Shares of attacks accepted at which methods are compared."""


@dataclass(frozen=True)
class Tile:
    """One figure of the summary."""

    label: str
    value: str
    note: str


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


@dataclass(frozen=True)
class OperatingRow:
    """What one method's mean curve on a protocol says, in percent as text."""

    method: str
    auc: str
    rejected: tuple[str, ...]
    """Live faces rejected at the shares of attacks accepted of ``OPERATING_POINTS``."""


@dataclass(frozen=True)
class ProtocolCurves:
    """The methods compared on one protocol."""

    protocol: str
    plots: tuple[Plot, ...]
    rows: tuple[OperatingRow, ...]
    left_out: int
    """Methods beyond those that a plot can hold apart."""


@dataclass(frozen=True)
class CostRow:
    """What one cell took."""

    method: str
    protocol: str
    trials: int
    steps: int
    search: float
    """Seconds, as are ``confirm`` and ``total``."""
    confirm: float
    share: float
    """Of the dearest cell, in [0, 1]."""

    @property
    def total(self) -> float:
        """Search and confirmation."""
        return self.search + self.confirm


@dataclass(frozen=True)
class Numbers:
    """A cell's figures for its headline, in percent as text; ``-`` where there is none."""

    error: str
    auc: str
    gap: str


@dataclass(frozen=True)
class Report:
    """The content of a report."""

    run: RunView
    warning: str
    asked: tuple[str, ...]
    tiles: tuple[Tile, ...]
    figure: str
    """What the heat map and the gaps show: HTER, or ACER for OULU-NPU's protocols."""
    heat: tuple[HeatRow, ...]
    protocols: tuple[str, ...]
    video: Grid
    frames: Grid
    gap_plot: Plot | None
    gap_words: str
    heat_plot: Plot | None
    curves: tuple[ProtocolCurves, ...]
    cells: tuple[CellSection, ...]
    numbers: Mapping[str, Numbers]
    """By anchor of the cell."""
    open_anchor: str
    """The cell that is shown unfolded: the one with the lowest honest error."""
    faces: Mapping[Key, str]
    """Thumbnails as data URIs."""
    why_no_faces: str
    cost: tuple[CostRow, ...]
    cost_total: CostRow

    @property
    def every_plot(self) -> tuple[Plot, ...]:
        """All plots, also those that the page shows as tables."""
        first = tuple(plot for plot in (self.heat_plot, self.gap_plot) if plot)
        compared = tuple(plot for curves in self.curves for plot in curves.plots)
        return first + compared + tuple(plot for cell in self.cells for plot in cell.plots)


def build_report(run: RunView, results: RunResults, with_pictures: bool) -> Report:
    """Work out the content of a run's report.

    Args:
        run: the run; unfinished ones are fine.
        results: of ``compute_results(run)``.
        with_pictures: whether faces may be shown.

    Raises:
        DataError: a score file is missing or broken.
    """

    def read(trial: str, step: int) -> Evaluation:
        return read_scores(run.score_uri(trial, step))

    grouped: dict[tuple[str, str], list[Trial]] = {}
    for trial in run.trials:
        grouped.setdefault((trial.method, trial.protocol), []).append(trial)
    anchors = _anchors(list(grouped))
    cells = tuple(cell_section(run, results, anchors[key], trials, read) for key, trials in grouped.items())
    honest = _by_cell(results.frame, HONEST)
    oracle = _by_cell(results.frame, "oracle")
    figure = _figure_name(list(honest))
    table = _heat_table(honest, figure)
    gaps = _gaps(honest, oracle)
    shelf = FaceShelf(run, with_pictures)
    faces = shelf.thumbnails([suspect.key for cell in cells for suspect in (*cell.attacks, *cell.lives)])
    cost = _cost(grouped)
    best = min((key for key in gaps), key=lambda key: gaps[key].honest, default=None)
    return Report(
        run=run,
        warning=GENERATED_WARNING if run.generated else "",
        asked=_asked(run, grouped),
        tiles=_tiles(run, table, figure, gaps, cost),
        figure=figure,
        heat=_heat_rows(table, honest, anchors),
        protocols=table.protocols,
        video=grid(results.frame, "video"),
        frames=grid(results.frame, "frame"),
        gap_plot=plots.honest_and_oracle(list(gaps.values()), figure) if gaps else None,
        gap_words=_gap_words(list(gaps.values()), figure),
        heat_plot=plots.heat_map(table) if gaps else None,
        curves=_curves(cells, honest),
        cells=cells,
        numbers={anchors[key]: _numbers(honest.get(key)) for key in grouped},
        open_anchor=anchors.get(best, "") if best else "",
        faces=faces,
        why_no_faces=shelf.why_not,
        cost=cost,
        cost_total=_total(cost),
    )


def _by_cell(frame: pd.DataFrame, selection: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = frame[(frame["level"] == "video") & (frame["selection"] == selection)]
    return {(row["method"], row["protocol"]): row for row in rows.to_dict("records")}


def _anchors(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a name for each cell that is unique, whatever the method and protocol are called."""
    found: dict[tuple[str, str], str] = {}
    for key in keys:
        stem = plots.file_stem("cell", *key)
        taken = set(found.values())
        found[key] = stem if stem not in taken else f"{stem}-{len(taken)}"
    return found


def headline(protocol: str) -> str:
    """Return the column that a protocol is reported by: ``acer`` for OULU-NPU's, ``hter`` for all others."""
    if protocol in protocols.GROUPS:
        return "acer"
    try:
        return "acer" if protocols.parse(protocol).headline == "acer" else "hter"
    except FasrayError:
        return "hter"


def _figure_name(keys: Sequence[tuple[str, str]]) -> str:
    names = {headline(protocol).upper() for _, protocol in keys} or {"HTER"}
    return names.pop() if len(names) == 1 else "HTER (ACER for OULU-NPU)"


def _heat_table(honest: Mapping[tuple[str, str], Mapping[str, Any]], figure: str) -> HeatMap:
    methods = tuple(dict.fromkeys(method for method, _ in honest))
    names = tuple(dict.fromkeys(protocol for _, protocol in honest))
    error = np.full((len(methods), len(names)), np.nan)
    for (method, protocol), row in honest.items():
        error[methods.index(method), names.index(protocol)] = row[headline(protocol)]
    return HeatMap(methods, names, error, figure)


def _heat_rows(
    table: HeatMap, honest: Mapping[tuple[str, str], Mapping[str, Any]], anchors: Mapping[tuple[str, str], str]
) -> tuple[HeatRow, ...]:
    finite = table.error[np.isfinite(table.error)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
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
                    error=_short(value),
                    spread="" if math.isnan(spread) else f"± {100 * spread:.1f}",
                    auc="-" if row is None else _short(row["auc"]),
                    ground=ground,
                    letters=letters,
                    best=best,
                    anchor=anchors.get((method, protocol), ""),
                )
            )
        rows.append(HeatRow(method, tuple(cells), _short(float(table.error[place].mean()))))
    return tuple(rows)


def _gaps(
    honest: Mapping[tuple[str, str], Mapping[str, Any]], oracle: Mapping[tuple[str, str], Mapping[str, Any]]
) -> dict[tuple[str, str], GapRow]:
    rows = {}
    for key, row in honest.items():
        name = headline(key[1])
        if key in oracle and math.isfinite(row[name]):
            rows[key] = GapRow(*key, row[name], row[f"{name}_std"], oracle[key][name])
    return rows


def _gap_words(gaps: Sequence[GapRow], figure: str) -> str:
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


def _asked(run: RunView, grouped: Mapping[tuple[str, str], Sequence[Trial]]) -> tuple[str, ...]:
    methods = list(dict.fromkeys(method for method, _ in grouped))
    names = list(dict.fromkeys(protocol for _, protocol in grouped))
    if not grouped:
        return ("Nothing has been tried yet.",)
    searched = [sum(trial.stage == "search" for trial in trials) for trials in grouped.values()]
    seeds = sorted({trial.seed for trial in run.trials if trial.stage == "confirm"})
    lines = [
        f"Which method works on a domain that it has never seen: {_words(methods, 'or')}?"
        f" {_count(len(methods), 'method')} on {_count(len(names), 'protocol')}:"
        f" {_count(len(grouped), 'cell')}."
    ]
    if any(searched):
        few, many = min(searched), max(searched)
        lines.append(
            f"In each cell {few if few == many else f'{few} to {many}'} configurations were tried; the one with the"
            " best source-dev AUC won. The search never saw a score of the target."
        )
    if seeds:
        lines.append(
            f"The winner was trained again with {_count(len(seeds), 'fresh seed')} ({', '.join(map(str, seeds))});"
            " only these runs are in the results."
        )
    running = sum(trial.status == "running" for trial in run.trials)
    if running:
        lines.append(f"The run is not finished: {_count(running, 'trial')} not ended.")
    return tuple(lines)


def _tiles(
    run: RunView,
    table: HeatMap,
    figure: str,
    gaps: Mapping[tuple[str, str], GapRow],
    cost: Sequence[CostRow],
) -> tuple[Tile, ...]:
    tiles = []
    means = table.error.mean(axis=1) if table.error.size else np.array([])
    if len(table.methods) > 1 and len(table.protocols) > 1 and np.isfinite(means).any():
        best = int(np.nanargmin(means))
        note = f"{_short(float(means[best]))} % honest {figure}, mean over {len(table.protocols)} protocols"
        tiles.append(Tile("Best method", table.methods[best], note))
    if gaps:
        row = min(gaps.values(), key=lambda each: each.honest)
        note = f"{row.method} on {row.protocol}" + (f"; lowest of {len(gaps)}" if len(gaps) > 1 else "")
        tiles.append(Tile("Best honest cell", f"{percent(row.honest)} %", note))
        gap = float(np.mean([each.oracle - each.honest for each in gaps.values()]))
        tiles.append(
            Tile("Optimism gap", f"{100 * gap:+.1f} points", f"oracle minus honest {figure}, mean over the cells")
        )
    states: dict[str, int] = {}
    for trial in run.trials:
        states[trial.status] = states.get(trial.status, 0) + 1
    listed = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    total = _total(cost)
    tiles.append(Tile("Work", duration(total.total), f"{_count(len(run.trials), 'trial')}: {listed or 'none'}"))
    return tuple(tiles)


def _curves(
    cells: Sequence[CellSection], honest: Mapping[tuple[str, str], Mapping[str, Any]]
) -> tuple[ProtocolCurves, ...]:
    """Compare the methods on each protocol that has two of them or more."""
    by_protocol: dict[str, list[Band]] = {}
    for cell in cells:
        if cell.band is not None:
            by_protocol.setdefault(cell.protocol, []).append(replace(cell.band, label=cell.method))
    found = []
    for number, (protocol, lines) in enumerate(by_protocol.items()):
        if len(lines) > 1:
            stem = plots.file_stem("protocol", f"{number:02d}", protocol)
            shown = lines[:_MOST_LINES]
            drawn = (
                plots.det_plot(f"{stem}-det", "DET", protocol, shown),
                plots.roc_plot(f"{stem}-roc", "ROC", protocol, shown),
            )
            rows = tuple(_operating_row(line, honest.get((line.label, protocol))) for line in lines)
            found.append(ProtocolCurves(protocol, drawn, rows, len(lines) - len(shown)))
    return tuple(found)


def _operating_row(line: Band, row: Mapping[str, Any] | None) -> OperatingRow:
    rejected = tuple(_short(float(np.interp(far, line.far, line.frr))) for far in OPERATING_POINTS)
    return OperatingRow(line.label, "-" if row is None else _short(row["auc"]), rejected)


def _numbers(row: Mapping[str, Any] | None) -> Numbers:
    if row is None:
        return Numbers("-", "-", "-")
    name = headline(row["protocol"])
    gap = row["optimism_gap"]
    return Numbers(
        percent(row[name], row[f"{name}_std"]), percent(row["auc"]), "-" if math.isnan(gap) else f"{100 * gap:+.1f}"
    )


def _cost(grouped: Mapping[tuple[str, str], Sequence[Trial]]) -> tuple[CostRow, ...]:
    rows = []
    for (method, protocol), trials in grouped.items():
        seconds = {
            stage: math.fsum(seconds_of(trial) for trial in trials if trial.stage == stage)
            for stage in ("search", "confirm")
        }
        steps = sum(max(trial.steps, default=0) for trial in trials)
        rows.append((method, protocol, len(trials), steps, seconds["search"], seconds["confirm"]))
    dearest = max((row[4] + row[5] for row in rows), default=0.0) or 1.0
    return tuple(CostRow(*row, share=(row[4] + row[5]) / dearest) for row in rows)


def _total(cost: Sequence[CostRow]) -> CostRow:
    return CostRow(
        "all cells",
        "",
        sum(row.trials for row in cost),
        sum(row.steps for row in cost),
        math.fsum(row.search for row in cost),
        math.fsum(row.confirm for row in cost),
        1.0,
    )


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``42 s``, ``11 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _words(names: Sequence[str], last: str) -> str:
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
