"""``fasray plan`` and ``fasray sweep``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS, OUT_FOLDER
from fasray.cli.lines import Lines, say
from fasray.errors import RunFailedError, SpecError
from fasray.execution.capacity import local_slots

if TYPE_CHECKING:
    from fasray.faces.data_source import Dataset
    from fasray.sweep.forecast import Pace
    from fasray.sweep.plan import Plan

_FILE = click.argument("sweep_file", type=ADDRESS, metavar="SWEEP.yaml", required=False)
_EXAMPLE = click.option("--example", metavar="NAME", help="A sweep that comes with fasray, e.g. quickstart.")
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. search.seed=7."
)
_REUSE = click.option(
    "--reuse", "reuse", multiple=True, type=ADDRESS, metavar="RUN",
    help="Take over the trials that this run has, instead of training them again; may be given several times.",
)  # fmt: skip


@click.command()
@_FILE
@_EXAMPLE
@_SET
@_REUSE
@click.option("--slots", type=click.IntRange(min=1), help="Trials at once; default: as many as fit on this machine.")
@click.option(
    "--gpus/--no-gpus", "gpus", default=None, help="Plan for machines with or without GPUs; default: as this one is."
)
@click.option("--calibrate", is_flag=True, help="Time a few steps of each method here, and forecast hours.")
@click.option("--price", type=click.FloatRange(min=0), help="Of a node hour, in any currency; needs --calibrate.")
def plan(
    sweep_file: str | None,
    example: str | None,
    overrides: tuple[str, ...],
    reuse: tuple[str, ...],
    slots: int | None,
    gpus: bool | None,
    calibrate: bool,
    price: float | None,
) -> None:
    """Show what SWEEP.yaml would do: cells, trials, rungs, what the profile changes; starts nothing.

    What the file leaves open with `auto` is decided as for a new run.
    With --reuse it shows how many trials those runs have already.
    With --calibrate it also shows how long that would take on machines like this one.
    """
    from fasray.cli.forecast import describe, describe_forecast
    from fasray.execution.decide import machine_has_gpus
    from fasray.execution.hardware import device_for
    from fasray.execution.initial_weights import check_weights
    from fasray.execution.placement import placement_here
    from fasray.faces.data_source import resolve_dataset
    from fasray.faces.loading.pool import pool_key
    from fasray.faces.sets.preparations import difference_note
    from fasray.sweep.auto import needs_hardware, resolve_auto
    from fasray.sweep.forecast import forecast, would_reuse
    from fasray.sweep.plan import make_plan
    from fasray.sweep.sweep_file import load_sweep

    if price is not None and not calibrate:
        raise click.UsageError("--price needs hours to multiply: add --calibrate")
    spec = load_sweep(_chosen(sweep_file, example), overrides)
    if calibrate and spec.ingest == "stream":
        raise SpecError(
            "a sweep that streams cannot be timed: methods are timed on a pool",
            where="--calibrate",
            remedy="leave it out, or add `--set ingest=pool` if this machine's disk has room for the faces",
        )
    if gpus is None and needs_hardware(spec, None):
        gpus = machine_has_gpus()
    resolved = resolve_auto(spec, has_gpus=gpus, environ=os.environ)
    spec = resolved.spec
    for choice in resolved.choices:
        click.echo(choice)
    dataset = resolve_dataset(spec.data, Lines().on_generate)
    planned = make_plan(spec, dataset.manifest.hash, dataset.index)
    starts = check_weights(planned)
    click.echo(describe(planned))
    for line in starts:
        click.echo(line)
    if differ := difference_note(dataset.manifest.card):
        click.echo(f"note: {differ}")
    for line in would_reuse(planned, reuse):
        click.echo(line)
    here = placement_here(planned, pool_key(dataset.manifest.hash, dataset.manifest.image_size))
    for line in here.describe():
        click.echo(f"on this machine: {line}")
    slots = slots or (here.trials_at_once() if here.kinds else local_slots(spec))
    device = device_for(here.options(next(iter(spec.methods)))[0])
    paces = _paces(planned, dataset, slots, device) if calibrate else None
    click.echo("\n" + describe_forecast(forecast(planned, slots, paces), slots, price))


def _chosen(sweep_file: str | None, example: str | None) -> str:
    """Return the path of the sweep file that the command line names, the user's or one of fasray's.

    A file that fasray ships as ``sweeps/NAME.yaml`` is found under that name in any folder, as a job needs it that was
    submitted without a working directory.
    """
    if (sweep_file is None) == (example is None):
        raise click.UsageError("give either SWEEP.yaml or --example NAME")
    folder = Path(__file__).parents[1] / "examples"
    examples = {str(file.relative_to(folder).with_suffix("")): str(file) for file in folder.rglob("*.yaml")}
    if sweep_file is not None:
        shipped = examples.get(Path(sweep_file).with_suffix("").as_posix().removeprefix("sweeps/"))
        if shipped is None or not sweep_file.startswith("sweeps/") or Path(sweep_file).exists():
            return sweep_file
        say(f"there is no {sweep_file} in {Path.cwd()}: taking the one that comes with fasray")
        return shipped
    if example not in examples:
        names = ", ".join(sorted(examples))
        raise SpecError(f"unknown example {example!r}", where="--example", remedy=f"choose one of: {names}")
    return examples[example]


def _paces(plan: Plan, dataset: Dataset, slots: int, device: str) -> dict[str, Pace]:
    """Time every method on this machine's pool."""
    from fasray.execution.calibrate import calibrate
    from fasray.execution.one_trial import open_local_pool

    return calibrate(plan, str(open_local_pool(dataset, Lines()).folder), slots, say, device)


@click.command()
@_FILE
@_EXAMPLE
@click.option(
    "--out",
    type=OUT_FOLDER,
    metavar="FOLDER",
    help="Run directory; default: the sweep's name under $FASRAY_RUNS, else under runs.",
)
@_SET
@_REUSE
@click.option("--any-device", is_flag=True, help="Resume also on another kind of device than the run was computed on.")
@click.option("-v", "--verbose", is_flag=True, help="Show Ray's own messages.")
def sweep(
    sweep_file: str | None,
    example: str | None,
    out: str | None,
    overrides: tuple[str, ...],
    reuse: tuple[str, ...],
    any_device: bool,
    verbose: bool,
) -> None:
    """Run or resume SWEEP.yaml; then print the table and write the report.

    The same command resumes a run that was stopped or killed at any moment.
    """
    from fasray.cli.terminal import showing
    from fasray.execution.engine import SAVED, run_sweep
    from fasray.execution.signals import interruptible
    from fasray.sweep.auto import run_directory
    from fasray.sweep.sweep_file import load_sweep, run_of

    file = _chosen(sweep_file, example)
    spec = load_sweep(file, overrides)
    run = run_directory(spec.name, out or run_of(file), os.environ)
    with interruptible(run, SAVED):  # the table and report too
        with showing() as terminal:
            outcome = run_sweep(spec, run, terminal, verbose, any_device, reuse)
        if not outcome.trained_now:
            say(f"all {outcome.trials} trials of this run are done already")
        _present(run, outcome.trained_now > 0)
    if outcome.failures:
        raise RunFailedError(
            f"{len(outcome.failures)} parts of the sweep failed:\n    " + "\n    ".join(outcome.failures),
            where=run,
            remedy="fix the cause and run the same command again; -v shows the messages of the trials",
        )


def _present(run: str, changed: bool) -> None:
    """Write the derived files where they are missing or out of date, and print the table."""
    from fasray.cli.results import print_table
    from fasray.results.load import write_derived

    written = write_derived(run, renew=changed)
    print_table(run)
    for path in written:
        say(f"wrote {path}")
