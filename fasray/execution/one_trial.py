"""One trial in this process, outside any sweep: no Ray takes part."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.execution.listener import Listener
from fasray.execution.same_devices import another_device
from fasray.execution.signals import interruptible
from fasray.faces.data_source import Dataset, resolve_dataset
from fasray.faces.loading.pool import FacePool, pool_folder, pool_key
from fasray.faces.loading.row_groups import row_group_of
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.protocols import GROUPS, Roles
from fasray.protocols.lists import keep_copies
from fasray.runs.layout import TRIAL_FILE, score_file
from fasray.runs.lock import take_lock
from fasray.runs.scores import find_scores
from fasray.sweep.auto import resolve_auto
from fasray.sweep.plan import make_plan
from fasray.sweep.retrain import check_same, read_trial, sweep_of
from fasray.sweep.spec import SweepSpec
from fasray.training.trial import Trial
from fasray.validation import difference

SAVED = "stopped on request; everything up to the last evaluation is saved"


@dataclass(frozen=True)
class TrainedTrial:
    """A trial that has run to its end."""

    trial: Trial
    folder: str
    score_uris: tuple[str, ...]
    """One score file per evaluation, in the order of the steps."""
    trained_now: bool
    """Whether this call trained anything; False if the trial had ended before."""


def train_trial(
    method: str,
    protocol: str,
    data: Any,
    *,
    config: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    seed: int = 0,
    out: str | None = None,
    listener: Listener | None = None,
    device: str = "auto",
    any_device: bool = False,
) -> TrainedTrial:
    """Train a method once on a protocol; the same call resumes a trial that was stopped.

    The same trial in a sweep has the same id and gives the same scores, bit by bit.

    Args:
        method: name of a registered method.
        protocol: name of one protocol, for example ``O&C&I->M``.
        data: folder or URI of face shards, ``synthetic``, or ``{"synthetic": {...}}``.
        config: settings of the method that differ from their defaults.
        training: the training section of a sweep: ``profile`` (default ``full``) and overrides of it.
        seed: of all randomness.
        out: folder or URI of the trial; default: ``runs/train/<method>-<trial id>``.
        listener: its callbacks report progress.
        device: ``cpu``, ``cuda``, or ``auto``: CUDA where torch finds it.
        any_device: resume also on another kind of device than the trial was computed on.

    Returns:
        The trial, its folder and its score files; ``fasray.metrics`` and ``fasray metrics`` read those.

    Raises:
        SpecError: an unknown name or setting, a group of protocols, or a folder that holds another trial or is in use.
        DataError: faces are missing or damaged, or the pool has no room.
        ProtocolError: the data does not have what the protocol needs.
        DivergedError: the loss is no longer finite.
        InterruptedRunError: SIGINT or SIGTERM came; everything up to the last evaluation is saved.
    """
    if protocol in GROUPS:
        raise SpecError(
            f"{protocol!r} is a group of protocols, and one trial has one protocol",
            where="protocol",
            remedy=f"name one of: {', '.join(GROUPS[protocol])}",
        )
    spec = SweepSpec.model_validate(
        {
            "name": "train",
            "data": data,
            "protocols": [protocol],
            "methods": {method: {"space": {}, "config": dict(config or {})}},
            "search": {"seed": 0 if seed else 1},
            "scheduler": "fifo",
            "confirm": {"seeds": [seed]},
            "training": dict(training or {}),
        }
    )
    return _run(spec, seed, out, listener or Listener(), device, any_device)


def retrain_trial(
    spec_file: str,
    data: Any,
    *,
    out: str | None = None,
    listener: Listener | None = None,
    device: str = "auto",
    any_device: bool = False,
) -> TrainedTrial:
    """Train a trial of a sweep again, to the same scores.

    Args:
        spec_file: the trial's ``spec.json``.
        data: the very data that the trial was trained on.
        out: as in :func:`train_trial`.
        listener: as in :func:`train_trial`.
        device: as in :func:`train_trial`.
        any_device: as in :func:`train_trial`.

    Raises: as :func:`train_trial`, and
        DataError: the data is not what the trial was trained on, or ``spec_file`` is not a trial's.
        SpecError: this version of fasray makes a different trial of the same settings.
    """
    wanted = read_trial(spec_file)
    return _run(sweep_of(wanted, data, spec_file), wanted.seed, out, listener or Listener(), device, any_device, wanted)


def open_local_pool(dataset: Dataset, listener: Listener) -> FacePool:
    """Return this machine's pool of decoded faces; one that is missing or damaged is filled."""
    key = pool_key(dataset.manifest.hash, dataset.manifest.image_size)
    with contextlib.suppress(DataError):
        return FacePool.open(pool_folder(key))
    listener.on_stage("filling the pool of decoded faces")
    pool = open_or_fill_pool(key, storage.absolute(dataset.uri))
    if pool.excluded:
        listener.on_excluded(pool.excluded)
    return pool


def _run(
    spec: SweepSpec,
    seed: int,
    out: str | None,
    listener: Listener,
    asked: str,
    any_device: bool,
    wanted: Trial | None = None,
) -> TrainedTrial:
    """Train the trial of a sweep of one cell and no search."""
    from fasray.training.context import device_of_option  # imports torch

    device = device_of_option(asked)
    resolved = resolve_auto(spec, has_gpus=device == "cuda", environ=os.environ)
    spec, (method,) = resolved.spec, resolved.spec.methods
    spec.config(method)  # refuses what is wrong before any face is generated
    spec.training_of(method)
    for choice in resolved.choices:
        listener.on_stage(choice)
    with interruptible(out or "fasray train", SAVED):
        dataset = resolve_dataset(spec.data, listener.on_generate)
        plan = make_plan(spec, dataset.manifest.hash, dataset.index)
        cell = plan.cells[0]
        trial = plan.trial(cell, cell.configuration({}), seed)
        if wanted is not None:
            check_same(wanted, trial)
        folder = _claim_folder(out or str(Path("runs") / "train" / f"{trial.method}-{trial.id}"), trial)
        keep_copies(folder, plan.lists)
        pool = open_local_pool(dataset, listener)
        if trial.training.ingest == "stream":  # a trial that was streamed: the same numbers from a pool in its order
            pool = replace(pool, row_group=row_group_of(dataset.manifest))
        if not any_device:
            _check_device(trial, folder, device)
        return _train(trial, pool, cell.protocol.assign(pool.index), folder, listener, device)


def _claim_folder(out: str, trial: Trial) -> str:
    """Return the trial's folder.

    Raises:
        SpecError: it holds another trial.
        StorageError: the store does not answer, or does not let us in.
    """
    out = storage.resolve(out)
    storage.check_access(out)
    uri = storage.join(out, TRIAL_FILE)
    if storage.exists(uri):
        there = read_trial(uri)
        if there.id != trial.id:
            before, now = (one.model_dump(mode="json", exclude={"id"}) for one in (there, trial))
            raise SpecError(
                "this folder holds another trial:\n    " + "\n    ".join(difference(before, now)),
                where=uri,
                remedy="undo the change, or choose another --out",
            )
    return out


def _check_device(trial: Trial, folder: str, device: str) -> None:
    """Refuse to go on with a trial on another kind of device than its first evaluation was computed on."""
    import torch

    from fasray.training.computed_on import computed_on
    from fasray.training.evaluate import evaluation_of

    steps = trial.training.evaluation_steps()
    first, last = steps[0], steps[-1]
    table = find_scores(score_file(folder, first), trial.id, first)
    before = None if table is None else evaluation_of(trial, table, "").reading.device
    now = computed_on(trial, torch.device(device))["device"]
    if before is not None and before != now and not storage.exists(score_file(folder, last)):
        raise another_device([before], [now])


def _train(trial: Trial, pool: FacePool, roles: Roles, folder: str, listener: Listener, device: str) -> TrainedTrial:
    from fasray.training.context import Context  # imports torch
    from fasray.training.loop import evaluations

    lock = take_lock(folder)
    context = Context(folder, seed=trial.seed, total_steps=trial.training.steps, device=device)
    try:
        listener.on_trial_start(trial, folder)
        uris = []
        for evaluation in evaluations(trial, pool, roles, context):
            lock.check()
            listener.on_evaluation(trial, evaluation)
            uris.append(evaluation.score_uri)
    finally:
        lock.release()
    return TrainedTrial(trial, folder, tuple(uris), context.first_step_at is not None)
