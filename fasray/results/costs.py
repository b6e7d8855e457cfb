"""What a run has taken of its machines, as its log has it: by trial, by cell, and all in all.

An attempt that was killed counts up to its last evaluation on record. What was not measured is left out of the sums and
counted: evaluations that were read back after a kill, and those of runs from before there was accounting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fasray.runs.events import TrialRecord, cell_protocol
from fasray.runs.reading import Reading

if TYPE_CHECKING:
    import pandas as pd

COST_COLUMNS: dict[str, str] = {
    "scope": "cell, or sweep for the sum over all cells",
    "method": "name of the method; empty for the sweep",
    "protocol": "name of the protocol; empty for the sweep",
    "n_trials": "trials, searching, confirming, inner ones and of ablations",
    "n_evaluations": "their evaluations",
    "optimizer_steps": "steps that they have done",
    "seconds": "wall seconds of training and evaluating, added up, whether trials ran at once or not",
    "evaluation_share": "part of these that evaluating took, 0 to 1; missing if none was measured",
    "cpu_seconds": "processor seconds of all workers of the trials; missing if none was measured",
    "gpu_seconds": "GPUs that the trials held, times wall seconds",
    "bytes_read": "faces, or windows of them, taken from the pool, one byte a channel",
    "bytes_written": "score files, checkpoints and records",
    "n_unmeasured": "evaluations whose cost was not measured; they are in no sum but that of seconds, as far as known",
}
"""Columns of the cost frame."""


@dataclass(frozen=True)
class TotalCost:
    """Sums over evaluations; NaN where none was measured."""

    seconds: float
    evaluation_share: float
    """Of the seconds of those whose evaluating was measured."""
    cpu_seconds: float
    gpu_seconds: float
    bytes_read: float
    bytes_written: float
    n_unmeasured: int
    """Evaluations that are not in the sums."""


def cost_of(readings: Iterable[Reading]) -> TotalCost:
    """Add up what evaluations took."""
    readings = list(readings)
    known = [reading for reading in readings if reading.cpu_seconds is not None]
    return TotalCost(
        seconds=math.fsum([reading.seconds for reading in readings]),
        evaluation_share=_evaluation_share(readings),
        cpu_seconds=_sum([reading.cpu_seconds for reading in known]),
        gpu_seconds=_sum([reading.gpu_seconds for reading in known]),
        bytes_read=_sum([reading.bytes_read for reading in known]),
        bytes_written=_sum([reading.bytes_written for reading in known]),
        n_unmeasured=len(readings) - len(known),
    )


def cost_frame(trials: Sequence[TrialRecord]) -> pd.DataFrame:
    """Return one row a cell, in the order of their first trials, and a last one for the sweep; see ``COST_COLUMNS``."""
    import pandas as pd  # takes most of a second, which those who only add up need not wait for

    cells: dict[tuple[str, str], list[TrialRecord]] = {}
    for trial in trials:
        cells.setdefault((trial.method, cell_protocol(trial)), []).append(trial)
    rows = [_row("cell", *key, members) for key, members in cells.items()]
    rows.append(_row("sweep", "", "", trials))
    return pd.DataFrame(rows, columns=list(COST_COLUMNS))


def _row(scope: str, method: str, protocol: str, trials: Sequence[TrialRecord]) -> dict[str, object]:
    return {
        "scope": scope,
        "method": method,
        "protocol": protocol,
        "n_trials": len(trials),
        "n_evaluations": sum(len(trial.steps) for trial in trials),
        "optimizer_steps": sum(max(trial.steps, default=0) for trial in trials),
        **asdict(cost_of(reading for trial in trials for reading in trial.paid)),
    }


def _evaluation_share(readings: Sequence[Reading]) -> float:
    measured = [reading for reading in readings if reading.evaluation_seconds is not None]
    whole = math.fsum(reading.seconds for reading in measured)
    return math.fsum(reading.evaluation_seconds or 0.0 for reading in measured) / whole if whole else math.nan


def _sum(values: Sequence[float | None]) -> float:
    return math.fsum(filter(None, values)) if values else math.nan
