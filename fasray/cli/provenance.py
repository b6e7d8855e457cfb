"""``fasray why`` and ``fasray verify``: where a number comes from, and whether it still does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS
from fasray.errors import DataError

if TYPE_CHECKING:
    from fasray.results.scores import Level

_FINDINGS_SHOWN = 50


@click.command()
@click.argument("run", type=ADDRESS, metavar="RUN")
@click.argument("method")
@click.argument("protocol")
@click.option("--select", "rule", default="source-dev", show_default=True, metavar="RULE", help="Selection rule.")
@click.option("--level", type=click.Choice(("video", "frame")), default="video", show_default=True)
@click.option("--variant", default="", metavar="NAME", help="Name of an ablation of METHOD.")
@click.option("--format", "kind", type=click.Choice(("text", "json")), default="text", show_default=True)
def why(run: str, method: str, protocol: str, rule: str, level: Level, variant: str, kind: str) -> None:
    """Walk from the number of METHOD on PROTOCOL in RUN back to all that it was made of.

    Trials, seeds, steps, score files, checkpoints, configuration, data and code; the last lines are the commands that
    train the same trials again.
    """
    from fasray.results.audit.provenance import to_json, to_text, trace
    from fasray.results.tables.escape import plain
    from fasray.runs.record import read_run

    found = trace(read_run(run), method, protocol, rule, level, variant)
    if kind == "json":
        click.echo(to_json(found), nl=False)
    else:
        click.echo("\n".join(map(plain, to_text(found).split("\n"))), nl=False)


@click.command()
@click.argument("run", type=ADDRESS, metavar="RUN")
def verify(run: str) -> None:
    """Recompute every number of RUN from its score files, and compare every file with its record.

    Exit code 3 if anything differs.
    """
    from fasray.results.audit.verify import verify_run
    from fasray.results.tables.escape import plain
    from fasray.runs.record import read_run

    found = verify_run(read_run(run))
    recorded = found.score_files - found.without_record
    click.echo(
        f"{found.trials} trials: {found.score_files} score files ({recorded} held against their SHA-256, "
        f"{found.without_record} not recorded), {found.checkpoints} checkpoints, {found.numbers} figures computed again"
    )
    for note in found.notes:
        click.echo(f"note: {note}")
    if found.findings:
        lines = [plain(f"{finding.where}: {finding.what}") for finding in found.findings]
        more = len(lines) - _FINDINGS_SHOWN
        shown = [*lines[:_FINDINGS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise DataError(
            f"{len(lines)} findings:\n    " + "\n    ".join(shown),
            where=run,
            remedy="restore these files from a copy, or train these trials again: `fasray why` has the commands",
        )
    click.echo("everything is as it was written")
