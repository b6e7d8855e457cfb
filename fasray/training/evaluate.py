"""Scoring source-dev and target rows, the immutable score file of an evaluation, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError, DivergedError
from fasray.faces.loading import augment
from fasray.faces.loading.row_groups import Rows
from fasray.faces.loading.source import FaceSource
from fasray.faces.record import SCORE_SCHEMA
from fasray.methods.base import Method
from fasray.metrics.summary import SOURCE_DEV, TARGET, SourceDev, source_dev_summary
from fasray.protocols.roles import Roles
from fasray.training.context import Context
from fasray.training.spent import Spent
from fasray.training.trial import TrainingSpec, Trial


@dataclass(frozen=True)
class Evaluation:
    """What scheduler, searcher and progress display learn of one evaluation; nothing of it comes from the target."""

    step: int
    """Optimizer steps done."""
    epoch: int
    """Number of the evaluation, from 1."""
    source_dev_auc: float
    """Macro average over the source domains of the video-level AUC, in [0, 1]."""
    source_dev_loss: float
    """Macro average of the video-level binary cross-entropy; breaks ties of the AUC."""
    done: bool
    """This was the last evaluation of the full budget."""
    score_uri: str
    train_logs: Mapping[str, float] = field(default_factory=dict)
    """Means of the method's logs since the last evaluation."""
    seconds: float = 0.0
    """Wall seconds since the last evaluation, evaluating included; 0 if read back after a resume."""
    images_per_second: float = 0.0
    """Training images of all workers per second of training; 0 if read back after a resume."""
    spent: Spent | None = None
    """What was taken since the last evaluation, evaluating and writing included; None if read back after a resume."""


def score_uri(trial_dir: str, step: int) -> str:
    """Return the name of the score file of an evaluation."""
    return storage.join(trial_dir, f"eval-{step:08d}.parquet")


def score_rows(method: Method, trial: Trial, bank: FaceSource, rows: Rows, context: Context) -> NDArray[np.float64]:
    """Return one live score per row, [len(rows)], in evaluation mode.

    The rows are cut into batches of ``eval_batch_size`` in their order, always the same way, and the batches go round
    the workers; every worker gets all scores. Scoring is in float32 even if training is in bfloat16, whose 8 bits would
    tie most scores.

    Raises:
        DivergedError: a score is not a finite number.
    """
    training = trial.training
    size = training.eval_batch_size
    scores = torch.zeros(len(rows), dtype=torch.float64)
    method.networks.eval()
    try:
        with torch.inference_mode():
            for number, start in enumerate(range(0, len(rows), size)):
                if number % context.world_size != context.rank:
                    continue
                faces = bank.pick(rows[start : start + size])
                context.bytes_read += faces.nbytes
                scores[start : start + size] = score_batch(method, training, faces.images, context.device)
    finally:
        method.networks.train()
    if context.world_size > 1:
        scores = context.total(scores.to(context.device)).cpu()
    result: NDArray[np.float64] = scores.numpy()
    if not np.isfinite(result).all():
        raise DivergedError(
            f"{int((~np.isfinite(result)).sum())} of {len(result)} scores are not finite numbers",
            where=f"trial {trial.id}, step {context.step}",
            remedy="lower the learning rate or the loss weights",
        )
    return result


def score_batch(
    method: Method, training: TrainingSpec, images: NDArray[np.uint8], device: torch.device
) -> torch.Tensor:
    """Return [B] float64 scores of stored crops, [B, S, S, 3] uint8; the networks are in evaluation mode."""
    batch = augment.evaluation(images, training.augment_of(method), training.image_size, device)
    if training.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last)
    return method.score(batch).to("cpu", torch.float64)


def score_table(
    trial: Trial, bank: FaceSource, roles: Roles, method: Method, context: Context, train_logs: Mapping[str, float]
) -> pa.Table:
    """Score all valid source-dev and target rows and return the table of SCORE_SCHEMA, source-dev rows first.

    The domain of source-dev rows is their training domain (``Roles.domain_names``). Rows whose image could not be
    decoded are left out and listed in the metadata.
    """
    parts = list(zip((SOURCE_DEV, TARGET), scored_rows(bank, roles), strict=True))
    rows = np.concatenate([part for _, part in parts])
    faces = bank.index.take(rows)
    columns = {
        **faces.columns(),
        "role": np.repeat([role for role, _ in parts], [len(part) for _, part in parts]),
        "score": score_rows(method, trial, bank, rows, context),
        "domain": roles.domain_names(bank.index)[rows],
    }
    excluded = [
        {"role": role, "video": entry.video, "frame": entry.frame, "reason": entry.reason}
        for role, members in (("train", roles.train), (SOURCE_DEV, roles.source_dev), (TARGET, roles.target))
        for entry in bank.excluded
        if entry.row in members
    ]
    metadata = {
        "fasray.trial": trial.id,
        "fasray.step": str(context.step),
        "fasray.total_steps": str(trial.training.steps),
        "fasray.train_logs": json.dumps(dict(train_logs), sort_keys=True, allow_nan=False),
        "fasray.excluded": json.dumps(excluded),
    }
    arrays = [pa.array(columns[entry.name], type=entry.type) for entry in SCORE_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCORE_SCHEMA.with_metadata(metadata))


def write_scores(uri: str, table: pa.Table) -> pa.Table:
    """Write a score file unless a readable one of the same trial and step stands there; return the one that stands."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    data = sink.getvalue().to_pybytes()
    if storage.write_once(uri, data):
        return table
    metadata = table.schema.metadata
    standing = read_scores(uri, metadata[b"fasray.trial"].decode(), int(metadata[b"fasray.step"]))
    if standing is not None:
        return standing
    storage.write_bytes(uri, data)
    return table


def read_scores(uri: str, trial: str, step: int) -> pa.Table | None:
    """Return the score file of a trial's step; ``None`` if it is missing, damaged or of something else."""
    try:
        data = pa.BufferReader(storage.read_bytes(uri))
        table = pq.read_table(data, page_checksum_verification=True)
    except (DataError, pa.ArrowException, OSError):
        return None
    metadata = table.schema.metadata or {}
    told = (metadata.get(b"fasray.trial", b"").decode(), metadata.get(b"fasray.step", b"").decode())
    if told != (trial, str(step)) or not table.schema.equals(SCORE_SCHEMA, check_metadata=False):
        return None
    return table


def source_dev_of(table: pa.Table) -> SourceDev:
    """Return the source-dev figures of a score table; its target rows are not looked at."""
    chosen = table.filter(pc.equal(table["role"], SOURCE_DEV))
    names = ("role", "score", "label", "domain", "video")
    return source_dev_summary(*(chosen[name].to_numpy(zero_copy_only=False) for name in names))


def evaluation_of(
    trial: Trial, table: pa.Table, uri: str, *, seconds: float = 0.0, images_per_second: float = 0.0
) -> Evaluation:
    """Return what is told of a score file: a function of its source-dev rows and its training logs alone."""
    step = int(table.schema.metadata[b"fasray.step"])
    steps = trial.training.evaluation_steps()
    summary = source_dev_of(table)
    return Evaluation(
        step=step,
        epoch=steps.index(step) + 1,
        source_dev_auc=summary.auc,
        source_dev_loss=summary.loss,
        done=step == steps[-1],
        score_uri=uri,
        train_logs=json.loads(table.schema.metadata[b"fasray.train_logs"]),
        seconds=seconds,
        images_per_second=images_per_second,
    )


def scored_rows(bank: FaceSource, roles: Roles) -> tuple[Rows, Rows]:
    """Return the source-dev and the target rows that every evaluation scores, in this order."""
    return valid_rows(bank, roles.source_dev), valid_rows(bank, roles.target)


def valid_rows(bank: FaceSource, rows: Rows) -> Rows:
    """Return the rows whose image could be decoded."""
    return rows[bank.valid[rows]]
