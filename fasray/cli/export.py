"""``fasray export``: a trained model as an ONNX file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE
from fasray.errors import SpecError
from fasray.names import printable

if TYPE_CHECKING:
    from fasray.faces.loading.pool import FacePool
    from fasray.inference.scorer import Scorer


@click.command()
@click.argument("checkpoint", type=ADDRESS)
@click.option("-o", "--output", type=OUT_FILE, required=True, metavar="MODEL.onnx", help="File to write.")
@click.option("--step", type=int, help="Which checkpoint.  [default: the best by source-dev]")
@click.option("--opset", type=int, metavar="N", help="Operators of this version, for older runtimes.")
@click.option("--int8", is_flag=True, help="8-bit arithmetic; ranges and thresholds from source-dev faces.")
@click.option("--data", type=ADDRESS, metavar="URI", help="With --int8: the model's face set.  [default: the run's]")
def export(checkpoint: str, output: str, step: int | None, opset: int | None, int8: bool, data: str | None) -> None:
    """Write the model of CHECKPOINT (the folder of a trial, or its checkpoint folder) as ONNX.

    The scores are compared with torch's before anything is written. The file's metadata describe preparation, direction
    of the score and thresholds.
    """
    from fasray.inference.int8 import quantise
    from fasray.inference.onnx import export_scorer, require
    from fasray.inference.scorer import Scorer
    from fasray.storage import write_bytes

    if data is not None and not int8:
        raise SpecError("only an int8 model needs faces", where="--data", remedy="add --int8, or leave it out")
    require()
    scorer = Scorer.load(checkpoint, step)
    pool = _faces(scorer, data) if int8 else None  # before anything is exported
    found = export_scorer(scorer, opset=opset)
    if pool is not None:
        found = quantise(found, scorer, pool)
    write_bytes(output, found.content)
    model, size = found.metadata["model"], found.metadata["input"]["size"]
    click.echo(f"{printable(output)}: {model['method']} of trial {model['trial']}, step {model['step']}")
    click.echo(f"input images [batch, 3, {size}, {size}], RGB in [0, 1]; output score [batch], higher = more bona fide")
    if found.metadata["preparation"] is None:
        click.echo("no preparation: the run does not record one, or its data were prepared in different ways")
    threshold = found.metadata["output"]["threshold"]
    if threshold is None:
        click.echo("no threshold: the score file of this step is not next to the checkpoint")
    else:
        click.echo(f"threshold of videos {threshold['video']:.4g}, of single pictures {threshold['frame']:.4g}: "
                   "EER of source-dev")  # fmt: skip
    click.echo(f"differs from torch by at most {found.difference:.1e} over {found.images} images")
    for role in ("source-dev", "target"):
        if change := found.metadata.get("int8", {}).get(role):
            click.echo(_line(role, change))


def _faces(scorer: Scorer, data: str | None) -> FacePool:
    """Return the faces that the model was trained on."""
    from pydantic import TypeAdapter

    from fasray.execution.listener import Listener
    from fasray.execution.one_trial import open_local_pool
    from fasray.faces.data_source import SyntheticChoice, resolve_dataset
    from fasray.inference.int8 import check_faces
    from fasray.runs.record import read_head

    named = data or TypeAdapter(str | SyntheticChoice).validate_python(read_head(scorer.run).spec["data"])
    dataset = resolve_dataset(named)
    check_faces(scorer, dataset.manifest.hash)
    return open_local_pool(dataset, Listener())


def _line(role: str, change: dict[str, Any]) -> str:
    return (
        f"int8 on {role}: scores of frames differ by {change['mean_difference']:.2g} on average and at most "
        f"{change['largest_difference']:.2g}; {change['decisions_changed']} of {change['videos']} videos decided "
        f"otherwise; HTER {100 * change['hter_before']:.2f} -> {100 * change['hter_after']:.2f} %"
    )
