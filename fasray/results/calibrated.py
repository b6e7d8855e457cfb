"""Are scores probabilities: calibration error of each cell as it is, and after a curve that source-dev fitted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress

import pandas as pd

from fasray.errors import DataError
from fasray.metrics import Videos, binary_cross_entropy
from fasray.metrics.calibration import KINDS, Calibration, Floats, Kind, brier, fit_calibration, reliability
from fasray.results.confirmed import ConfirmedRun
from fasray.results.scores import ScoredEvaluation
from fasray.results.tables.text import NOTHING, Grid, method_label, with_mark
from fasray.results.transfer import HEAD, below, head_of, means_of_runs, one_step_runs, oracle_mark
from fasray.runs.record import RunRecord

CALIBRATION_COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "selection": "rule that picked the step",
    "calibration": "none, platt or temperature; fitted to the source-dev videos of the step",
    "n_seeds": "confirming runs that are averaged; one without such a curve is left out",
    "slope": "of the curve, mean over them; missing for none",
    "intercept": "of the curve",
    "source_ece": "expected calibration error of source-dev's videos, in [0, 1]; missing where scores are no"
    " probabilities",
    "source_brier": "mean squared error of the probabilities there",
    "source_loss": "mean cross-entropy there, nats",
    "ece": "expected calibration error on the target",
    "brier": "mean squared error on the target",
    "loss": "mean cross-entropy on the target",
}
"""Columns of the frame of calibration."""


def calibrate(evaluation: ScoredEvaluation, kind: Kind = "platt") -> Calibration:
    """Fit a calibration to the source-dev videos of an evaluation; no target row is looked at.

    Raises:
        DataError: no such curve fits them; see ``fit_calibration``.
        SpecError: there is no such kind.
    """
    videos = evaluation.source_dev.videos
    return fit_calibration(videos.score, videos.label, kind)


def calibration_frame(run: RunRecord, rule: str = "source-dev") -> pd.DataFrame:
    """Return one row for each cell and kind of calibration; see ``CALIBRATION_COLUMNS``.

    Raises:
        DataError: a score file is missing or damaged.
        SpecError: there is no such selection, or it picks no one step of each run.
    """
    return calibration_of(one_step_runs(run, rule))


def calibration_of(runs: Iterable[ConfirmedRun]) -> pd.DataFrame:
    """Return the rows of ``calibration_frame`` of some confirmed runs."""
    rows = []
    for each in runs:
        curves: dict[str, Calibration | None] = {"none": None}
        for kind in KINDS:
            with suppress(DataError):  # no curve fits; the row's count of seeds shows it
                curves[kind] = calibrate(each.evaluation, kind)
        rows += [
            {**head_of(each), "calibration": name, **_figures(each.evaluation, curve)} for name, curve in curves.items()
        ]
    return means_of_runs(rows, [*HEAD, "calibration"], CALIBRATION_COLUMNS)


def _figures(evaluation: ScoredEvaluation, curve: Calibration | None) -> dict[str, float]:
    found = {"slope": curve.slope if curve else math.nan, "intercept": curve.intercept if curve else math.nan}
    for prefix, videos in (("source_", evaluation.source_dev.videos), ("", evaluation.target.videos)):
        values = _errors(videos, curve.apply(videos.score) if curve else videos.score)
        found |= {f"{prefix}{name}": value for name, value in zip(("ece", "brier", "loss"), values, strict=True)}
    return found


def _errors(videos: Videos, probability: Floats) -> Sequence[float]:
    if probability.min() < 0 or probability.max() > 1:
        return [math.nan] * 3
    return (
        reliability(probability, videos.label).ece,
        brier(probability, videos.label),
        binary_cross_entropy(probability, videos.label),
    )


def calibration_grid(frame: pd.DataFrame) -> Grid:
    """Arrange the frame of calibration for people."""
    mark = oracle_mark(frame)
    headers = (
        "method", "protocol", "calibration", "seeds", "source ECE", "source Brier",
        *(f"{name}{mark}" for name in ("ECE", "Brier", "loss")),
    )  # fmt: skip

    def shown(value: float, scale: int = 1) -> str:
        return NOTHING if math.isnan(value) else f"{scale * value:.2f}" if scale > 1 else f"{value:.4f}"

    rows = tuple(
        (
            method_label(row), with_mark(row["protocol"]), row["calibration"], str(row["n_seeds"]),
            shown(row["source_ece"], 100), shown(row["source_brier"]),
            shown(row["ece"], 100), shown(row["brier"]), shown(row["loss"]),
        )
        for row in frame.to_dict("records")
    )  # fmt: skip
    notes = (
        "ECE in percent: mean distance of the probability of being live from the share that is live, 15 bins; Brier"
        " score and loss (nats): lower is better. One probability a video, means over the seeds.",
        "platt, temperature: a curve fitted to the source-dev videos alone, and applied to the unseen target. It"
        " assumes source-dev's share of live faces; decisions do not change.",
        *below(frame),
    )
    return Grid(headers, rows, notes, text_columns=3)
