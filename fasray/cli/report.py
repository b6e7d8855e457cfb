"""``fasray report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to; default: report.html in RUN.")
def report(run: str, output: Path | None) -> None:
    """Write the report of RUN as one self-contained HTML page."""
    from fasray.results.report import render_report
    from fasray.results.runs import REPORT_FILE, view
    from fasray.storage import join, write_bytes

    path = str(output) if output else join(run, REPORT_FILE)
    write_bytes(path, render_report(view(run)).encode())
    click.echo(f"wrote {path}", err=True)
