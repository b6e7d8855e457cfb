"""Initial weights for every node: the driver reads each once and puts a copy into the run directory.

A wrong address, checksum or shape is thereby refused before any trial starts, and a resumed run goes on with the
weights that it began with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
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
    for trial, domains, architecture in _starting(plan):
        weights, folder = str(trial.training.backbone_weights), weights_folder(run)
        trial.build_method().build(trial.shape(domains, backbone_weights=weights, weights_folder=folder))
        key, copy = (trial.method, trial.config.get("backbone")), copy_of(weights, architecture, folder)
        if key not in known and storage.exists(copy):  # none, where `imagenet` is nothing to a method's own network
            known = {**known, key: _used(trial, architecture, weights, copy)}
    if known != recorded:
        write_weights(run, known.values())


def check_weights(plan: Plan) -> list[str]:
    """Do what :func:`share_weights` does but for the copies; return a line for each network that starts from weights.

    Raises:
        DataError: weights cannot be read, or do not fit.
        StorageError: the store does not answer.
    """
    lines = []
    for trial, domains, architecture in _starting(plan):
        weights = str(trial.training.backbone_weights)
        trial.build_method().build(trial.shape(domains, backbone_weights=weights))
        lines.append(f"{trial.method} starts from {architecture} of {weights}")
    return lines


def _starting(plan: Plan) -> Iterator[tuple[Trial, int, str]]:
    """Yield a trial of each method, architecture and weights, with its number of domains and its architecture."""
    seen: set[tuple[str, str, str]] = set()
    for cell in plan.cells:
        space = plan.spec.space(cell.method)
        starts = weights_by_architecture(cell.method, cell.config, space, cell.ablations, cell.training)
        for (architecture, weights), config in starts.items():
            if weights != "none" and (cell.method, architecture, weights) not in seen:
                seen.add((cell.method, architecture, weights))
                yield plan.trial(cell, config, plan.spec.search.seed), cell.domains, architecture


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
