"""Every evaluation says what it was computed on, also one that is read back from its score file."""

from pathlib import Path

import torch
from made_trials import TINY, context_of, made_roles, made_trial, run

from fasray.faces.loading.pool import FacePool
from fasray.training.loop import evaluations


def test_readings_name_device_precision_and_torch(pool: FacePool, tmp_path: Path) -> None:
    trial = made_trial(training=TINY.model_copy(update={"precision": "bf16"}))
    first = run(trial, pool, tmp_path, stop_after=1)
    again = next(evaluations(trial, pool, made_roles(pool.index), context_of(trial, tmp_path)))
    for reading in (first[0].reading, again.reading):
        assert (reading.device, reading.precision, reading.torch) == ("cpu", "bf16", torch.__version__)
