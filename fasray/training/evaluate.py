"""Scoring source-dev and target rows, and what is reported of an evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from fasray.errors import DivergedError
from fasray.faces.loading import augment
from fasray.methods.base import Method
from fasray.protocols.roles import Roles
from fasray.runs.reading import Reading
from fasray.runs.scores import SCORE_SCHEMA, source_dev_of
from fasray.training.batches import Batches
from fasray.training.computed_on import computed_on
from fasray.training.context import Context
from fasray.training.evaluation import Evaluation
from fasray.training.trial import TrainingSpec, Trial


def score_rows(method: Method, trial: Trial, batches: Batches, context: Context) -> NDArray[np.float64]:
    """Return one live score for each of ``batches.scored``, one part after the other, in evaluation mode.

    The rows are cut into batches in their order, always the same way (:func:`fasray.training.batches.scoring_batch`),
    and the batches go round the workers; every worker gets all scores. Scoring is in float32 even if training is in
    bfloat16, whose 8 bits would tie most scores. The host waits for the device once, at the end.

    Raises:
        DivergedError: a score is not a finite number.
    """
    scores = score_on_device(method, batches, context)
    if context.world_size > 1:
        scores = context.total(scores)
    result: NDArray[np.float64] = scores.cpu().numpy()
    if not np.isfinite(result).all():
        raise DivergedError(
            f"{int((~np.isfinite(result)).sum())} of {len(result)} scores are not finite numbers",
            where=f"trial {trial.id}, step {context.step}",
            remedy="lower the learning rate or the loss weights",
        )
    return result


def score_on_device(method: Method, batches: Batches, context: Context) -> Tensor:
    """Return this worker's scores in their places, float64 on the device, and zeros for the other workers' rows."""
    scores = torch.zeros(sum(map(len, batches.scored)), dtype=torch.float64, device=context.device)
    method.networks.eval()
    try:
        with torch.inference_mode():
            for place, images in batches.images_to_score():
                scores[place] = method.score(images).to(torch.float64)
    finally:
        method.networks.train()
    return scores


def score_batch(
    method: Method, training: TrainingSpec, images: NDArray[np.uint8], device: torch.device
) -> torch.Tensor:
    """Return [B] float64 scores of stored crops, [B, S, S, 3] uint8; the networks are in evaluation mode."""
    batch = augment.evaluation(images, training.augment_of(method), training.image_size, device)
    if training.channels_last:
        batch = batch.contiguous(memory_format=torch.channels_last)
    return method.score(batch).to("cpu", torch.float64)


def score_table(
    trial: Trial,
    batches: Batches,
    roles: Roles,
    method: Method,
    context: Context,
    train_logs: Mapping[str, float],
) -> pa.Table:
    """Score the chosen source-dev rows, and those of the targets that ``roles`` shows; return a table of SCORE_SCHEMA.

    Source-dev rows come first. Their domain is their training domain (``Roles.domain_names``). Rows whose image could
    not be decoded are left out and listed in the metadata.
    """
    parts, face_source = list(zip(roles.scored, batches.scored, strict=True)), batches.face_source
    rows = np.concatenate([part for _, part in parts])
    faces = face_source.index.take(rows)
    columns = {
        **faces.columns(),
        "role": np.repeat([role for role, _ in parts], [len(part) for _, part in parts]),
        "score": score_rows(method, trial, batches, context),
        "domain": roles.domain_names(face_source.index)[rows],
    }
    excluded = [
        {"role": role, "video": entry.video, "frame": entry.frame, "reason": entry.reason}
        for role, members in {"train": roles.train, **roles.scored}.items()
        for entry in face_source.excluded
        if entry.row in members
    ]
    metadata = {
        "fasray.trial": trial.id,
        "fasray.step": str(context.step),
        "fasray.total_steps": str(trial.training.steps),
        "fasray.train_logs": json.dumps(dict(train_logs), sort_keys=True, allow_nan=False),
        "fasray.excluded": json.dumps(excluded),
        "fasray.computed_on": json.dumps(computed_on(trial, context.device)),
    }
    arrays = [pa.array(columns[entry.name], type=entry.type) for entry in SCORE_SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCORE_SCHEMA.with_metadata(metadata))


def evaluation_of(
    trial: Trial,
    table: pa.Table,
    uri: str,
    *,
    seconds: float = 0.0,
    evaluation_seconds: float | None = None,
    images_per_second: float = 0.0,
) -> Evaluation:
    """Return what is reported of a score file: a function of its source-dev rows and its training logs alone."""
    metadata = table.schema.metadata
    step, on = int(metadata[b"fasray.step"]), json.loads(metadata.get(b"fasray.computed_on", b"{}"))
    steps = trial.training.evaluation_steps()
    summary = source_dev_of(table)
    return Evaluation(
        Reading(
            step=step,
            source_dev_auc=summary.auc,
            source_dev_loss=summary.loss,
            seconds=seconds,
            evaluation_seconds=evaluation_seconds,
            **on,
        ),
        epoch=steps.index(step) + 1,
        done=step == steps[-1],
        score_uri=uri,
        train_logs=json.loads(metadata[b"fasray.train_logs"]),
        images_per_second=images_per_second,
    )
