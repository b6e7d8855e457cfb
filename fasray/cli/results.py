"""``fasray results``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE
from fasray.cli.output import write_out

if TYPE_CHECKING:
    import pandas as pd

    from fasray.results.scores import Level
    from fasray.results.tables.text import Grid
    from fasray.runs.record import RunRecord

_FORMATS = ("table", "json", "csv", "parquet", "md", "latex")
_FRAMES = (
    "results", "trials", "evaluations", "scores", "ablations", "importance", "cost", "slices", "thresholds",
    "calibration", "gap",
)  # fmt: skip
_BY_RULE = ("scores", "ablations", "slices", "thresholds", "calibration", "gap")
"""Frames of one selection rule."""
_FOR_PEOPLE = ("table", "md", "latex")


@click.command()
@click.argument("run", type=ADDRESS, metavar="RUN")
@click.option("--what", type=click.Choice(_FRAMES), default="results", show_default=True, help="Which frame.")
@click.option("--format", "kind", type=click.Choice(_FORMATS), default="table", show_default=True)
@click.option(
    "--select",
    "selections",
    multiple=True,
    metavar="RULE",
    help="source-dev, worst-source, last, mean-of-last-k, oracle, oracle-search or oracle-min-hter; "
    "leave-one-source-out, if planned; may be repeated.",
)
@click.option("--level", type=click.Choice(("video", "frame")), default="video", show_default=True)
@click.option("--published", is_flag=True, help="Show published figures next to ours, with how far they are verified.")
@click.option(
    "-o", "--output", type=OUT_FILE, metavar="FILE", help="Write to this file or s3:// address; needed for parquet."
)
def results(
    run: str, what: str, kind: str, selections: tuple[str, ...], level: Level, published: bool, output: str | None
) -> None:
    """Print the results of RUN, a run directory: honest selections, and the oracles' next to them, marked.

    `table`, `md` and `latex` show one level in percent, by default for source-dev, last and oracle; `json`, `csv` and
    `parquet` hold every rule, both levels, in fractions.
    """
    if kind == "parquet" and output is None:
        raise click.UsageError("parquet is written to a file: add -o results.parquet")
    if what == "results":
        content = _results(run, kind, selections, level, published)
    else:
        content = _listing(run, what, kind, selections, level, published)
    write_out(content, output, kind in _FOR_PEOPLE)


def print_table(run: str) -> None:
    """Print the table of a run."""
    click.echo(_results(run, "table", (), "video", published=False).decode(), nl=False)


def _results(run: str, kind: str, selections: tuple[str, ...], level: Level, published: bool) -> bytes:
    from fasray.results.load import results_of
    from fasray.results.remarks import remarks
    from fasray.results.tables import text as tables
    from fasray.results.tables.latex import to_latex
    from fasray.results.tables.published import PUBLISHED, with_published
    from fasray.runs.record import read_run

    record = read_run(run)
    everything = tables.TABLE_SELECTIONS if kind in _FOR_PEOPLE else ()
    frame = results_of(record, selections or everything)
    figures = PUBLISHED if published else ()
    if kind == "latex":
        return to_latex(frame, level, figures).encode()
    if kind in _FOR_PEOPLE:
        return _shown(tables.grid(frame, level, None, figures, remarks(record)), kind)
    return _export(with_published(frame, figures) if published else frame, kind)


def _listing(run: str, what: str, kind: str, selections: tuple[str, ...], level: Level, published: bool) -> bytes:
    from fasray.results.load import load_ablations, load_costs, load_evaluations, load_scores, load_trials
    from fasray.results.tables import text as tables

    if published or kind == "latex":
        raise click.UsageError(f"--what {what} has no {'published figures' if published else 'LaTeX'}")
    if selections and (what not in _BY_RULE or len(selections) > 1):
        raise click.UsageError(f"--select goes with results, or once with --what {', '.join(_BY_RULE[:-1])} or gap")
    if what == "ablations":
        return _ablations(load_ablations(run, *selections), kind, level)
    if what == "importance":
        return _importance(run, kind)
    if what in ("slices", "thresholds", "calibration", "gap"):
        return _computed(run, what, kind, *selections)
    if what == "scores":
        frame = load_scores(run, *selections)
    else:
        frame = {"trials": load_trials, "cost": load_costs, "evaluations": load_evaluations}[what](run)
    if kind in _FOR_PEOPLE:
        return _shown(tables.listing(frame), kind)
    return _export(frame, kind)


def _ablations(frame: pd.DataFrame, kind: str, level: Level) -> bytes:
    from fasray.results.ablations import ablation_grid

    if kind not in _FOR_PEOPLE:
        return _export(frame, kind)
    if frame.empty:
        return b"no ablation has a pair of finished runs yet\n"
    return _shown(ablation_grid(frame, level), kind)


def _importance(run: str, kind: str) -> bytes:
    from fasray.results.importance import importance_grid
    from fasray.results.load import load_importance

    frame = load_importance(run)
    if kind not in _FOR_PEOPLE:
        return _export(frame, kind)
    if frame.empty:
        return b"nothing was searched yet\n"
    return _shown(importance_grid(frame), kind)


def _computed(run: str, what: str, kind: str, rule: str = "source-dev") -> bytes:
    """Return one of the frames that are computed from the scores of the confirmed runs."""
    from fasray.results import calibrated, slices, transfer
    from fasray.runs.record import read_run

    frames: dict[str, tuple[Callable[[RunRecord, str], pd.DataFrame], Callable[[pd.DataFrame], Grid]]] = {
        "slices": (slices.slices_frame, slices.slices_grid),
        "thresholds": (transfer.thresholds_frame, transfer.thresholds_grid),
        "calibration": (calibrated.calibration_frame, calibrated.calibration_grid),
        "gap": (transfer.gap_frame, transfer.gap_grid),
    }
    compute, arrange = frames[what]
    frame = compute(read_run(run), rule)
    if kind not in _FOR_PEOPLE:
        return _export(frame, kind)
    return _shown(arrange(frame), kind)


def _shown(table: Grid, kind: str) -> bytes:
    from fasray.results.tables.text import to_markdown, to_text

    return (to_text if kind == "table" else to_markdown)(table).encode()


def _export(frame: pd.DataFrame, kind: str) -> bytes:
    from fasray.results.tables import export

    if kind == "parquet":
        return export.to_parquet(frame)
    return (export.to_json(frame) if kind == "json" else export.to_csv(frame)).encode()
