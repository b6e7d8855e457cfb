"""``fasray plan`` and ``fasray sweep``."""

from __future__ import annotations

from pathlib import Path

import click

from fasray.errors import RunFailedError
from fasray.sweep.spec import SweepSpec

_FILE = click.argument("sweep_file", metavar="SWEEP.yaml")
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. search.seed=7."
)


@click.command()
@_FILE
@_SET
def plan(sweep_file: str, overrides: tuple[str, ...]) -> None:
    """Say what SWEEP.yaml would do: cells, trials, rungs, what the profile changes. Starts nothing."""
    from fasray.cli.forecast import describe
    from fasray.sweep.dataset import resolve_dataset
    from fasray.sweep.plan import make_plan
    from fasray.sweep.spec import load_sweep

    spec = load_sweep(sweep_file, overrides)
    dataset = resolve_dataset(spec, _generating)
    click.echo(describe(make_plan(spec, dataset.manifest.hash, dataset.index)))


@click.command()
@_FILE
@click.option("--out", metavar="FOLDER", help="Run directory; default: runs/<name of the sweep>.")
@_SET
@click.option("-v", "--verbose", is_flag=True, help="Show Ray's own messages.")
def sweep(sweep_file: str, out: str | None, overrides: tuple[str, ...], verbose: bool) -> None:
    """Run SWEEP.yaml, or go on where it was left; then print the table and write the report.

    The same command resumes a run that was stopped or killed at any moment.
    """
    from fasray.cli.terminal import showing
    from fasray.sweep.engine import run_sweep
    from fasray.sweep.spec import load_sweep

    spec = load_sweep(sweep_file, overrides)
    run = out or default_run(spec)
    with showing() as terminal:
        outcome = run_sweep(spec, run, terminal, verbose)
    if not outcome.trained_now:
        click.echo(f"all {outcome.trials} trials of this run are done already", err=True)
    _present(run, outcome.trained_now > 0)
    if outcome.failures:
        raise RunFailedError(
            f"{len(outcome.failures)} parts of the sweep failed:\n    " + "\n    ".join(outcome.failures),
            where=run,
            remedy="mend the cause and run the same command again, or look at the trials with -v",
        )


def default_run(spec: SweepSpec) -> str:
    """Return the run directory of a sweep that names none."""
    return str(Path("runs") / spec.name)


def _generating(done: int, total: int) -> None:
    if done == total:
        click.echo(f"generated the faces of {total} subjects", err=True)


def _present(run: str, changed: bool) -> None:
    """Write the derived files where they are missing or out of date, and print the table."""
    from fasray.cli.results import print_table
    from fasray.results.runs import write_derived

    written = write_derived(run, renew=changed)
    print_table(run)
    for path in written:
        click.echo(f"wrote {path}", err=True)
