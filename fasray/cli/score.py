"""``fasray score``: use a trained model on pictures and videos."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fasray.cli.addresses import ADDRESS, LOCAL
from fasray.errors import DataError
from fasray.names import printable

if TYPE_CHECKING:
    from fasray.faces.extraction.extract import Settings
    from fasray.inference.files import Prediction
    from fasray.inference.scorer import Scorer, Thresholds


@click.command()
@click.argument("checkpoint", type=ADDRESS)
@click.argument("files", type=LOCAL, nargs=-1, required=True, metavar="IMAGE_OR_VIDEO...")
@click.option("--step", type=int, help="Which checkpoint.  [default: the best by source-dev]")
@click.option("--frames", type=int, help="Frames of a video, evenly spaced.  [default: as the model's data]")
@click.option("--every", type=int, metavar="K", help="Every K-th frame instead.")
@click.option("--data", type=ADDRESS, metavar="URI", help="Face set whose preparation is used.  [default: the run's]")
@click.option("--image-size", type=int, help="Side of the crops, where no preparation is known.")
@click.option("--rotate", type=click.Choice(["0", "90", "180", "270"]), default="0", help="Clockwise, if not tagged.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--per-frame", is_flag=True, help="In the table, a line for each frame too.")
def score(
    checkpoint: str,
    files: tuple[str, ...],
    step: int | None,
    frames: int | None,
    every: int | None,
    data: str | None,
    image_size: int | None,
    rotate: str,
    style: str,
    per_frame: bool,
) -> None:
    """Score pictures and videos with the model of CHECKPOINT (the folder of a trial, or its checkpoint folder).

    Faces are found, cropped and compressed as in the preparation of the data that the model was trained on. Higher
    scores are more bona fide. The threshold is the EER of the model's own source-dev scores.
    """
    from fasray.faces.extraction.extract import Extractor
    from fasray.faces.extraction.frames import FrameRule
    from fasray.inference.files import predict
    from fasray.inference.preparation import settings_for
    from fasray.inference.scorer import Scorer
    from fasray.training.context import default_device

    scorer = Scorer.load(checkpoint, step, default_device())
    rule = None if frames is None and every is None else FrameRule(count=frames, every=every)
    settings = settings_for(
        scorer, data=data, image_size=image_size, frames=rule, note=lambda text: click.echo(f"note: {text}", err=True)
    )
    extractor = Extractor(settings, settings.read_models())
    thresholds = scorer.thresholds()
    found = [predict(path, extractor, scorer, turn_untagged=int(rotate)) for path in files]
    if style == "json":
        click.echo(json.dumps(_as_json(scorer, settings, thresholds, found), indent=1))
    else:
        _print(scorer, thresholds, found, per_frame)
    unreadable = [one.path for one in found if one.unreadable]
    if unreadable:
        where = printable(unreadable[0])
        raise DataError(f"{len(unreadable)} of {len(found)} files cannot be read", where=where)


def _as_json(
    scorer: Scorer, settings: Settings, thresholds: Thresholds | None, found: Iterable[Prediction]
) -> dict[str, Any]:
    trial = scorer.trial
    return {
        "checkpoint": scorer.uri,
        "trial": trial.id,
        "method": trial.method,
        "protocol": trial.protocol,
        "step": scorer.step,
        "preparation": settings.facts(),
        "threshold": {
            "rule": "source-dev-eer",
            "video": thresholds.video if thresholds else None,
            "frame": thresholds.frame if thresholds else None,
        },
        "files": [
            {
                "path": printable(one.path),
                "score": one.score,
                "decision": one.decision(thresholds),
                "frames": [{"frame": frame.frame, "score": frame.score} for frame in one.frames],
                "frames_without_face": one.misses,
                "remarks": list(one.remarks),
                "unreadable": one.unreadable or None,
            }
            for one in found
        ],
    }


def _print(scorer: Scorer, thresholds: Thresholds | None, found: Sequence[Prediction], per_frame: bool) -> None:
    names = [printable(one.path) for one in found]
    width = max(map(len, names))
    click.echo(f"{'file':<{width}}  {'score':>9}  decision   frames  without a face")
    for name, one in zip(names, found, strict=True):
        if one.unreadable:
            click.echo(f"{name:<{width}}  {'-':>9}  unreadable: {one.unreadable}")
            continue
        decision = one.decision(thresholds) or ("no face" if one.score is None else "-")
        click.echo(f"{name:<{width}}  {_number(one.score):>9}  {decision:<9}  {len(one.frames):>6}  {one.misses:>14}")
        for remark in one.remarks:
            click.echo(f"{'':<{width}}  note: {remark}")
        for frame in one.frames if per_frame else ():
            label = f"frame {frame.frame}"
            click.echo(f"{label:>{width}}  {_number(frame.score):>9}{'' if frame.score is not None else '  no face'}")
    trial = scorer.trial
    click.echo(f"{trial.method} trained on {'&'.join(scorer.domains)}, step {scorer.step}; higher is more bona fide")
    if thresholds is None:
        click.echo("no threshold: the score file of this step is not next to the checkpoint")
    else:
        click.echo(
            f"threshold of videos {thresholds.video:.4g}, of single pictures {thresholds.frame:.4g}: "
            "EER of the model's own source-dev scores"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"
