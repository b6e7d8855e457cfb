"""Several workers in the real loop: batches shared, gradients, statistics, scores and files those of one worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from plain_workers import SubprocessTask, train_by

from fasray.methods import registry
from fasray.testing.faces import made_faces, toy_trial

SMALL = {"hfn_mp": {"inner_loops": 2, "learning_rate": 1e-6}}
"""Settings that make a method cheap to test, and steady: a hundred layers of BatchNorm make 1e-6 of a difference of
1e-15 within two steps of the published size."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two steps of every method in float64, by one worker and by two; the folder of each."""
    folder = tmp_path_factory.mktemp("workers")
    made_faces(folder / "pool")
    trials = {}
    for name in registry.names():
        kind = registry.get(name)
        balanced = kind(kind.Config.model_validate(SMALL.get(name, {}))).sampling.kind == "balanced"
        images = 4 if balanced else 24
        trials[name] = toy_trial(kind, SMALL.get(name, {}), steps=2, evaluations=2, images=images)
    for workers in (1, 2):
        tasks = [
            SubprocessTask(trial.model_dump_json(), str(folder / str(workers) / name)) for name, trial in trials.items()
        ]
        train_by(workers, tasks, folder / "pool", in_double=True)
    return {workers: folder / str(workers) for workers in (1, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names())
def test_two_workers_leave_the_scores_of_one(trained: dict[int, Path], name: str) -> None:
    one, two = (sorted((trained[workers] / name).glob("eval-*.parquet")) for workers in (1, 2))
    assert (
        [path.name for path in one] == [path.name for path in two] == ["eval-00000001.parquet", "eval-00000002.parquet"]
    )
    for path, other in zip(one, two, strict=True):
        ours, theirs = (pq.read_table(file) for file in (path, other))
        assert ours.drop(["score"]).equals(theirs.drop(["score"]))
        np.testing.assert_allclose(np.asarray(theirs["score"]), np.asarray(ours["score"]), rtol=0, atol=1e-9)
