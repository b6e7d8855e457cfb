"""``fasray score``: use a trained model on pictures and videos."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fasray.errors import DataError, SpecError

if TYPE_CHECKING:
    from fasray.faces.extraction.extract import Settings
    from fasray.inference.files import Judged, Thresholds
    from fasray.inference.scorer import Scorer


@click.command()
@click.argument("checkpoint")
@click.argument("files", nargs=-1, required=True, metavar="IMAGE_OR_VIDEO...")
@click.option("--step", type=int, help="Which checkpoint.  [default: the best by source-dev]")
@click.option("--frames", type=int, help="Frames of a video, evenly spaced.  [default: as the model's data]")
@click.option("--every", type=int, metavar="K", help="Every K-th frame instead.")
@click.option("--data", metavar="URI", help="Face set whose preparation is used.  [default: the run's]")
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
    import torch

    from fasray.faces.extraction.extract import Extractor
    from fasray.inference.files import judge
    from fasray.inference.scorer import Scorer

    scorer = Scorer.load(checkpoint, step, "cuda" if torch.cuda.is_available() else "cpu")
    settings = _settings(scorer, data, image_size, frames, every)
    extractor = Extractor(settings, settings.read_models())
    thresholds = _thresholds(scorer)
    judged = [judge(path, extractor, scorer, turn_untagged=int(rotate)) for path in files]
    if style == "json":
        click.echo(json.dumps(_as_json(scorer, settings, thresholds, judged), indent=1))
    else:
        _print(scorer, thresholds, judged, per_frame)
    unreadable = [one.path for one in judged if one.unreadable]
    if unreadable:
        raise DataError(f"{len(unreadable)} of {len(judged)} files cannot be read", where=unreadable[0])


def _settings(
    scorer: Scorer, data: str | None, image_size: int | None, frames: int | None, every: int | None
) -> Settings:
    """Return how faces are cut out: as for the model's data where that is known."""
    from dataclasses import replace

    from fasray.faces.extraction.extract import Settings
    from fasray.faces.extraction.frames import FrameRule

    settings = _of_data(scorer, data)
    if settings is None:
        if image_size is None:
            raise SpecError(
                "how the model's data were prepared is not known here",
                where=scorer.uri,
                remedy="name the face set with --data, or the side of its crops with --image-size",
            )
        settings = Settings(image_size=image_size)
    elif image_size is not None and image_size != settings.image_size:
        raise SpecError(
            f"the model's data have crops of {settings.image_size} px", where="--image-size", remedy="leave it out"
        )
    if frames is not None or every is not None:
        settings = replace(settings, rule=FrameRule(count=frames, every=every))
    return settings


def _of_data(scorer: Scorer, data: str | None) -> Settings | None:
    """Return the preparation told by the card of the data: a set that is named, or what the run noted of its own."""
    from fasray import storage
    from fasray.faces.sets.manifest import read_manifest
    from fasray.runs.layout import DATA_FILE

    if data is not None:
        manifest = read_manifest(data)
        if manifest.hash != scorer.trial.data:
            click.echo(f"note: the model was trained on other data than {data}", err=True)
        return _of_card(manifest.card, manifest.image_size)
    run = _parent(_parent(_parent(scorer.uri)))  # RUN/trials/<id>/checkpoint
    with contextlib.suppress(DataError, ValueError, KeyError):
        facts = json.loads(storage.read_bytes(storage.join(run, DATA_FILE)))
        return _of_card(facts["card"], int(facts["image_size"]))
    return None


def _of_card(card: dict[str, Any], image_size: int) -> Settings:
    from fasray.faces.extraction.extract import Settings

    parts = [entry["card"] for entry in card["sets"]] if "sets" in card else [card]
    found = {Settings.of(part["plan"]["settings"]) for part in parts if "plan" in part}
    if len(found) > 1:
        raise SpecError(
            "the model's data were prepared in different ways",
            where="--data",
            remedy="name the face set whose preparation is to be used",
        )
    if len(found) == 1:
        return found.pop()
    click.echo("note: the model's data were generated, not detected: its crops are somewhat other than these", err=True)
    return Settings(image_size=image_size)


def _parent(uri: str) -> str:
    return uri.rstrip("/").rsplit("/", 1)[0]


def _thresholds(scorer: Scorer) -> Thresholds | None:
    """Return the source-dev EER thresholds of the step; None if its score file is not there."""
    from fasray.inference.files import Thresholds
    from fasray.results.scores import read_scores
    from fasray.results.selection import source_digest
    from fasray.runs.layout import score_file

    try:
        digest = source_digest(read_scores(score_file(_parent(scorer.uri), scorer.step)))
    except DataError:
        return None
    return Thresholds(digest.video_threshold, digest.frame_threshold)


def _as_json(
    scorer: Scorer, settings: Settings, thresholds: Thresholds | None, judged: Iterable[Judged]
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
                "path": one.path,
                "score": one.score,
                "decision": one.decision(thresholds),
                "frames": [{"frame": frame.frame, "score": frame.score} for frame in one.frames],
                "frames_without_face": one.misses,
                "remarks": list(one.remarks),
                "unreadable": one.unreadable or None,
            }
            for one in judged
        ],
    }


def _print(scorer: Scorer, thresholds: Thresholds | None, judged: Sequence[Judged], per_frame: bool) -> None:
    width = max(len(one.path) for one in judged)
    click.echo(f"{'file':<{width}}  {'score':>9}  decision   frames  without a face")
    for one in judged:
        if one.unreadable:
            click.echo(f"{one.path:<{width}}  {'-':>9}  unreadable: {one.unreadable}")
            continue
        decision = one.decision(thresholds) or ("no face" if one.score is None else "-")
        click.echo(
            f"{one.path:<{width}}  {_number(one.score):>9}  {decision:<9}  {len(one.frames):>6}  {one.misses:>14}"
        )
        for remark in one.remarks:
            click.echo(f"{'':<{width}}  note: {remark}")
        for frame in one.frames if per_frame else ():
            label = f"frame {frame.frame}"
            click.echo(f"{label:>{width}}  {_number(frame.score):>9}{'' if frame.score is not None else '  no face'}")
    trial = scorer.trial
    click.echo(f"{trial.method} trained on {'&'.join(scorer.domains)}, step {scorer.step}; higher is more bona fide")
    if thresholds is None:
        click.echo("no threshold: the score file of this step is not beside the checkpoint")
    else:
        click.echo(
            f"threshold of videos {thresholds.video:.4g}, of single pictures {thresholds.frame:.4g}: "
            "EER of the model's own source-dev scores"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"
