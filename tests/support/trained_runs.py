"""Small sweeps over a few generated faces that really train, in this process and without Ray."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sweep_fixtures import without_cost

from fasray.faces import jpeg
from fasray.faces.loading.pool import FacePool, PoolWriter, pool_folder, pool_key
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.reading import read_index
from fasray.faces.synthetic import generate
from fasray.protocols import parse
from fasray.runs.layout import trial_folder
from fasray.runs.ledger import Ledger
from fasray.runs.record import DataFacts
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import make_plan
from fasray.sweep.reuse import open_runs
from fasray.sweep.sweep_file import parse_sweep
from fasray.training.context import Context
from fasray.training.loop import evaluations

SWEEP = """
name: tiny
data: {data}
protocols: [O->C]
methods:
  erm: {{space: {{learning_rate: {{choice: [0.003, 0.03]}}}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 100}}
scheduler: fifo
confirm: {{seeds: [0, 1]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 6, evaluations: 3}}
"""
"""One cell: two searching and two confirming trials."""


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, its faces and the environment in which a command finds their pool."""

    run: Path
    data: Path
    env: dict[str, str]
    trained: tuple[str, ...] = ()
    """Ids of the trials that were handed out, in order."""


def train_run(
    folder: Path,
    text: str = SWEEP,
    *,
    subjects: int = 2,
    domains: str = "OC",
    data: Path | None = None,
    poisoned: str = "",
    reuse: Sequence[Path] = (),
) -> TrainedRun:
    """Generate faces, or take those of ``data``, decode them and run a sweep over them to its end.

    The pool has noise in place of the faces of ``poisoned`` domains. Trials are taken over from the runs ``reuse``.
    """
    pools, run = folder / "pools", folder / "run"
    if data is None:
        data = folder / "faces"
        generate(str(data), subjects=subjects, domains=domains, image_size=32, processes=1)
    pool = fill_pool(data, pools, poisoned)
    spec, manifest = parse_sweep(text.format(data=data)), read_manifest(str(data))
    plan = make_plan(spec, manifest.hash, read_index(str(data)))
    facts = DataFacts(manifest.hash, manifest.rows, manifest.image_size, manifest.card)
    with Ledger(str(run), spec.identity(), facts) as ledger:
        ledger.opened()
        others = open_runs(map(str, reuse), str(run), spec.target_split)
        coordinator, trained = Coordinator(plan, ledger.append, others), []
        coordinator.close_finished_searches()
        while (assignment := coordinator.next_assignment()) is not None:
            trial = assignment.trial
            trained.append(trial.id)
            context = Context(trial_folder(str(run), trial.id), seed=trial.seed, total_steps=trial.training.steps)
            roles = parse(trial.protocol).assign(pool.index)
            shown = roles if assignment.cell.scores_target(assignment.stage) else roles.sealed()
            running = evaluations(trial, pool, shown, context, reported_step=assignment.reported_step)
            for evaluation in running:
                if coordinator.report(trial.id, without_cost(evaluation.reading)) != "continue":
                    break
            running.close()
        assert coordinator.finished
        ledger.closed("complete")
    environment = {"FASRAY_POOL_DIR": str(pools), "OMP_NUM_THREADS": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FASRAY_"))}
    return TrainedRun(run, data, {**kept, **environment}, tuple(trained))


def fill_pool(data: Path, pools: Path, poisoned: str | NDArray[np.bool_] = "") -> FacePool:
    """Decode the faces of a set into the pool that commands look for; noise for ``poisoned`` domains, or rows [N]."""
    manifest, index = read_manifest(str(data)), read_index(str(data))
    table = pa.concat_tables([pq.read_table(data / shard.name) for shard in manifest.shards])
    images = [jpeg.decode(face) for face in table["image"].to_pylist()]
    assert all(image is not None for image in images)
    before = os.environ.get("FASRAY_POOL_DIR")
    os.environ["FASRAY_POOL_DIR"] = str(pools)
    try:
        place = pool_folder(pool_key(manifest.hash, manifest.image_size))
    finally:
        if before is None:
            del os.environ["FASRAY_POOL_DIR"]
        else:
            os.environ["FASRAY_POOL_DIR"] = before
    pool = PoolWriter(place, manifest.image_size, index, manifest.hash)
    maps = {
        name: np.stack([np.frombuffer(value, np.uint8).reshape(size, size) for value in table[name].to_pylist()])
        for name, size in (("depth", 32), ("parsing", 64))
    }
    faces = np.stack([image for image in images if image is not None])
    noisy = np.isin(index.domain, list(poisoned)) if isinstance(poisoned, str) else poisoned
    faces[noisy] = np.random.default_rng(0).integers(0, 256, faces[noisy].shape, dtype=np.uint8)
    pool.write(np.arange(len(index)), faces, **maps)
    return pool.finish()
