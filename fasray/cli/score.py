"""``fasray score``: use a trained model on pictures and videos."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fasray.cli.addresses import ADDRESS, LOCAL, OUT_FILE
from fasray.cli.output import write_out
from fasray.errors import DataError, SpecError
from fasray.names import printable

if TYPE_CHECKING:
    from fasray.faces.extraction.extract import Settings
    from fasray.inference.files import Prediction
    from fasray.inference.scorer import Scorer, Thresholds
    from fasray.metrics.calibration import Calibration

STYLES = ("table", "json", "csv", "parquet")


@click.command()
@click.argument("checkpoint", type=ADDRESS)
@click.argument("files", type=LOCAL, nargs=-1, metavar="FILE_OR_FOLDER...")
@click.option("--list", "listed", metavar="TEXT", help="Text file of more, one a line; -: standard input.")
@click.option("--step", type=int, help="Which checkpoint.  [default: the best by source-dev]")
@click.option("--frames", type=int, help="Frames of a video, evenly spaced.  [default: as the model's data]")
@click.option("--every", type=int, metavar="K", help="Every K-th frame instead.")
@click.option("--data", type=ADDRESS, metavar="URI", help="Face set whose preparation is used.  [default: the run's]")
@click.option("--image-size", type=int, help="Side of the crops, where no preparation is known.")
@click.option("--rotate", type=click.Choice(["0", "90", "180", "270"]), default="0", help="Clockwise, if not tagged.")
@click.option("--device", default="auto", help="auto, cpu or cuda.", show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Files read at once.")
@click.option("--format", "style", type=click.Choice(STYLES), default="table", show_default=True)
@click.option("-o", "--output", type=OUT_FILE, metavar="FILE", help="File to write.  [default: standard output]")
@click.option("--per-frame", is_flag=True, help="A line for each frame too; in csv and parquet, instead.")
def score(
    checkpoint: str,
    files: tuple[str, ...],
    listed: str | None,
    step: int | None,
    frames: int | None,
    every: int | None,
    data: str | None,
    image_size: int | None,
    rotate: str,
    device: str,
    workers: int,
    style: str,
    output: str | None,
    per_frame: bool,
) -> None:
    """Score pictures, videos and folders of them with the model of CHECKPOINT (a trial's folder, or its checkpoints).

    Faces are found, cropped and compressed as in the preparation of the data that the model was trained on. Higher
    scores are more bona fide. The threshold is the EER of the model's own source-dev scores, on which the calibration
    of the probabilities is fitted, too.
    """
    from fasray.faces.extraction.frames import FrameRule
    from fasray.inference.files import files_in, predict_files
    from fasray.inference.preparation import settings_for
    from fasray.inference.scorer import Scorer
    from fasray.training.context import device_of_option

    if style == "parquet" and output is None:
        raise SpecError("parquet is no text", where="--format parquet", remedy="name a file with -o")
    paths = files_in([*files, *(_lines(listed) if listed else ())])
    if not paths:
        raise SpecError("there is nothing to score", remedy="name pictures, videos or folders of them")
    scorer = Scorer.load(checkpoint, step, device_of_option(device))
    rule = None if frames is None and every is None else FrameRule(count=frames, every=every)
    settings = settings_for(
        scorer, data=data, image_size=image_size, frames=rule, note=lambda text: click.echo(f"note: {text}", err=True)
    )
    found = list(
        _with_progress(predict_files(scorer, paths, settings, workers=workers, turn_untagged=int(rotate)), len(paths))
    )
    thresholds, calibration = scorer.thresholds(), scorer.calibration()
    if style == "table":
        write_out(_text(scorer, thresholds, found, per_frame).encode(), output, for_people=True)
    elif style == "json":
        whole = _as_json(scorer, settings, thresholds, calibration, found)
        write_out(f"{json.dumps(whole, indent=1)}\n".encode(), output, for_people=False)
    else:
        write_out(_columns(_rows(found, thresholds, calibration, per_frame), style), output, for_people=False)
    unreadable = [one.path for one in found if one.unreadable]
    if unreadable:
        where = printable(unreadable[0])
        raise DataError(f"{len(unreadable)} of {len(found)} files cannot be read", where=where)


def _lines(listed: str) -> list[str]:
    try:
        text = sys.stdin.buffer.read() if listed == "-" else Path(LOCAL.resolved(listed)).read_bytes()
    except OSError as error:
        raise DataError(f"the list cannot be read: {error.strerror}", where=printable(listed)) from error
    return [line for line in os.fsdecode(text).splitlines() if line.strip()]


def _with_progress(found: Iterator[Prediction], total: int) -> Iterator[Prediction]:
    """Show how far it is, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield from found
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(found, total=total, description="scoring")


def _as_json(
    scorer: Scorer,
    settings: Settings,
    thresholds: Thresholds | None,
    calibration: Calibration | None,
    found: Iterable[Prediction],
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
        "calibration": calibration and calibration.to_json(),
        "files": [
            {
                "path": printable(one.path),
                "score": one.score,
                "decision": one.decision(thresholds),
                "probability": one.probability(calibration),
                "frames": [{"frame": frame.frame, "score": frame.score} for frame in one.frames],
                "frames_without_face": one.misses,
                "remarks": list(one.remarks),
                "unreadable": one.unreadable or None,
            }
            for one in found
        ],
    }


def _rows(
    found: Iterable[Prediction], thresholds: Thresholds | None, calibration: Calibration | None, per_frame: bool
) -> list[dict[str, Any]]:
    if per_frame:
        return [
            {"path": printable(one.path), "frame": frame.frame, "score": frame.score, "unreadable": ""}
            for one in found
            for frame in one.frames
        ] + [
            {"path": printable(one.path), "frame": None, "score": None, "unreadable": one.unreadable}
            for one in found
            if one.unreadable
        ]
    return [
        {
            "path": printable(one.path),
            "score": one.score,
            "decision": one.decision(thresholds) or "",
            "probability": one.probability(calibration),
            "frames": len(one.frames),
            "frames_without_face": one.misses,
            "unreadable": one.unreadable,
            "remarks": "; ".join(one.remarks),
        }
        for one in found
    ]


def _columns(rows: Sequence[dict[str, Any]], style: str) -> bytes:
    import pandas as pd

    frame = pd.DataFrame(rows)
    for name in ("score", "probability"):
        if name in frame:
            frame[name] = frame[name].astype("float64")
    if "frame" in frame:
        frame["frame"] = frame["frame"].astype("Int64")
    if style == "csv":
        return str(frame.to_csv(index=False)).encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _text(scorer: Scorer, thresholds: Thresholds | None, found: Sequence[Prediction], per_frame: bool) -> str:
    names = [printable(one.path) for one in found]
    width = max(map(len, names))
    lines = [f"{'file':<{width}}  {'score':>9}  decision   frames  without a face"]
    for name, one in zip(names, found, strict=True):
        if one.unreadable:
            lines.append(f"{name:<{width}}  {'-':>9}  unreadable: {one.unreadable}")
            continue
        decision = one.decision(thresholds) or ("no face" if one.score is None else "-")
        lines.append(f"{name:<{width}}  {_number(one.score):>9}  {decision:<9}  {len(one.frames):>6}  {one.misses:>14}")
        lines += [f"{'':<{width}}  note: {remark}" for remark in one.remarks]
        for frame in one.frames if per_frame else ():
            label = f"frame {frame.frame}"
            lines.append(f"{label:>{width}}  {_number(frame.score):>9}{'' if frame.score is not None else '  no face'}")
    trial = scorer.trial
    lines.append(f"{trial.method} trained on {'&'.join(scorer.domains)}, step {scorer.step}; higher is more bona fide")
    if thresholds is None:
        lines.append("no threshold: the score file of this step is not next to the checkpoint")
    else:
        lines.append(
            f"threshold of videos {thresholds.video:.4g}, of single pictures {thresholds.frame:.4g}: "
            "EER of the model's own source-dev scores"
        )
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"
