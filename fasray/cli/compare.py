"""``fasray compare``: methods against a baseline, with intervals, power and equivalence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE, OUT_FOLDER
from fasray.cli.output import write_out

if TYPE_CHECKING:
    from fasray.results.compare import Comparison, Figure
    from fasray.results.plots import PlotFormat

_FOR_PEOPLE = ("table", "md", "latex")


@click.command()
@click.argument("run", type=ADDRESS, metavar="RUN")
@click.argument("other", type=ADDRESS, metavar="[RUN2]", required=False)
@click.option("--baseline", required=True, metavar="METHOD", help="What every other method is compared with.")
@click.option(
    "--figure", type=click.Choice(("hter", "auc", "eer", "acer")), default="hter", show_default=True,
    help="What is compared, on the target's videos.",
)  # fmt: skip
@click.option(
    "--select", "rule", default="source-dev", show_default=True, metavar="RULE", help="Of step and threshold."
)
@click.option("--margin", type=float, metavar="POINTS", help="Also test that differences are smaller than this.")
@click.option("--confidence", type=float, default=95, show_default=True, metavar="PERCENT", help="Of the intervals.")
@click.option("--resamples", type=int, default=1000, show_default=True, help="Of the targets' subjects.")
@click.option(
    "--format", "kind", type=click.Choice((*_FOR_PEOPLE, "json", "csv", "parquet")), default="table", show_default=True
)
@click.option("-o", "--output", type=OUT_FILE, metavar="FILE", help="Write to this file; needed for parquet.")
@click.option("--plots", "folder", type=OUT_FOLDER, metavar="DIR", help="Write the plots to files in this folder.")
@click.option(
    "--plot-format", type=click.Choice(("svg", "png")), default="svg", show_default=True, help="Of --plots."
)  # fmt: skip
def compare(
    run: str,
    other: str | None,
    baseline: str,
    figure: Figure,
    rule: str,
    margin: float | None,
    confidence: float,
    resamples: int,
    kind: str,
    output: str | None,
    folder: str | None,
    plot_format: PlotFormat,
) -> None:
    """Compare the methods of RUN, and of RUN2 if given, with a baseline.

    Runs are paired by protocol, seed and target subject. Runs of different data or protocols are refused.
    """
    from fasray.results.compare import CompareOptions, compare_runs
    from fasray.runs.record import read_run

    if kind == "parquet" and output is None:
        raise click.UsageError("parquet is written to a file: add -o compared.parquet")
    points = None if margin is None else margin / 100
    options = CompareOptions(baseline, figure, rule, points, _share(confidence), resamples)
    found = compare_runs([read_run(each) for each in (run, other) if each], options)
    write_out(_content(found, kind), output, kind in _FOR_PEOPLE)
    if folder:
        click.echo(f"wrote {', '.join(_write_plots(found, folder, plot_format))}", err=True)


def _share(percent: float) -> float:
    from fasray.errors import SpecError

    if not 50 <= percent < 100:
        what = f"a coverage of {percent:g} % is not possible: the option is in percent, from 50 to under 100"
        raise SpecError(what, where="--confidence", remedy="write 95 for 95 %")
    return percent / 100


def _content(found: Comparison, kind: str) -> bytes:
    from fasray.results.compare_text import comparison_json, difference_grid, rank_grid
    from fasray.results.tables import export, text
    from fasray.results.tables.latex_grid import grid_to_latex

    if kind == "parquet":
        return export.to_parquet(found.frame)
    if kind in ("json", "csv"):
        return (comparison_json(found) if kind == "json" else export.to_csv(found.frame)).encode()
    write = {"table": text.to_text, "md": text.to_markdown, "latex": grid_to_latex}[kind]
    return "\n".join(write(table) for table in (difference_grid(found), rank_grid(found)) if table).encode()


def _write_plots(found: Comparison, folder: str, kind: PlotFormat) -> list[str]:
    from fasray.results import plots
    from fasray.results.plots.comparison import DifferenceRow, differences, mean_ranks
    from fasray.storage import join, write_bytes

    options = found.options
    rows = [
        DifferenceRow(
            f"{row['method']}, {row['protocol']}", row["difference"], row["lower"], row["upper"],
            row["p_holm"] < 1 - options.confidence,
        )
        for row in found.frame.to_dict("records")
    ]  # fmt: skip
    drawn = [differences(rows, options.figure.upper(), options.baseline, options.margin)]
    if found.ranks is not None:
        drawn.append(mean_ranks(found.methods, found.ranks.mean, found.ranks.critical_difference))
    paths = [join(folder, f"{plot.name}.{kind}") for plot in drawn]
    for path, plot in zip(paths, drawn, strict=True):
        write_bytes(path, plots.encode(plot, kind))
    return paths
