"""``fasray export``: a trained model as an ONNX file."""

from __future__ import annotations

import click

from fasray.cli.addresses import ADDRESS, OUT_FILE
from fasray.names import printable


@click.command()
@click.argument("checkpoint", type=ADDRESS)
@click.option("-o", "--output", type=OUT_FILE, required=True, metavar="MODEL.onnx", help="File to write.")
@click.option("--step", type=int, help="Which checkpoint.  [default: the best by source-dev]")
def export(checkpoint: str, output: str, step: int | None) -> None:
    """Write the model of CHECKPOINT (the folder of a trial, or its checkpoint folder) as ONNX.

    The scores are compared with torch's before anything is written. The file's metadata describe preparation, direction
    of the score and thresholds.
    """
    from fasray.inference.onnx import export_checkpoint
    from fasray.storage import write_bytes

    found = export_checkpoint(checkpoint, step)
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
