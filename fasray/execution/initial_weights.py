"""Initial weights for every node: the driver reads each once and puts a copy into the run directory.

A wrong address, checksum or shape is thereby refused before any trial starts, and a resumed run goes on with the
weights that it began with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasray.runs.layout import weights_folder

if TYPE_CHECKING:
    from fasray.sweep.plan import Cell, Plan


def share_weights(plan: Plan, run: str) -> None:
    """Build the networks of each cell once, as its trials will, and keep a copy of the weights that they start from.

    Copies that exist are not read again. A sweep without initial weights builds nothing.

    Raises:
        DataError: weights cannot be read, or do not fit.
        StorageError: the store does not answer.
    """
    seen = set()
    for cell in plan.cells:
        what = (cell.method, len(cell.protocol.domains), cell.training.backbone_weights)
        if cell.training.backbone_weights != "none" and what not in seen:
            seen.add(what)
            _build(plan, cell, weights_folder(run))


def _build(plan: Plan, cell: Cell, folder: str) -> None:
    trial = plan.trial(cell, cell.configuration(next(iter(cell.points), {})), plan.spec.search.seed)
    trial.build_method().build(
        trial.shape(len(cell.protocol.domains), backbone_weights=trial.training.backbone_weights, weights_folder=folder)
    )
