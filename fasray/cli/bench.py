"""``fasray bench``: measured ratios against named baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS, OUT_FOLDER
from fasray.cli.lines import Lines, say
from fasray.cli.tables import make_console, make_table
from fasray.errors import RunFailedError

if TYPE_CHECKING:
    from fasray.bench.gpu.record import Record
    from fasray.bench.measurement import Benchmark
    from fasray.bench.training import TrainingBenchmark

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
_VERBOSE = click.option("-v", "--verbose", is_flag=True, help="Show Ray's own messages.")

_VIDEOS = click.option("--videos", type=click.IntRange(0, 280), default=96, show_default=True, help="To prepare.")


@click.group()
def bench() -> None:
    """Measure ratios against named baselines, both sides in the same run on this machine."""


@bench.command()
@click.option("--data", "uri", type=ADDRESS, default="synthetic", show_default=True, help="Shards, or 'synthetic'.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True)
@click.option("--repetitions", type=click.IntRange(1, 100), default=3, show_default=True)
@_VIDEOS
@_JSON
@_VERBOSE
def data(uri: str, seconds: float, repetitions: int, videos: int, as_json: bool, verbose: bool) -> None:
    """Images a second from the pool, compared with decoding the same batches and with a torch DataLoader.

    Then frames a second of preparing videos, as `bench prepare` measures them.
    """
    from fasray.bench.batches import measure_batches
    from fasray.bench.preparation import measure_preparation
    from fasray.faces.data_source import resolve_dataset

    found = measure_batches(resolve_dataset(uri, Lines().on_generate), seconds, repetitions, say, verbose)
    prepared = measure_preparation(videos, repetitions, say, verbose) if videos else None
    if as_json:
        more = {"preparation": prepared.to_json()} if prepared else {}
        click.echo(json.dumps(found.to_json() | more, indent=1))
        return
    _print(found, as_json)
    if prepared:
        click.echo()
        _print(prepared, as_json)


@bench.command()
@_VIDEOS
@click.option("--repetitions", type=click.IntRange(1, 100), default=3, show_default=True)
@_JSON
@_VERBOSE
def prepare(videos: int, repetitions: int, as_json: bool, verbose: bool) -> None:
    """Frames a CPU second of preparing videos: stage by stage, and the whole compared with the sum of its stages."""
    from fasray.bench.preparation import measure_preparation

    _print(measure_preparation(max(videos, 16), repetitions, say, verbose), as_json)


@bench.command()
@click.option("--warm", type=click.IntRange(1, 100), default=15, show_default=True, help="Trials in a reused actor.")
@click.option("--fresh", type=click.IntRange(1, 100), default=4, show_default=True, help="Trials in fresh actors.")
@click.option("--trainers", type=click.IntRange(1, 100), default=2, show_default=True, help="Trials in TorchTrainers.")
@click.option("--profile", default="quick", show_default=True, help="Decides the size of the networks.")
@_JSON
@_VERBOSE
def sweep(warm: int, fresh: int, trainers: int, profile: str, as_json: bool, verbose: bool) -> None:
    """Seconds from starting a trial to its first step: in a reused actor, a fresh one, a TorchTrainer."""
    from fasray.bench.starts import measure_starts

    _print(measure_starts(warm, fresh, trainers, profile, say, verbose), as_json)


@bench.command()
@click.option("--trials", type=click.IntRange(24), default=300, show_default=True, help="Of all cells together.")
@click.option("--cells", type=click.IntRange(1, 12), default=12, show_default=True)
@_JSON
@_VERBOSE
def engine(trials: int, cells: int, as_json: bool, verbose: bool) -> None:
    """Seconds that the engine takes for a trial: a sweep of a method that does nothing, after a warm-up.

    All trials that run at once share these seconds. Also reports how much the driver's memory grows.
    """
    from fasray.bench.engine import measure_engine

    _print(measure_engine(trials, cells, say, verbose), as_json)


@bench.command()
@click.option("--trials", type=click.IntRange(12), default=10_000, show_default=True, help="Of all cells together.")
@click.option("--evaluations", type=click.IntRange(1, 1000), default=20, show_default=True, help="Of each trial.")
@click.option("--cells", type=click.IntRange(1, 12), default=12, show_default=True)
@click.option("--repetitions", type=click.IntRange(1, 100), default=3, show_default=True)
@_JSON
def ledger(trials: int, evaluations: int, cells: int, repetitions: int, as_json: bool) -> None:
    """Seconds to list, to resume and to tabulate a long finished run; its scores are synthetic.

    The run takes 4 KiB of the temporary folder for each evaluation.
    """
    from fasray.bench.ledger import measure_ledger

    _print(measure_ledger(trials, evaluations, cells, repetitions, say), as_json)


@bench.command()
@click.option("--methods", multiple=True, help="Names, with commas or repeated; all if left out.")
@click.option("--profile", default="small", show_default=True, help="Size of networks and batches.")
@click.option("--image-size", type=int, help="Pixels, in place of the profile's.")
@click.option("--width", type=float, help="Channel multiplier, in place of the profile's.")
@click.option("--images", type=int, help="Images per group or batch, in place of the method's own.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True, help="Of ours.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="CPU threads of both.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=2.0, show_default=True)
@click.option("--repetitions", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--scored", type=click.IntRange(1), default=1000, show_default=True, help="Images of an evaluation.")
@_JSON
def train(
    methods: tuple[str, ...],
    profile: str,
    image_size: int | None,
    width: float | None,
    images: int | None,
    precision: str,
    device: str,
    threads: int,
    seconds: float,
    repetitions: int,
    scored: int,
    as_json: bool,
) -> None:
    """Images a second and memory of each method, next to a plain fp32 NCHW loop of the same mathematics.

    Also the share of a step outside networks and losses, and the share of a trial's time that evaluating takes.
    """
    from fasray.bench.training import measure_training

    given = {"profile": profile, "image_size": image_size, "width": width, "images": images, "precision": precision}
    found = measure_training(
        _names(methods),
        {key: value for key, value in given.items() if value is not None},
        seconds=seconds, repetitions=repetitions, device=device, threads=threads, scored=scored, say=say,
    )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        _print_training(found)


def _print_training(found: TrainingBenchmark) -> None:
    """Print one line a method: speeds and memory of both loops with their ratios, and shares of ours."""
    both = ("plain", "ratio")
    table = make_table("method", numbers=("train/s", *both, "score/s", *both, "MiB", *both, "outside", "evaluating"))
    for row in found.rows:
        ours, plain = row.ours, row.plain
        table.add_row(
            row.method, _number(ours.median), _number(plain.median), f"x {row.speed_ratio:.2f}",
            _number(ours.scoring), _number(plain.scoring), f"x {row.scoring_ratio:.2f}",
            _number(ours.peak_bytes / 2**20), _number(plain.peak_bytes / 2**20), f"x {row.memory_ratio:.2f}",
            f"{sum(row.outside.values()):.1%}", f"{row.evaluation_share:.0%}",
        )  # fmt: skip
    make_console().print(table)
    click.echo("plain: images converted to float one by one on the host, NCHW, fp32, every log read at every step")
    click.echo(f"MiB: {found.memory}")
    click.echo("outside: share of a step of ours outside networks and losses: making the batch, optimizer, logs")
    click.echo("evaluating: share of a trial's time at these speeds")
    _print_facts(found.facts)


@bench.command()
@click.option("--method", default="erm", show_default=True, help="Name of one method.")
@click.option("--profile", default="small", show_default=True, help="Size of networks and batches.")
@click.option("--image-size", type=int, help="Pixels, in place of the profile's.")
@click.option("--images", type=int, help="Images per group or batch, in place of the method's own.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--at-once", type=click.IntRange(2, 16), default=4, show_default=True, help="Most trials at once.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=2.0, show_default=True)
@click.option("--repetitions", type=click.IntRange(1, 100), default=3, show_default=True)
@_JSON
def pack(
    method: str,
    profile: str,
    image_size: int | None,
    images: int | None,
    precision: str,
    device: str,
    at_once: int,
    seconds: float,
    repetitions: int,
    as_json: bool,
) -> None:
    """Images a second of several trials at once on one device, compared with one after the other.

    Each trial is a process, as in a sweep: on a GPU they share the card, on CPUs the cores.
    """
    from fasray.bench.pack import measure_pack

    given = {"profile": profile, "image_size": image_size, "images": images, "precision": precision}
    training = {key: value for key, value in given.items() if value is not None}
    found = measure_pack(
        method, training, most=at_once, seconds=seconds, repetitions=repetitions, device=device, say=say
    )
    _print(found, as_json)


@bench.command("gpu-check")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=8.0, show_default=True, help="Allowed.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--methods", multiple=True, help="Names, with commas or repeated; all if left out.")
@click.option("--parts", multiple=True, help="Names, with commas or repeated; all if left out.")
@click.option("--out", type=OUT_FOLDER, default="gpu-check", show_default=True, help="Folder.")
def check_gpu(minutes: float, device: str, methods: tuple[str, ...], parts: tuple[str, ...], out: str) -> None:
    """Check a GPU by itself: right numbers, speed, memory, waiting, what each setting brings; no Ray, no network.

    Writes gpu-check.json and a page, gpu-check.md, after every step, so that stopping it loses nothing. With --device
    cpu it is a miniature of itself. Exit code 5 if the device computes wrong numbers.
    """
    from fasray.bench.gpu.command import gpu_check

    record = gpu_check(Path(out), minutes=minutes, device=device, methods=_names(methods), parts=_names(parts), say=say)
    _finish_check(record, Path(out))


@bench.command("gpu-check-ray")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=12.0, show_default=True, help="Allowed."
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--methods", multiple=True, help="Names, with commas or repeated; all if left out.")
@click.option("--out", type=OUT_FOLDER, default="gpu-check", show_default=True, help="Folder.")
def check_gpu_through_ray(minutes: float, device: str, methods: tuple[str, ...], out: str) -> None:
    """Check a GPU under whole sweeps: how busy it is, what sharing it brings, killing and resuming.

    On generated faces, through a Ray of its own with one GPU. Writes gpu-check-ray.json and gpu-check-ray.md. With
    --device cpu it is a miniature of itself. Exit code 5 if a sweep fails or a resumed table differs.
    """
    from fasray.bench.gpu.ray_command import gpu_check_ray

    _finish_check(gpu_check_ray(Path(out), minutes=minutes, device=device, methods=_names(methods), say=say), Path(out))


def _finish_check(record: Record, folder: Path) -> None:
    """Print the page; fail if something is wrong."""
    page = folder / f"{record.check}.md"
    click.echo(page.read_text(encoding="utf-8"))
    if record.wrong:
        raise RunFailedError(
            f"{len(record.wrong)} results on this device are wrong, the first: {record.wrong[0]}",
            where=str(page),
            remedy="train nothing on it before they are explained; please report them with the .json file",
        )


def _names(texts: tuple[str, ...]) -> list[str]:
    return [name.strip() for text in texts for name in text.split(",")]


@bench.command()
@click.option("--scores", type=click.IntRange(100), default=50_000, show_default=True, help="Of the figures.")
@click.option("--videos", type=click.IntRange(100), default=5_000, show_default=True, help="Of the intervals.")
@click.option("--resamples", type=click.IntRange(100), default=1_000, show_default=True)
@click.option("--repetitions", type=click.IntRange(1, 100), default=5, show_default=True)
@_JSON
def metrics(scores: int, videos: int, resamples: int, repetitions: int, as_json: bool) -> None:
    """Seconds for all figures of a score set, compared with SSDG's loop over thresholds; seconds for intervals."""
    from fasray.bench.metrics import measure_metrics

    _print(measure_metrics(scores, videos, resamples, repetitions, say), as_json)


def _print(found: Benchmark, as_json: bool) -> None:
    """Print a benchmark as a table with medians and ratios, or as JSON."""
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
        return
    table = make_table(f"in {found.unit}", numbers=("median", "least", "most", "n", "ratio"))
    for row in found.rows:
        numbers = (row.median, min(row.values), max(row.values))
        ratio = f"x {found.advantage(row):.1f}" if row.baseline else ""
        table.add_row(row.title, *map(_number, numbers), str(len(row.values)), ratio)
    make_console().print(table)
    if any(row.baseline for row in found.rows):
        click.echo("x n: the first line is n times faster than this one")
    _print_facts(found.facts)


def _print_facts(facts: Mapping[str, str | int | float]) -> None:
    click.echo(", ".join(f"{key.replace('_', ' ')} {_fact(value)}" for key, value in facts.items()))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3f}"


def _fact(value: str | int | float) -> str:
    return _number(value) if isinstance(value, float) else str(value)
