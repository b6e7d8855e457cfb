"""``fasray weights``: convert published weights, and say what a file, a sweep or a run starts from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE
from fasray.cli.tables import make_console, make_table
from fasray.names import printable

if TYPE_CHECKING:
    from fasray.nets.weight_files.convert import Recognised

_WIDTH = click.option(
    "--width",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of the file's network, as training.width has it.",
)


@click.group()
def weights() -> None:
    """Initial weights of backbones: convert published files, and show what there is. Nothing is downloaded."""


@weights.command()
@click.argument("file", type=ADDRESS)
@click.argument("out", type=OUT_FILE)
@click.option("--architecture", metavar="NAME", default="", help="Accept no other.  [default: the one that fits]")
@_WIDTH
def convert(file: str, out: str, architecture: str, width: float) -> None:
    """Write the weights in FILE as OUT (.safetensors), with the names of fasray's networks.

    FILE is of OpenAI (TorchScript), open_clip, Hugging Face, Meta's DINOv2, timm or torchvision; which one, and of what
    architecture, follows from its tensors. Nothing in it is run. A file that is damaged, incomplete or of another
    architecture is refused, and OUT is not written.
    """
    from fasray.nets.weight_files.convert import convert as convert_file

    found = convert_file(file, out, architecture, width)
    click.echo(f"{printable(out)}: {found.architecture}, {found.parameters:,} parameters, format {found.format}")
    click.echo(f"source sha256 {found.source_sha256}")
    if found.note:
        click.echo(f"note: {found.note}", err=True)
    click.echo(f"in a sweep file: training: {{backbone_weights: {{{found.architecture}: {printable(out)}}}}}")


@weights.command(name="list")
@click.argument("place", type=ADDRESS, required=False, metavar="[FILE|SWEEP.yaml|RUN]")
@_WIDTH
def list_weights(place: str | None, width: float) -> None:
    """List the architectures that take weights by path, and published files that fit.

    With a weights FILE: what it is. With a SWEEP.yaml: what each method starts from. With the folder of a RUN: what its
    trials started from.
    """
    if place is None:
        _print_architectures()
    elif place.endswith((".yaml", ".yml")):
        _print_sweep(place)
    elif _is_run(place):
        _print_run(place)
    else:
        _print_file(place, width)


def _is_run(place: str) -> bool:
    from fasray import storage
    from fasray.runs.layout import SPEC_FILE

    return storage.exists(storage.join(place, SPEC_FILE))


def _print_architectures() -> None:
    from fasray.nets.weight_files import architectures

    table = make_table("architecture", "family", "published files that fit", numbers=("parameters",))
    for name in architectures.names():
        files = architectures.known_files(name) or ("",)
        parameters = architectures.parameters(architectures.tensors_of(name))
        table.add_row(name, architectures.family(name), files[0], f"{parameters:,}")
        for more in files[1:]:
            table.add_row("", "", more, "")
    console = make_console()
    console.print(table)
    console.print("Download a file from its publisher, then: fasray weights convert FILE OUT.safetensors", markup=False)


def _print_sweep(place: str) -> None:
    from fasray.sweep.auto import resolve_auto
    from fasray.sweep.sweep_file import load_sweep
    from fasray.sweep.weights import weights_by_architecture

    spec = resolve_auto(load_sweep(place), has_gpus=False, environ=os.environ).spec  # of weights it decides nothing
    table = make_table("method", "architecture", "weights")
    for method in spec.methods:
        training = spec.training_of(method)
        space, ablations = spec.space(method), spec.ablations(method)
        for architecture, address in weights_by_architecture(method, spec.config(method), space, ablations, training):
            table.add_row(method, architecture, printable(address))
    make_console().print(table)


def _print_run(place: str) -> None:
    from fasray.runs.weights import read_weights

    found = read_weights(place)
    if not found:
        click.echo("no initial weights are on record: its trials start from random values, or the run is an old one")
        return
    table = make_table("method", "architecture", "weights", "SHA-256")
    for entry in found.values():
        table.add_row(entry.method, entry.architecture, printable(entry.weights), entry.sha256 or "not recorded")
    make_console().print(table)


def _print_file(place: str, width: float) -> None:
    from fasray.nets.weight_files.convert import recognise

    found = recognise(place, width=width)
    for key, value in _facts(found).items():
        click.echo(f"{key:<13} {value}")
    if found.note:
        click.echo(f"note: {found.note}", err=True)


def _facts(found: Recognised) -> dict[str, str]:
    converted = found.source_sha256 != found.file.sha256
    types = sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.file.tensors.values()})
    return {
        "file": printable(found.file.where),
        "architecture": found.architecture,
        "format": f"{found.format}, {found.file.container}",
        "tensors": f"{len(found.file.tensors)} of {', '.join(types)}; {found.parameters:,} parameters of the network",
        "sha256": found.file.sha256,
        **({"made from": f"a file of sha256 {found.source_sha256}"} if converted else {}),
        "to use it": "as it is" if found.as_it_is else "fasray weights convert FILE OUT.safetensors",
    }
