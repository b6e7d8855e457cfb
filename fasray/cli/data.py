"""``fasray data``: make, check, count and preview face sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE, OUT_FOLDER
from fasray.cli.corpora import corpora
from fasray.cli.prepare import prepare
from fasray.names import printable

if TYPE_CHECKING:
    from fasray.faces.sets.manifest import Manifest
    from fasray.faces.sets.overview import Preparation, Stats


@click.group()
def data() -> None:
    """Make, check and preview face sets (Parquet shards with a manifest)."""


data.add_command(prepare)
data.add_command(corpora)


@data.command()
@click.argument("out", type=OUT_FOLDER)
@click.option("--subjects", type=int, help="Subjects a domain.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of all randomness.")
@click.option("--dial", type=float, help="Difficulty: 0 is easy, 1 is hard.")
@click.option("--image-size", type=int, help="Side of the face crops in pixels.")
@click.option("--domains", help="Letters out of OCIM, or names separated by commas: SURF,CeFA,WMCA.")
@click.option("--attacks", help="Attack types out of print,replay,mask,partial,makeup, separated by commas.")
@click.option("--people", is_flag=True, help="Subjects have ethnicity, sex and age group, in looks and records.")
@click.option("--as", "corpus", help="Write videos in the layout of this corpus: oulu-npu, casia-fasd ...")
@click.option("--frames", type=int, help="With --as: frames a video.")
@click.option("--size", help="With --as: width and height of the videos, for example 320x240.")
@click.option("--processes", type=int, help="Worker processes; default: one per available core.")
def synth(
    out: str,
    subjects: int | None,
    seed: int | None,
    dial: float | None,
    image_size: int | None,
    domains: str | None,
    attacks: str | None,
    people: bool,
    corpus: str | None,
    frames: int | None,
    size: str | None,
    processes: int | None,
) -> None:
    """Generate a set of procedural faces and attacks at OUT (a folder or s3:// prefix).

    Without options this is the default set that 'data: synthetic' in a sweep file means. With --as it is a folder
    of videos with the names and folders of a published corpus, to try 'fasray data prepare' without a licence.
    """
    if corpus is not None:
        _refuse("with --as", image_size=image_size, domains=domains, attacks=attacks, people=people or None)
        _mimic(out, corpus, subjects, frames, seed, dial, size, processes)
        return
    _refuse("without --as", frames=frames, size=size)
    from fasray.faces.synthetic import DEFAULT, generate

    with _progress("subjects") as progress:
        manifest = generate(
            out,
            subjects=DEFAULT.subjects if subjects is None else subjects,
            seed=DEFAULT.seed if seed is None else seed,
            dial=DEFAULT.dial if dial is None else dial,
            image_size=DEFAULT.image_size if image_size is None else image_size,
            domains=DEFAULT.domains if domains is None else domains,
            attacks=DEFAULT.attacks if attacks is None else tuple(name.strip() for name in attacks.split(",")),
            people=people,
            processes=processes,
            progress=progress,
        )
    _say_written(out, manifest)


def _mimic(
    out: str,
    corpus: str,
    subjects: int | None,
    frames: int | None,
    seed: int | None,
    dial: float | None,
    size: str | None,
    processes: int | None,
) -> None:
    from fasray.faces import mimics
    from fasray.faces.synthetic import DEFAULT_DIAL, DEFAULT_SEED

    settings = mimics.MimicSettings(
        corpus=corpus,
        subjects=mimics.DEFAULT_SUBJECTS if subjects is None else subjects,
        frames=mimics.DEFAULT_FRAMES if frames is None else frames,
        seed=DEFAULT_SEED if seed is None else seed,
        size=mimics.DEFAULT_SIZE if size is None else _width_and_height(size),
        dial=DEFAULT_DIAL if dial is None else dial,
    )
    with _progress("videos") as progress:
        made = mimics.write(out, settings, processes=processes, progress=progress)
    made_of = f"{made.videos} generated videos of {made.subjects} subjects as {corpus}, {made.frames} frames"
    click.echo(f"{printable(out)}: {made_of}")


def _width_and_height(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        from fasray.errors import SpecError

        raise SpecError(f"{size!r} is not a size", where="--size", remedy="write width x height, for example 320x240")
    return int(width), int(height)


def _refuse(when: str, **given: object) -> None:
    """Refuse options that have no effect here, instead of ignoring them silently."""
    from fasray.errors import SpecError

    for name, value in given.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise SpecError(f"{option} has no effect {when}", where=option, remedy="leave it out")


@data.command()
@click.argument("uri", type=ADDRESS)
@click.option("--deep", is_flag=True, help="Also find people and pictures that domains or splits share.")
def verify(uri: str, deep: bool) -> None:
    """Check that the face set at URI is whole and unchanged; one line a finding, exit code 3 if there is any.

    Every image is decoded. --deep also names subjects that are in two domains, and frames of different domains or
    splits that look the same: no damage, but a comparison of such domains is worthless.
    """
    from fasray.errors import DataError
    from fasray.faces.sets.manifest import read_manifest
    from fasray.faces.sets.verify import verify as find

    with _progress("shards") as progress:
        findings = find(uri, progress, deep=deep)
    for finding in findings:
        click.echo(str(finding))
    if findings:
        count = "one finding" if len(findings) == 1 else f"{len(findings)} findings"
        remedy = "restore the files named above from a copy, or prepare the set again"
        if deep:
            remedy += "; leave shared people and videos out of one of the domains"
        raise DataError(f"the face set is not sound: {count}", where=uri, remedy=remedy)
    if deep:
        _note_differences(read_manifest(uri).card)
    click.echo(f"{printable(uri)}: sound")


@data.command()
@click.argument("uri", type=ADDRESS)
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def stats(uri: str, style: str) -> None:
    """Count subjects, videos and frames at URI by domain, split and attack type."""
    from fasray.faces.sets.manifest import read_manifest
    from fasray.faces.sets.overview import stats as count

    found = count(uri)
    if style == "json":
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        _print_table(found)
    _note_differences(read_manifest(uri).card, err=style == "json")


@data.command()
@click.argument("uri", type=ADDRESS)
@click.option("-o", "--output", type=OUT_FILE, required=True, help="Picture to write, .png or .jpg.")
@click.option("--columns", type=click.IntRange(1, 16), default=4, show_default=True, help="Faces in a row.")
def preview(uri: str, output: str, columns: int) -> None:
    """Draw a contact sheet of URI: faces of every domain and attack type with their depth and parsing maps."""
    from fasray.faces.sets.overview import contact_sheet, write_picture

    write_picture(output, contact_sheet(uri, columns))
    click.echo(printable(output))


@data.command()
@click.argument("uris", type=ADDRESS, metavar="SET SET...", nargs=-1, required=True)
@click.argument("out", type=OUT_FOLDER)
@click.option(
    "--allow-different-preparation",
    is_flag=True,
    help="Also join sets that differ in margin, frames, quality or detector.",
)
def merge(uris: tuple[str, ...], out: str, allow_different_preparation: bool) -> None:
    """Join face sets to one at OUT, for protocols over their domains: data merge faces/o faces/c faces/oc.

    The sets must have crops of the same size, be prepared alike, and share no video and no person. They stay as they
    are.
    """
    from fasray.faces.sets.merge import merge as join

    with _progress("shards") as progress:
        manifest = join(uris, out, progress, allow_different=allow_different_preparation)
    _note_differences(manifest.card)
    _say_written(out, manifest)


def _say_written(out: str, manifest: Manifest) -> None:
    shards = f"{len(manifest.shards)} shards, manifest {manifest.hash[:12]}"
    click.echo(f"{printable(out)}: {manifest.rows} faces in {shards}")


def _note_differences(card: Mapping[str, Any], *, err: bool = True) -> None:
    from fasray.faces.sets.preparations import differences

    for line in differences(card):
        click.echo(f"note: prepared differently: {line}", err=err)


def _print_table(found: Stats) -> None:
    from fasray.cli.tables import make_console, make_table

    table = make_table("domain", "split", "attack type", numbers=("subjects", "videos", "frames"))
    last = ""
    for row in found.counts:
        domain = row.domain if row.domain != last else ""
        last = row.domain
        table.add_row(domain, row.split, row.attack_type, str(row.subjects), str(row.videos), str(row.frames))
    console = make_console()
    console.print(table)
    size = found.bytes / 2**20
    console.print(
        f"{found.subjects} subjects, {found.videos} videos, {found.frames} frames of {found.image_size} px, "
        f"{found.cameras} cameras; {found.shards} shards, {size:.1f} MiB, manifest {found.hash[:12]}",
        soft_wrap=True,
    )
    for column in dict.fromkeys(group.column for group in found.groups):
        own = [group for group in found.groups if group.column == column]
        counts = [f"{printable(group.value) or 'unknown'} {group.subjects} ({group.videos} videos)" for group in own]
        console.print(f"{column}: {', '.join(counts)}", soft_wrap=True, markup=False)
    for line in _losses(found.preparation):
        console.print(line, soft_wrap=True)


def _losses(parts: tuple[Preparation, ...]) -> Iterator[str]:
    """Yield a line a corpus, and under it one for each part of it that lost anything."""
    for corpus in dict.fromkeys(part.corpus for part in parts):
        own = [part for part in parts if part.corpus == corpus]
        yield f"{corpus}: {_lost(own)}"
        for part in own:
            if part.unreadable or part.without_face or part.misses:
                of = " ".join(filter(None, (printable(part.domain), part.split, part.attack_type)))
                yield f"  {of}: {_lost([part])}"


def _lost(parts: list[Preparation]) -> str:
    videos, unreadable = sum(part.videos for part in parts), sum(part.unreadable for part in parts)
    frames, misses = sum(part.frames for part in parts), sum(part.misses for part in parts)
    without = sum(part.without_face for part in parts)
    shown = f"of {videos} videos {unreadable} unreadable, {without} without a face"
    return f"{shown}; of {frames} frames {misses} without a face"


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback that draws a bar on a terminal, or None where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(unit, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
