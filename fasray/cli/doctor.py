"""``fasray doctor``: check whether this machine is ready for a sweep."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from fasray.cli.addresses import ADDRESS, OUT_FOLDER

_MARKS = {"ok": "ok  ", "note": "note", "error": "FAIL"}


@click.command()
@click.option("--data", type=ADDRESS, metavar="URI", help="Face shards to check.")
@click.option("--out", type=OUT_FOLDER, metavar="URI", help="Run directory to check; writes and removes a file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def doctor(data: str | None, out: str | None, as_json: bool) -> None:
    """Check this machine for a sweep: versions, GPUs, authentication, stores, data, memory, disk, detector models.

    Each finding comes with a remedy; notes may be intended. The exit code is that of the first failure (2 set-up,
    3 data or store), 0 if there is none.
    """
    from fasray.clusters.doctor import exit_code, run_checks

    found = run_checks(data, out)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=1))
    else:
        width = max(len(one.about) for one in found)
        for one in found:
            click.echo(f"{_MARKS[one.status]}  {one.about:<{width}}  {one.message}")
            if one.remedy:
                click.echo(f"{'':<{width + 6}}  -> {one.remedy}")
    sys.exit(exit_code(found))
