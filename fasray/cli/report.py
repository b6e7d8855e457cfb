"""``fasray report``."""

from __future__ import annotations

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE, OUT_FOLDER


@click.command()
@click.argument("run", type=ADDRESS, metavar="RUN")
@click.option(
    "-o", "--output", type=OUT_FILE, metavar="FILE", help="File or s3:// address; default: report.html in RUN."
)
@click.option(
    "--plots", "folder", type=OUT_FOLDER, metavar="DIR", help="Also write every plot to a file in this folder."
)
@click.option(
    "--plot-format", "kind", type=click.Choice(("svg", "png")), default="svg", show_default=True, help="Of --plots."
)
@click.option(
    "--with-pictures/--no-pictures",
    default=None,
    help="Show the faces of the worst errors, or none; default: only generated faces. Mind the licence of real ones.",
)
def report(run: str, output: str | None, folder: str | None, kind: str, with_pictures: bool | None) -> None:
    """Write the report of RUN as one self-contained HTML page, and its plots as files."""
    from fasray.results.frame import compute_results
    from fasray.results.report import build_report, to_html, write_plots
    from fasray.results.tables.text import TABLE_SELECTIONS
    from fasray.runs.layout import REPORT_FILE
    from fasray.runs.record import read_run
    from fasray.storage import join, write_bytes

    record = read_run(run)
    results = compute_results(record, TABLE_SELECTIONS)
    content = build_report(record, results, record.generated if with_pictures is None else with_pictures)
    path = output or join(run, REPORT_FILE)
    write_bytes(path, to_html(content).encode())
    click.echo(f"wrote {path}", err=True)
    if folder:
        written = write_plots(content, folder, kind)  # type: ignore[arg-type]  # click has checked it
        click.echo(f"wrote {len(written)} plots into {folder}", err=True)
