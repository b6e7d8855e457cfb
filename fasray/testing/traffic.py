"""What a step and an evaluation of a trial send to the device and wait for, batches included."""

from __future__ import annotations

from functools import partial
from typing import Any

from fasray.faces.loading.pool import FacePool
from fasray.protocols import parse
from fasray.testing.host_syncs import Traffic, watch
from fasray.training.batches import Batches, Way
from fasray.training.context import Context
from fasray.training.evaluate import score_on_device
from fasray.training.trial import Trial

MOST_UPLOADS = 4
"""In one step, or in one evaluation of faces that are on the device."""


def step_traffic(trial: Trial, pool: FacePool, step: int, way: Way) -> Traffic:
    """Make the batches of a step of a fresh trial and take it; return what went between host and device."""
    batches, method, context = _started(trial, pool, way)
    context.step = step

    def work() -> Any:
        return method.step(batches.step(step), context)

    return watch(work)


def evaluation_traffic(trial: Trial, pool: FacePool, way: Way) -> Traffic:
    """Score all rows of an evaluation of a fresh trial, up to where the scores are read; as :func:`step_traffic`."""
    batches, method, context = _started(trial, pool, way)
    return watch(partial(score_on_device, method, batches, context))


def _started(trial: Trial, pool: FacePool, way: Way) -> tuple[Batches, Any, Context]:
    context = Context("", seed=trial.seed, total_steps=trial.training.steps)
    roles, method = parse(trial.protocol).assign(pool.index), trial.build_method()
    method.build(trial.shape(len(roles.domains)))
    return Batches(trial, pool, roles, method, context, way), method, context
