"""``fasray metrics``: the field's figures for any score file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from fasray.cli.addresses import ADDRESS
from fasray.errors import SpecError

if TYPE_CHECKING:
    from fasray.results.external.evaluate import ExternalFigures
    from fasray.results.external.read import Direction
    from fasray.results.scores import Level

_DEV = "dev:"


@click.command()
@click.argument("file", type=ADDRESS, metavar="FILE")
@click.option(
    "--live-is", type=click.Choice(["higher", "lower"]), required=True, help="Which scores FILE gives to live faces."
)
@click.option("--live-label", default="1", show_default=True, help="What the label column says of live faces.")
@click.option(
    "--labels", default="", metavar="LIST", help="Labels of FILE's paths, if FILE has none: `path label` lines."
)
@click.option(
    "--live-path", default="", metavar="PATTERN", help="Paths of live faces, if FILE has no labels, such as '*/live/*'."
)
@click.option(
    "--attacks",
    multiple=True,
    metavar="[TYPE=]FILE",
    help="Scores of attacks in a file of their own; FILE then has live ones alone. May be repeated.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    help="Where a column is: score=liveness by its name, score=2 by its position, frame=- to leave it out.",
)
@click.option("--level", type=click.Choice(["video", "frame"]), default="video", show_default=True,
              help="Whether frames of a video make one score, or count each by itself.")  # fmt: skip
@click.option("--aggregate", default="mean", show_default=True, help="Frames to video: mean, max or first-K.")
@click.option(
    "--threshold",
    default="eer",
    show_default=True,
    help="A number; eer, min-hter, bpcer=X or apcer=X of FILE itself (oracle); dev:OTHER for the EER of another file.",
)
@click.option("--rule", default="", help="Also as an official repository has it: ssdg-grid, safas-roc, hfn-min-hter.")
@click.option("--role", default="target", show_default=True, help="Which rows count, if FILE has a column role.")
@click.option("--confidence", type=float, metavar="PERCENT", help="Add intervals over subjects, such as 95.")
@click.option("--resamples", type=int, default=1000, show_default=True, help="Bootstrap resamples for the intervals.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the resamples, 0 or more.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True,
              help="json has every figure as a fraction, not rounded.")  # fmt: skip
def metrics(
    file: str,
    live_is: Direction,
    live_label: str,
    labels: str,
    live_path: str,
    attacks: tuple[str, ...],
    columns: tuple[str, ...],
    level: Level,
    aggregate: str,
    threshold: str,
    rule: str,
    role: str,
    confidence: float | None,
    resamples: int,
    seed: int,
    style: str,
) -> None:
    """Print AUC, EER, HTER, APCER, BPCER and so on of the scores in FILE, or of standard input for `-`.

    FILE is csv (with commas, semicolons, tabs or blanks) or Parquet with columns `score` and `label` and, if known,
    `subject`, `video`, `domain`, `attack_type` and `frame`; or what bob.pad writes (csv or text); text lines
    `score label` or `label score`; npz; or scores alone, with --labels, --live-path or --attacks.
    """
    from fasray.results.external.evaluate import MetricOptions, evaluate_external
    from fasray.results.external.read import LabelSource, read_external

    named = dict(_column(text) for text in columns)
    source = LabelSource(labels, live_path, tuple(_attack_file(text) for text in attacks))
    limit: float | str = threshold
    dev = None
    if threshold.startswith(_DEV):
        # A file with roles, such as fasray's own, may hold both kinds of rows.
        if source.attacks:
            what = "the other file has no file of attacks"
            raise SpecError(what, where="--threshold", remedy="give one file with both, or the threshold as a number")
        other = threshold.removeprefix(_DEV)
        if other == file == "-":
            raise SpecError("standard input can be read once", where="--threshold", remedy="name a file")
        dev = read_external(other, live_is, live_label, "source-dev", columns=named, source=source)
        limit = "eer"
    elif _is_number(threshold):
        limit = float(threshold)
    options = MetricOptions(level, aggregate, limit, rule, _coverage(confidence), resamples, seed)
    scores = read_external(file, live_is, live_label, role, columns=named, source=source)
    found = evaluate_external(scores, options, dev)
    if style == "json":
        click.echo(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        _print(found)


def _column(text: str) -> tuple[str, str]:
    ours, given, theirs = text.partition("=")
    if not given or not theirs:
        raise SpecError(f"{text!r} names no column", where="--column", remedy="write score=NAME or score=POSITION")
    return ours, theirs


def _attack_file(text: str) -> tuple[str, str]:
    from fasray import storage

    kind, given, file = text.partition("=")
    if not given or storage.exists(text):
        return "", text
    return kind, file


def _coverage(percent: float | None) -> float | None:
    """Return the share of a percentage."""
    if percent is None:
        return None
    if not 1 < percent < 100:
        remedy = f"write {100 * percent:g} for {100 * percent:g} %" if 0.5 <= percent < 1 else "write 95 for 95 %"
        what = f"a coverage of {percent:g} % is not possible: the option is in percent, over 1 and under 100"
        raise SpecError(what, where="--confidence", remedy=remedy)
    return percent / 100


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


_ROWS = (
    ("auc", "AUC"),
    ("eer", "EER"),
    ("hter", "HTER"),
    ("far", "FAR, all attacks"),
    ("apcer", "APCER, worst type"),
    ("frr", "BPCER = FRR"),
    ("acer", "ACER"),
    ("bpcer_at_apcer10", "BPCER at APCER 10 %"),
    ("bpcer_at_apcer5", "BPCER at APCER 5 %"),
    ("bpcer_at_apcer1", "BPCER at APCER 1 %"),
    ("tpr_at_fpr1", "TPR at FPR 1 %, all attacks"),
)

_POOLED = {
    "apcer": "APCER, all attacks",
    "acer": "ACER, all attacks",
    "bpcer_at_apcer10": "BPCER at FAR 10 %",
    "bpcer_at_apcer5": "BPCER at FAR 5 %",
    "bpcer_at_apcer1": "BPCER at FAR 1 %",
}
"""Titles where the types of attacks are unknown."""


def _print(found: ExternalFigures) -> None:
    """Print figures in percent, with intervals if there are any."""
    from fasray.results.tables.escape import plain

    figures, source = found.figures, found.source
    frames = ""
    if found.frames_per_video:
        least, most = found.frames_per_video
        frames = f", {least} to {most} frames each" if most > least else f", {least} frame{'s' * (least > 1)} each"
    subjects = "" if found.subjects is None else f", {found.subjects} subjects"
    click.echo(f"{plain(source.file)} ({source.layout}), {source.live_is} scores are live")
    click.echo(
        f"{found.rows} {found.options.level}s: {figures.lives} live, {figures.attacks} attacks{frames}{subjects}"
    )
    click.echo(f"threshold {source.native(figures.threshold):.6g}: {plain(found.threshold_rule)}")
    if found.intervals:
        drawn = f"{found.intervals.resamples} resamples of {found.intervals.clusters}s"
        click.echo(f"in brackets: {100 * found.intervals.confidence:g} % intervals, bootstrap, {drawn}")
    click.echo("")
    for name, title in _ROWS:
        if not figures.apcer_by_type:  # nothing that is pooled has a name that means one species
            title = _POOLED.get(name, title)
        click.echo(f"{title:<28} {100 * getattr(figures, name):6.2f} %{_interval(found, name)}")
    for kind, rate in figures.apcer_by_type:
        click.echo(f"{'  APCER ' + plain(kind):<28} {100 * rate:6.2f} %")
    _print_compat(found)
    for note in found.notes:
        click.echo(f"note: {plain(note)}")


def _interval(found: ExternalFigures, name: str) -> str:
    interval = getattr(found.intervals, name, None)
    if found.intervals is None or interval is None:
        return ""
    text = f"   [{100 * interval.lower:.2f}, {100 * interval.upper:.2f}]" if interval.lower == interval.lower else ""
    return text + (f"   {interval.note}" if interval.note else "")


def _print_compat(found: ExternalFigures) -> None:
    ruled = found.compat
    if ruled is None:
        return
    shares = {"HTER": ruled.hter, "EER": ruled.eer, "AUC": ruled.auc, "accuracy": ruled.accuracy,
              "TPR near FPR 5 %": ruled.tpr_near_fpr_5, "HTER at 0.5": ruled.half_hter}  # fmt: skip
    shown = ", ".join(f"{name} {100 * value:.2f} %" for name, value in shares.items() if value is not None)
    click.echo(f"as {ruled.rule} has it: {shown}, threshold {ruled.threshold:.6g}")
