"""What each part of the methods adds, as far as the run has switched parts off."""

from __future__ import annotations

from dataclasses import dataclass

from fasray.results import plots
from fasray.results.ablations import MEAN_OF_PROTOCOLS, ablation_frame, ablation_grid
from fasray.results.plots import DifferenceRow, Plot
from fasray.results.tables.text import Grid
from fasray.runs.record import RunRecord


@dataclass(frozen=True)
class Ablations:
    """Paired differences over the seeds."""

    table: Grid
    plot: Plot


def ablations(run: RunRecord) -> Ablations | None:
    """Return what switching parts off did; None if the run did not, or no pair has ended yet.

    The plot shows means over the protocols where there are several, else the one protocol.

    Raises:
        DataError: a score file is missing or damaged.
    """
    if not any(trial.variant for trial in run.trials):
        return None
    frame = ablation_frame(run)
    video = frame[frame["level"] == "video"]
    if video.empty:
        return None
    means = video[video["protocol"] == MEAN_OF_PROTOCOLS]
    drawn, place = (video, str(video["protocol"].iloc[0])) if means.empty else (means, "mean over the protocols")
    rows = [
        DifferenceRow(
            f"{row['method']}, {row['ablation']}", row["hter_difference"], row["hter_lower"], row["hter_upper"],
            row["hter_lower"] > 0 or row["hter_upper"] < 0,
        )
        for row in drawn.to_dict("records")
    ]  # fmt: skip
    return Ablations(ablation_grid(frame, "video"), plots.what_parts_add(rows, place))
