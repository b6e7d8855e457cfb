"""The honest figures of a cell on its target, read only once all its confirming runs have come to their end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fasray import protocols
from fasray.errors import FasrayError
from fasray.runs.events import Event
from fasray.runs.record import RunRecord

HONEST = "source-dev"


def figures(head: RunRecord, events: Sequence[Event], trials: Sequence[str]) -> list[dict[str, Any]] | str:
    """Return the figures of a confirmed cell, one entry for each target; or, in words, why there are none.

    Args:
        head: of the run.
        events: its log.
        trials: ids of the cell's confirming runs.
    """
    from fasray.results.frame import compute_results  # pandas takes a second to import

    try:
        frame = compute_results(replace(head, events=tuple(events)).subset(trials), (HONEST,)).frame
        own = (frame["level"] == "video") & (frame["variant"] == "") & (frame["n_runs"] == 1)  # no means over protocols
        return [
            {
                "protocol": row["protocol"],
                "name": (name := protocols.parse(row["protocol"]).headline),
                "error": _known(row[name]),
                "std": _known(row[f"{name}_std"]),
                "auc": _known(row["auc"]),
                "seeds": int(row["n_seeds"]),
                "diverged": int(row["n_failed"]),
            }
            for row in frame[own].to_dict("records")
        ]
    except FasrayError as error:
        return error.what


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)
