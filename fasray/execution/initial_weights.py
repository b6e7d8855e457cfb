"""Initial weights for every node: the driver reads each once and puts a copy into the run directory.

A wrong address, checksum or shape is thereby refused before any trial starts, and a resumed run goes on with the
weights that it began with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasray import storage
from fasray.runs.layout import WEIGHTS_FOLDER

if TYPE_CHECKING:
    from fasray.sweep.plan import Cell, Plan


def weights_folder(run: str) -> str:
    """Return where a run keeps the copies; there is nothing there if no trial starts from weights."""
    return storage.join(run, WEIGHTS_FOLDER)


def starts_from_weights(plan: Plan) -> bool:
    """Return whether trials of the plan start from weights."""
    return any(cell.training.backbone_weights != "none" for cell in plan.cells)


def share_weights(plan: Plan, run: str) -> None:
    """Build the networks of each cell once, as its trials will, and keep a copy of the weights that they start from.

    Copies that exist are not read again. A sweep without initial weights builds nothing.

    Raises:
        DataError: weights cannot be read, or do not fit.
        StorageError: the store does not answer.
    """
    if not starts_from_weights(plan):
        return
    seen = set()
    for cell in plan.cells:
        what = (cell.method, len(cell.protocol.domains), cell.training.backbone_weights)
        if cell.training.backbone_weights != "none" and what not in seen:
            seen.add(what)
            _build(plan, cell, weights_folder(run))


def _build(plan: Plan, cell: Cell, folder: str) -> None:
    for point in cell.points[:1] or ({},):
        trial = plan.trial(cell, cell.configuration(point), plan.spec.search.seed)
        trial.build_method().build(
            trial.shape(
                len(cell.protocol.domains), backbone_weights=trial.training.backbone_weights, weights_folder=folder
            )
        )
