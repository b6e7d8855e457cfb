"""``fasray results``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

_FORMATS = ("table", "json", "csv", "parquet", "md")


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--format", "kind", type=click.Choice(_FORMATS), default="table", show_default=True)
@click.option("--select", "selections", multiple=True, metavar="RULE", help="source-dev, last or oracle; default: all.")
@click.option("--level", type=click.Choice(("video", "frame")), default="video", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file; needed for parquet.")
def results(run: str, kind: str, selections: tuple[str, ...], level: str, output: Path | None) -> None:
    """Print the results of RUN, a run directory: honest selections, and the oracle's marked beside them.

    `table` and `md` show one level in percent; `json`, `csv` and `parquet` hold every row in fractions.
    """
    from fasray.results import tables
    from fasray.results.runs import load_results
    from fasray.results.select import SELECTIONS

    frame = load_results(run, selections or tuple(SELECTIONS))
    if kind == "parquet":
        if output is None:
            raise click.UsageError("parquet is written to a file: add -o results.parquet")
        tables.write_parquet(frame, str(output))
        return
    text = {
        "table": lambda: tables.to_text(frame, level),  # type: ignore[arg-type]
        "md": lambda: tables.to_markdown(frame, level),  # type: ignore[arg-type]
        "json": lambda: tables.to_json(frame),
        "csv": lambda: tables.to_csv(frame),
    }[kind]()
    _write(text, output)


def print_table(run: str) -> None:
    """Print the table of a run."""
    from fasray.results.runs import load_results
    from fasray.results.tables import to_text

    click.echo(to_text(load_results(run)), nl=False)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
    else:
        from fasray.storage import write_bytes

        write_bytes(str(output), text.encode())
