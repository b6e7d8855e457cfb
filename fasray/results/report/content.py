"""Everything that the page says about a run, worked out before a word of HTML is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fasray.results import plots
from fasray.results.frame import RunResults
from fasray.results.plots import GapRow, Plot
from fasray.results.remarks import remarks
from fasray.results.report.ablated import Ablations, ablations
from fasray.results.report.cells import HONEST, CellSection, cell_section
from fasray.results.report.comparison import ProtocolCurves, curves
from fasray.results.report.cost import CostRow, cost_rows, total
from fasray.results.report.faces import FrameKey, ThumbnailStore
from fasray.results.report.heat import HeatRow, Row, figure_name, gap_rows, gap_words, headline, heat_rows, heat_table
from fasray.results.report.important import Importance, importance
from fasray.results.report.summary import Tile, count, question, tiles
from fasray.results.scores import ScoredEvaluation, ScoreReader
from fasray.results.tables.text import Grid, grid, percent
from fasray.results.transfer import gap_grid
from fasray.runs.events import TrialRecord, cell_protocol
from fasray.runs.record import RunRecord
from fasray.runs.videos import read_videos

GENERATED_WARNING = (
    "These faces are generated, and the differences between their domains are designed. The numbers show that the"
    " machinery works; they are no evidence about anti-spoofing on real faces."
)


@dataclass(frozen=True)
class Numbers:
    """A cell's figures for its headline, in percent as text; ``-`` if unknown."""

    error: str
    auc: str
    gap: str
    interval: str
    """What other subjects could have given; empty if unknown."""


@dataclass(frozen=True)
class Report:
    """The content of a report."""

    run: RunRecord
    warning: str
    question: tuple[str, ...]
    tiles: tuple[Tile, ...]
    figure: str
    """What the heat map and the gaps show: HTER, or ACER for OULU-NPU's protocols."""
    heat: tuple[HeatRow, ...]
    protocols: tuple[str, ...]
    video: Grid
    frames: Grid
    ablations: Ablations | None
    """None if nothing was switched off."""
    importance: Importance | None
    """None if nothing was searched."""
    gap_plot: Plot | None
    gap_words: str
    gap_parts: Grid | None
    """What step and threshold have of the gaps; None as long as nothing is confirmed."""
    heat_plot: Plot | None
    curves: tuple[ProtocolCurves, ...]
    cells: tuple[CellSection, ...]
    numbers: Mapping[str, Numbers]
    """By anchor of the cell."""
    open_anchor: str
    """The cell that is shown unfolded: the one with the lowest honest error."""
    faces: Mapping[FrameKey, str]
    """Thumbnails as data URIs."""
    why_no_faces: str
    cost: tuple[CostRow, ...]
    cost_total: CostRow

    @property
    def every_plot(self) -> tuple[Plot, ...]:
        """All plots, also those that the page shows as tables."""
        parts = self.ablations.plot if self.ablations else None
        first = tuple(plot for plot in (self.heat_plot, parts, self.gap_plot) if plot)
        settings = self.importance.plots if self.importance else ()
        compared = tuple(plot for curves in self.curves for plot in curves.plots)
        return first + settings + compared + tuple(plot for cell in self.cells for plot in cell.plots)


def build_report(run: RunRecord, results: RunResults, with_pictures: bool) -> Report:
    """Work out the content of a run's report.

    Args:
        run: the run; unfinished ones are fine.
        results: of ``compute_results(run)``.
        with_pictures: whether faces may be shown.

    Raises:
        DataError: a score file is missing or broken.
    """
    reader = ScoreReader()

    def read(trial: TrialRecord, step: int) -> ScoredEvaluation:
        return reader.read(run.score_uri(trial.id, step), trial.protocol)

    grouped = _by_method_and_protocol(run.cell_trials)
    whole = {key: [trial for trial in trials if not trial.variant] for key, trials in grouped.items()}
    anchors = _anchors(list(grouped))
    videos = read_videos(run.uri)
    cells = tuple(cell_section(run, results, anchors[key], trials, read, videos) for key, trials in whole.items())
    frame = results.frame[results.frame["variant"] == ""]
    honest = _by_cell(frame, HONEST)
    oracle = _by_cell(frame, "oracle")
    figure = figure_name(list(honest))
    table = heat_table(honest, figure)
    gaps = gap_rows(honest, oracle)
    store = ThumbnailStore(run, with_pictures)
    faces = store.thumbnails([suspect.key for cell in cells for suspect in (*cell.attacks, *cell.lives)])
    parts = [cell.gap for cell in cells if cell.gap is not None]
    cost = cost_rows(_by_method_and_protocol(run.trials))
    best = min(gaps, key=lambda key: gaps[key].honest, default=None)
    return Report(
        run=run,
        warning=GENERATED_WARNING if run.generated else "",
        question=question(run, whole),
        tiles=tiles(run, table, figure, gaps, cost),
        figure=figure,
        heat=heat_rows(table, honest, anchors),
        protocols=table.protocols,
        video=grid(frame, "video", remarks=remarks(run)),
        frames=grid(frame, "frame", remarks=remarks(run)),
        ablations=ablations(run),
        importance=importance(run),
        gap_plot=plots.honest_and_oracle(list(gaps.values()), figure) if gaps else None,
        gap_words=gap_words(list(gaps.values()), figure),
        gap_parts=gap_grid(pd.concat(parts)) if parts else None,
        heat_plot=plots.heat_map(table) if gaps else None,
        curves=curves(cells, honest),
        cells=cells,
        numbers={anchors[key]: _numbers(honest.get(key), gaps.get(key)) for key in grouped},
        open_anchor=anchors.get(best, "") if best else "",
        faces=faces,
        why_no_faces=store.why_not,
        cost=cost,
        cost_total=total(cost),
    )


def _by_method_and_protocol(trials: Sequence[TrialRecord]) -> dict[tuple[str, str], list[TrialRecord]]:
    grouped: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        grouped.setdefault((trial.method, cell_protocol(trial)), []).append(trial)
    return grouped


def _by_cell(frame: pd.DataFrame, selection: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = frame[(frame["level"] == "video") & (frame["selection"] == selection)]
    return {(row["method"], row["protocol"]): row for row in rows.to_dict("records")}


def _anchors(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return a name for each cell that is unique, whatever the method and protocol are called."""
    found: dict[tuple[str, str], str] = {}
    for key in keys:
        stem = name = plots.file_stem("cell", *key)
        number = 1
        while name in found.values():
            number += 1
            name = f"{stem}-{number}"
        found[key] = name
    return found


def _numbers(row: Row | None, gap: GapRow | None) -> Numbers:
    if row is None:
        return Numbers("-", "-", "-", "")
    name = headline(row["protocol"])
    return Numbers(
        error=percent(row[name], row[f"{name}_std"]),
        auc=percent(row["auc"]),
        gap="-" if gap is None else f"{100 * (gap.oracle - gap.honest):+.1f}",
        interval=_interval(row),
    )


def _interval(row: Mapping[str, Any]) -> str:
    ends = [row[name] for name in ("hter_lower", "hter_upper", "auc_lower", "auc_upper")]
    if any(math.isnan(end) for end in ends):
        return ""
    hter_low, hter_high, auc_low, auc_high = (f"{100 * end:.1f}" for end in ends)
    return (
        f"Had other subjects of this kind been filmed (95 %, {count(int(row['subjects']), 'subject')}):"
        f" HTER {hter_low} to {hter_high}, AUC {auc_low} to {auc_high}."
    )
