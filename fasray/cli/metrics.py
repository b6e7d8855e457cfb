"""``fasray metrics``: the field's figures for any score file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fasray.results.external.evaluate import ExternalFigures
    from fasray.results.external.read import Direction
    from fasray.results.scores import Level

_DEV = "dev:"


@click.command()
@click.argument("file", metavar="FILE")
@click.option(
    "--live-is", type=click.Choice(["higher", "lower"]), required=True, help="Which scores FILE gives to live faces."
)
@click.option("--live-label", default="1", show_default=True, help="What the label column says of live faces.")
@click.option("--level", type=click.Choice(["video", "frame"]), default="video", show_default=True)
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
@click.option("--seed", type=int, default=0, show_default=True, help="Of the resamples.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def metrics(
    file: str,
    live_is: Direction,
    live_label: str,
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
    """Print AUC, EER, HTER, APCER, BPCER and so on of the scores in FILE.

    FILE is csv, tsv or Parquet with columns `score` and `label` and, if known, `subject`, `video`, `domain`,
    `attack_type` and `frame`; or what bob.pad writes (csv or text); or text lines `score label`.
    """
    from fasray.results.external.evaluate import MetricOptions, evaluate_external
    from fasray.results.external.read import read_external

    limit: float | str = threshold
    dev = None
    if threshold.startswith(_DEV):
        # A file with roles, such as fasray's own, may hold both kinds of rows.
        dev = read_external(threshold.removeprefix(_DEV), live_is, live_label, "source-dev")
        limit = "eer"
    elif _is_number(threshold):
        limit = float(threshold)
    share = None if confidence is None else confidence / 100
    options = MetricOptions(level, aggregate, limit, rule, share, resamples, seed)
    found = evaluate_external(read_external(file, live_is, live_label, role), options, dev)
    if style == "json":
        click.echo(json.dumps(found.to_json(), indent=1, allow_nan=False))
    else:
        _print(found)


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
    ("bpcer_at_apcer_10", "BPCER at APCER 10 %"),
    ("bpcer_at_apcer_5", "BPCER at APCER 5 %"),
    ("bpcer_at_apcer_1", "BPCER at APCER 1 %"),
    ("tpr_at_fpr_1", "TPR at FPR 1 %"),
)


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
    click.echo("")
    for name, title in _ROWS:
        click.echo(f"{title:<22} {100 * getattr(figures, name):6.2f} %{_interval(found, name)}")
    for kind, rate in figures.apcer_by_type:
        click.echo(f"{'  APCER ' + plain(kind):<22} {100 * rate:6.2f} %")
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
