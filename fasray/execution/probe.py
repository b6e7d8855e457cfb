"""How much of a card a trial of each method takes: a short run on a whole card, once for each kind of card and size.

What was found is kept next to the node's pool, so that the next sweep of the same sizes does not run it again.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import ray
import torch

from fasray.errors import DivergedError, FasrayError
from fasray.execution.capacity import accelerator
from fasray.execution.card import limit_memory, peak_bytes, show_assigned_gpus
from fasray.execution.hardware import CardKind, LogicalGpus, logical_gpus
from fasray.execution.memory_file import STEPS, Measured, MemoryFile, short_trials
from fasray.faces.loading.pool import FacePool
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.protocols import Roles, TargetSplit, parse
from fasray.protocols.lists import FixedLists
from fasray.runs.layout import weights_folder
from fasray.sweep.plan import Plan
from fasray.training.batches import scoring_batch
from fasray.training.context import Context
from fasray.training.loop import evaluations
from fasray.training.trial import Trial

_PATIENCE_S = 60
"""For each short trial, and once more: how long a run may take before trials get whole cards."""


@dataclass(frozen=True)
class _Job:
    """What a node needs to know to measure; it is pickled."""

    trials: tuple[Trial, ...]
    run: str
    pool: str
    data: str
    target_split: TargetSplit
    kind: str
    logical: LogicalGpus | None
    lists: Mapping[str, FixedLists] = field(default_factory=dict)


def measure_memory(plan: Plan, kinds: Sequence[CardKind], run: str, pool: str, data: str) -> dict[str, Measured]:
    """Measure every method of a plan on one card of each kind, all kinds at once.

    Args:
        plan: of the sweep.
        kinds: of cards, of each of which one is there.
        run: run directory, absolute.
        pool: key of the pool.
        data: face shards, absolute.

    Returns:
        What was found, by kind of card; a kind on which nothing could be measured is missing.
    """
    trials = tuple(short_trials(plan))
    waiting = {}
    for kind in kinds:
        job = _Job(trials, run, pool, data, plan.spec.target_split, kind.name, logical_gpus(), plan.lists)
        tied = {accelerator(kind.name): 0.001} if kind.name else {}
        task: Any = ray.remote(_measure).options(num_cpus=0, num_gpus=1, resources=tied, max_retries=0)
        waiting[kind.name] = task.remote(job)
    timeout = _PATIENCE_S * (1 + len(trials))
    done, late = ray.wait(list(waiting.values()), num_returns=len(waiting), timeout=timeout)
    for reference in late:  # never one that is done: Ray may abort this process if its reply is still on the way
        ray.cancel(reference, force=True)
    found = {}
    for name, reference in waiting.items():
        with contextlib.suppress(ray.exceptions.RayError):  # its process died
            if reference in done:
                found[name] = ray.get(reference)
    return found


def _measure(job: _Job) -> Measured:
    """Return what the methods take on the card of this process; what was measured before is read."""
    show_assigned_gpus()
    device = "cpu" if job.logical else "cuda"
    limit_memory(device, 1.0)
    card = job.kind if job.logical else torch.cuda.get_device_name()
    size = job.logical.memory(job.kind) if job.logical else torch.cuda.get_device_properties(0).total_memory
    file = MemoryFile(job.pool, repr(job.logical) if job.logical else "")
    for trial in job.trials:
        if file.peak(trial, card) is None and (peak := _peak(trial, job, device)) is not None:
            file.add(trial, card, size, peak)
    return Measured(card, size, file.peaks(job.trials, card))


def _peak(trial: Trial, job: _Job, device: str) -> int | None:
    """Run a short trial; return the most bytes that it took, None if it could not be run on a whole card."""
    limit_memory(device, 1.0)
    try:
        pool = open_or_fill_pool(job.pool, job.data)
        with tempfile.TemporaryDirectory(prefix="fasray-memory-") as folder:
            context = Context(
                folder, seed=trial.seed, total_steps=STEPS, device=device, faces_bytes=0,
                weights_folder=weights_folder(job.run),
            )  # fmt: skip
            with contextlib.suppress(DivergedError):  # it has taken its memory by then
                for _ in evaluations(trial, pool, _few(trial, pool, job, device), context):
                    pass
    except (FasrayError, torch.OutOfMemoryError):
        return None
    return job.logical.peak(trial.method) if job.logical else peak_bytes(device)


def _few(trial: Trial, pool: FacePool, job: _Job, device: str) -> Roles:
    """Return the roles of a trial with about one batch of rows to score."""
    roles = parse(trial.protocol, job.target_split, job.lists).assign(pool.index)
    most = scoring_batch(trial.training, torch.device(device))
    some = np.unique(np.linspace(0, len(roles.source_dev) - 1, min(most, len(roles.source_dev))).astype(np.int64))
    return replace(roles.sealed(), source_dev=roles.source_dev[some])
