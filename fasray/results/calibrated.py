"""Are scores probabilities: calibration error of each cell as it is, and after a curve that source-dev fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from fasray.errors import DataError
from fasray.metrics import Videos, binary_cross_entropy
from fasray.metrics.calibration import KINDS, Calibration, Floats, brier, fit_calibration, reliability
from fasray.results.scores import ScoredEvaluation
from fasray.results.tables.text import Grid, method_label
from fasray.results.transfer import confirmed_steps, head_of, means_of_runs
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


def calibrate(evaluation: ScoredEvaluation, kind: str = "platt") -> Calibration:
    """Fit a calibration to the source-dev videos of an evaluation; no target row is looked at.

    Raises:
        DataError: no such curve fits them; see ``fit_calibration``.
        SpecError: there is no such kind.
    """
    videos = evaluation.source_dev.videos
    return fit_calibration(videos.score, videos.label, kind)  # type: ignore[arg-type]  # it checks the kind


def calibration_frame(run: RunRecord, rule: str = "source-dev") -> pd.DataFrame:
    """Return one row for each cell and kind of calibration; see ``CALIBRATION_COLUMNS``.

    Raises:
        DataError: a score file is missing or damaged.
        SpecError: there is no such selection, or it applies to no single confirmed run.
    """
    rows = []
    for trial, evaluations, step in confirmed_steps(run, rule):
        for kind in ("none", *KINDS):
            curve = None
            if kind != "none":
                try:
                    curve = calibrate(evaluations[step], kind)
                except DataError:  # no curve fits; the row's count of seeds shows it
                    continue
            rows.append(
                {**head_of(trial), "selection": rule, "calibration": kind, **_figures(evaluations[step], curve)}
            )
    return means_of_runs(rows, ["method", "variant", "protocol", "selection", "calibration"], CALIBRATION_COLUMNS)


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
    headers = (
        "method", "protocol", "calibration", "seeds", "source ECE", "source Brier", "ECE", "Brier", "loss",
    )  # fmt: skip

    def shown(value: float, scale: int = 1) -> str:
        return "-" if math.isnan(value) else f"{scale * value:.2f}" if scale > 1 else f"{value:.4f}"

    rows = tuple(
        (
            method_label(row), row["protocol"], row["calibration"], str(row["n_seeds"]), shown(row["source_ece"], 100),
            shown(row["source_brier"]), shown(row["ece"], 100), shown(row["brier"]), shown(row["loss"]),
        )
        for row in frame.to_dict("records")
    )  # fmt: skip
    notes = (
        "ECE in percent: mean distance of the probability of being live from the share that is live, 15 bins; Brier"
        " score and loss (nats): lower is better. One probability a video, means over the seeds.",
        "platt, temperature: a curve fitted to the source-dev videos alone, and applied to the unseen target. It"
        " assumes source-dev's share of live faces; decisions do not change.",
    )
    return Grid(headers, rows, notes, text_columns=3)
