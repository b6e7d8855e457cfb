"""The cells of a run that have results, in an order that the sweep file alone decides, and the figures of one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fasray.protocols import names_in_order
from fasray.results.figures import TrialFigures
from fasray.results.scores import Level
from fasray.runs.events import ENDED, TrialRecord
from fasray.runs.record import RunRecord

CellKey = tuple[str, str, str]
"""(method, variant, protocol)."""


@dataclass(frozen=True)
class CellFigures:
    """One row of the result frame before its gap to the oracle is known."""

    key: CellKey
    selection: str
    level: Level
    n_runs: int
    n_failed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    runs: tuple[TrialFigures, ...]
    videos: int
    frames: int
    subjects: int
    intervals: tuple[float, float, float, float] = (math.nan,) * 4
    """95 % intervals of HTER and AUC: lower, upper, lower, upper."""

    @property
    def independent(self) -> int:
        """Subjects that the figures rest on; the fewest of a run."""
        return min((run.independent for run in self.runs), default=0)


def trials_by_cell(run: RunRecord) -> dict[CellKey, list[TrialRecord]]:
    """Return the trials of each cell of which a confirming run has ended, cells in the order of the sweep file.

    The winners come first, then the first ablation of each method, and so on.
    """
    found: dict[CellKey, list[TrialRecord]] = {}
    for trial in run.cell_trials:
        found.setdefault(_key(trial), []).append(trial)
    ended = [key for key in found if any(one.stage == "confirm" and one.status in ENDED for one in found[key])]
    order = _order(run.spec)
    return {key: found[key] for key in sorted(ended, key=lambda key: order.get(key, len(order)))}


def _order(spec: Mapping[str, Any]) -> dict[CellKey, int]:
    """Return the place of each cell of a sweep."""
    variants = {
        method: ["", *(chosen.get("ablations") or {})] if isinstance(chosen, Mapping) else [""]
        for method, chosen in dict(spec.get("methods", {})).items()
    }
    keys = (
        (method, names[number], protocol)
        for number in range(max(map(len, variants.values()), default=0))
        for method, names in variants.items()
        for protocol in names_in_order(spec.get("protocols", ()))
        if number < len(names)
    )
    return {key: place for place, key in enumerate(keys)}


def _key(trial: TrialRecord) -> CellKey:
    return trial.method, trial.variant, trial.protocol
