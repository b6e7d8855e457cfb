"""``fasray data prepare``: from the videos of a corpus to face shards."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import LOCAL, OUT_FILE, OUT_FOLDER
from fasray.errors import DataError, SpecError
from fasray.execution.signals import interruptible
from fasray.names import printable

if TYPE_CHECKING:
    from fasray.faces.corpora import Corpus
    from fasray.ingest.chunks import PreparationPlan
    from fasray.ingest.prepare import PreparationProgress
    from fasray.ingest.summary import PreparationResult

_SECONDS_BETWEEN_LINES = 15.0
_SHOWN = 20
_SAVED = "stopped on request; every chunk that was done is kept"


@click.command()
@click.argument("corpus")
@click.argument("source", type=LOCAL, metavar="SRC")
@click.argument("out", type=OUT_FOLDER)
@click.option("--frames", type=int, help="Frames of a video, evenly spaced.  [default: 10]")
@click.option("--every", type=int, metavar="K", help="Every K-th frame instead.")
@click.option("--image-size", type=int, default=256, show_default=True, help="Side of the face crops, pixels.")
@click.option("--quality", type=int, default=95, show_default=True, help="JPEG quality of the crops.")
@click.option("--margin", type=float, default=1.35, show_default=True, help="Side of the crop, in face meshes.")
@click.option("--detector", default="mesh468", show_default=True, help="What finds the faces: mesh468 or module:NAME.")
@click.option(
    "--cropped",
    is_flag=False,
    flag_value="whole",
    default="",
    metavar="[detect]",
    help="Of faces that come cut out: use them as they are, or with 'detect' find the face inside.",
)
@click.option("--pattern", "patterns", multiple=True, help="Of folders: how a path is read. May be repeated.")
@click.option("--domain", default="", metavar="NAME", help="Of folders: the domain, if no pattern says it.")
@click.option("--label", "labels", multiple=True, metavar="WORD=live|attack|...", help="Of folders: what a word means.")
@click.option("--letter", "letters", multiple=True, metavar="NAME=LETTER", help="Of folders: a domain's short name.")
@click.option("--unmatched", type=OUT_FILE, metavar="FILE", help="Of folders: write what no pattern fits.")
@click.option("--try", "tried", type=click.IntRange(min=1), metavar="N", help="Look at N videos only; write a picture.")
@click.option("--shard-rows", type=int, default=512, show_default=True, help="About how many faces a shard has.")
@click.option("--workers", type=click.IntRange(min=1), help="Detectors at work.  [default: one a core]")
@click.option("--strict", is_flag=True, help="Leave with exit code 3 if a video is missing or cannot be read.")
@click.option("-v", "--verbose", is_flag=True, help="Show Ray's own messages.")
def prepare(
    corpus: str,
    source: str,
    out: str,
    frames: int | None,
    every: int | None,
    image_size: int,
    quality: int,
    margin: float,
    detector: str,
    cropped: str,
    patterns: tuple[str, ...],
    domain: str,
    labels: tuple[str, ...],
    letters: tuple[str, ...],
    unmatched: str | None,
    tried: int | None,
    shard_rows: int,
    workers: int | None,
    strict: bool,
    verbose: bool,
) -> None:
    """Find, crop and label the faces in the videos of CORPUS in the folder SRC; write shards to OUT.

    OUT is a folder or an s3:// prefix. The same command resumes an interrupted one. Frames without a face
    and files that cannot be used are counted and listed next to the shards (misses.csv, problems.csv).

    CORPUS 'folders' is any tree, read by patterns: --pattern '{domain}/{label}/{subject}_*.jpg'. With --try 20,
    twenty videos are looked at and their faces drawn as OUT-try.png; no set is written.
    """
    from fasray import storage
    from fasray.faces.extraction.extract import Settings
    from fasray.faces.extraction.frames import FrameRule
    from fasray.ingest.chunks import make_plan

    rule = FrameRule(count=10 if frames is None and every is None else frames, every=every)
    settings = Settings(rule, image_size, quality, margin, detector, cropped)
    settings.read_models()  # a missing model is reported before anything is read
    adapter = _adapter(corpus, patterns, domain, labels, letters, unmatched)
    plan = make_plan(adapter, source, settings, shard_rows)
    click.echo(plan.findings.summary(), err=True)
    _listed(plan.findings.lines(), "findings")
    if unmatched is not None:
        lines = "".join(f"{path}\n" for path in plan.findings.extra)
        storage.write_bytes(storage.absolute(unmatched), lines.encode())
    if tried is not None:
        _try(plan, out, tried)
        return
    with interruptible(out, _SAVED):
        found = _prepare(plan, storage.absolute(out), workers, verbose)
    _tell(found, out)
    if strict and not found.clean:
        raise DataError(
            "the corpus is not whole, or not every video can be read (--strict)",
            where=source,
            remedy=f"fix the files listed above; what can be used of them is in {out}",
        )


def _adapter(
    corpus: str,
    patterns: tuple[str, ...],
    domain: str,
    labels: tuple[str, ...],
    letters: tuple[str, ...],
    unmatched: str | None,
) -> Corpus:
    """Return the adapter of a corpus, with the rules of ``folders``."""
    from fasray.faces.corpora import get
    from fasray.faces.corpora.folders import FolderRules, Folders

    given = {
        "--pattern": patterns, "--domain": domain, "--label": labels, "--letter": letters, "--unmatched": unmatched,
    }  # fmt: skip
    if corpus == Folders.name:
        return Folders(FolderRules(patterns, _pairs("--label", labels), domain, _pairs("--letter", letters)))
    option = next((option for option, value in given.items() if value), None)
    if option is not None:
        what = f"the names of {corpus} are known, so there is nothing to say of them"
        raise SpecError(what, where=option, remedy=f"leave it out, or prepare '{Folders.name}'")
    return get(corpus)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, sign, value = text.rpartition("=")
        if not (sign and name and value):
            raise SpecError(f"{text!r} is not of the form NAME=VALUE", where=option)
        pairs[name] = value
    return pairs


def _try(plan: PreparationPlan, out: str, count: int) -> None:
    """Look at some videos, print what is found and draw it."""
    from fasray.cli.tables import make_console, make_table
    from fasray.faces.sets.overview import write_picture
    from fasray.ingest.preview import look_at, sheet, spread
    from fasray.storage import is_remote

    if is_remote(out):
        raise SpecError("--try writes a picture to a local disk", where=out, remedy="name a local OUT")
    looks = list(look_at(plan, spread(plan.videos, count)))
    table = make_table("video", "domain", "split", "attack type", "remarks", numbers=("frames", "faces"))
    for look in looks:
        video, remarks = look.video, "; ".join(filter(None, (look.unreadable, *look.remarks)))
        table.add_row(
            printable(video.path),
            video.domain,
            video.split,
            video.attack_type,
            remarks,
            str(look.frames),
            str(look.faces),
        )
    make_console().print(table)
    picture = out if out.lower().endswith((".png", ".jpg")) else f"{out}-try.png"
    os.makedirs(os.path.dirname(os.path.abspath(picture)), exist_ok=True)
    write_picture(picture, sheet(looks))
    found = sum(look.faces > 0 for look in looks)
    click.echo(f"a face in {found} of {len(looks)} videos; {printable(picture)} shows them; no set was written")


def _prepare(plan: PreparationPlan, out: str, workers: int | None, verbose: bool) -> PreparationResult:
    from fasray.execution.ray_session import ray_session
    from fasray.ingest.summary import outcome
    from fasray.ingest.worklog import Worklog

    log = Worklog.open(out, plan)
    if log.finished is not None:
        click.echo("this preparation is done already", err=True)
        return outcome(plan, log.finished)
    if log.done:
        click.echo(f"going on: {len(log.done)} of {len(plan.chunks())} chunks are done", err=True)
    with ray_session(verbose):
        from fasray.ingest.prepare import prepare as run  # imports Ray, which reads its settings from the session
        from fasray.ingest.ray_data import check_nodes

        check_nodes()
        with _showing() as show:
            return run(plan, log, actors=workers, on_progress=show)


def _tell(found: PreparationResult, out: str) -> None:
    from fasray.cli.tables import make_console, make_table

    counted = ("videos", "unreadable", "without a face", "frames", "frames without a face")
    table = make_table("domain", "split", "attack type", numbers=counted)
    for counts in found.counts:
        numbers = (counts.videos, counts.unreadable, counts.without_face, counts.frames, counts.misses)
        table.add_row(printable(counts.domain), counts.split, counts.attack_type, *map(str, numbers))
    make_console().print(table)
    lines = [f"{problem.kind}: {problem.path}: {problem.reason}" for problem in found.problems]
    _listed(lines, "problems, see problems.csv")
    manifest = found.manifest
    click.echo(
        f"{printable(out)}: {manifest.rows} faces in {len(manifest.shards)} shards, manifest {manifest.hash[:12]}"
    )


def _listed(lines: list[str], what: str) -> None:
    for line in lines[:_SHOWN]:
        click.echo(line, err=True)
    if len(lines) > _SHOWN:
        click.echo(f"... and {len(lines) - _SHOWN} more {what}", err=True)


@contextmanager
def _showing() -> Iterator[Callable[[PreparationProgress], None]]:
    """Show videos done, rate and time left: a bar on a terminal, else a line every 15 s."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    rate = _Rate()
    if not sys.stderr.isatty():
        yield lambda progress: rate.line(progress, console.print)
        return
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, rate="")
        yield lambda progress: bar.update(
            task, completed=progress.videos, total=progress.of_videos, rate=rate.text(progress)
        )


class _Rate:
    """Frames a second and time left of this attempt, from its first result on."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first: PreparationProgress | None = None
        self._last_line = 0.0

    def text(self, progress: PreparationProgress) -> str:
        """Return rate and misses as text."""
        if self._first is None:
            self._first, self._began = progress, time.monotonic()
        misses = progress.frames - progress.faces
        return f"{self._per_second(progress.frames - self._first.frames):.1f} frames/s, {misses} without a face"

    def line(self, progress: PreparationProgress, write: Callable[[str], None]) -> None:
        """Write a line if the last one was long ago, or everything is done."""
        from fasray.cli.terminal import duration

        text, now = self.text(progress), time.monotonic()
        if progress.videos < progress.of_videos and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        assert self._first is not None  # noqa: S101 - text() has set it
        videos = self._per_second(progress.videos - self._first.videos)
        left = duration((progress.of_videos - progress.videos) / videos if videos else None)
        write(f"videos: {progress.videos} of {progress.of_videos}, {text}, time left: {left}")

    def _per_second(self, count: int) -> float:
        elapsed = time.monotonic() - self._began
        return count / elapsed if elapsed > 0 else 0.0
