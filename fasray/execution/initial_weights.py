"""Initial weights for every node: the driver reads each once and puts a copy into the run directory.

A wrong address, checksum or shape is thereby refused before any trial starts, and a resumed run goes on with the
weights that it began with.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fasray import storage
from fasray.nets.weights import copy_of, source_of_copy
from fasray.runs.layout import weights_folder
from fasray.runs.weights import UsedWeights, read_weights, write_weights
from fasray.sweep.weights import weights_by_architecture

if TYPE_CHECKING:
    from fasray.sweep.plan import Plan
    from fasray.training.trial import Trial


def share_weights(plan: Plan, run: str) -> None:
    """Build each network that starts from weights once, as trials will, and keep a copy of its weights.

    Copies that exist are not read from their source again. The SHA-256 of every source goes on record. A sweep without
    initial weights builds nothing.

    Raises:
        DataError: weights cannot be read, or do not fit.
        StorageError: the store does not answer.
    """
    known = recorded = read_weights(run)
    seen: set[tuple[str, str, str]] = set()
    for cell in plan.cells:
        space = plan.spec.space(cell.method)
        starts = weights_by_architecture(cell.method, cell.config, space, cell.ablations, cell.training)
        for (architecture, weights), config in starts.items():
            if weights == "none" or (cell.method, architecture, weights) in seen:
                continue
            seen.add((cell.method, architecture, weights))
            trial = plan.trial(cell, config, plan.spec.search.seed)
            folder = weights_folder(run)
            trial.build_method().build(
                trial.shape(len(cell.protocol.domains), backbone_weights=weights, weights_folder=folder)
            )
            copy = copy_of(weights, architecture, folder)
            key = cell.method, trial.config.get("backbone")
            if key not in known and storage.exists(
                copy
            ):  # it does not where a method's own network has no such weights
                known = {**known, key: _used(trial, architecture, weights, copy)}
    if known != recorded:
        write_weights(run, known.values())


def _used(trial: Trial, architecture: str, weights: str, copy: str) -> UsedWeights:
    data = storage.read_bytes(copy)
    return UsedWeights(
        method=trial.method,
        backbone=trial.config.get("backbone"),
        architecture=architecture,
        weights=weights,
        sha256=source_of_copy(data) or None,
        copy_file=copy.rpartition("/")[2],
        copy_sha256=hashlib.sha256(data).hexdigest(),
    )
