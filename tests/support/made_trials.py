"""A pool of made 40 px faces and small trials on it; also run as a script, for a fresh process to train one."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from fasray import storage
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import FacePool, PoolWriter
from fasray.methods.base import Draw, StepContext
from fasray.methods.erm import ERM
from fasray.protocols.roles import Roles
from fasray.training.context import Context
from fasray.training.evaluation import Evaluation
from fasray.training.loop import evaluations
from fasray.training.trial import TrainingSpec, Trial, make_trial

SIZE, SUBJECTS, FRAMES = 40, 5, 2
TINY = TrainingSpec(image_size=32, width=0.125, steps=6, evaluations=3, eval_batch_size=7, images=2)


def made_index() -> FaceIndex:
    cells = [
        (domain, label, subject, frame)
        for domain in "ABC"
        for subject in range(SUBJECTS)
        for label in (0, 1)
        for frame in range(FRAMES)
    ]
    text = [""] * len(cells)
    return FaceIndex.of(
        {
            "label": [label for _, label, _, _ in cells],
            "domain": [domain for domain, *_ in cells],
            "attack_type": ["live" if label else "print" for _, label, _, _ in cells],
            "subject": [f"{domain}{subject}" for domain, _, subject, _ in cells],
            "video": [f"{domain}{subject}-{label}" for domain, label, subject, _ in cells],
            "frame": [frame for *_, frame in cells],
            "split": ["train"] * len(cells),
            **{name: text for name in ("instrument", "camera", "session")},
        }
    )


def made_roles(index: FaceIndex) -> Roles:
    source = np.isin(index.domain, ["A", "B"])
    dev = source & (np.char.str_len(index.subject) > 0) & (np.char.endswith(index.subject, "4"))
    return Roles(
        train=np.flatnonzero(source & ~dev),
        source_dev=np.flatnonzero(dev),
        target=np.flatnonzero(index.domain == "C"),
        domains=("A", "B"),
        domain_id=np.array([{"A": 0, "B": 1}.get(name, -1) for name in index.domain], dtype=np.int64),
    )


def made_pool(folder: Path, *, broken: tuple[int, ...] = (), seed: int = 0) -> FacePool:
    """Fill a pool with noise, live faces a little brighter; ``broken`` rows could not be decoded."""
    index, rng = made_index(), np.random.default_rng(seed)
    pool = PoolWriter(folder, SIZE, index, "made")
    rows = np.setdiff1d(np.arange(len(index)), broken)
    images = rng.integers(0, 200, (len(index), SIZE, SIZE, 3)) + 40 * index.label[:, None, None, None].astype(int)
    depth = rng.integers(0, 256, (len(index), 32, 32))
    parsing = rng.integers(0, 11, (len(index), 64, 64))
    pool.write(rows, *(part.astype(np.uint8)[rows] for part in (images, depth, parsing)))
    for row in broken:
        pool.exclude(row, "not a JPEG")
    return pool.finish()


def made_trial(method: str = "erm", seed: int = 1, training: TrainingSpec = TINY, **config: Any) -> Trial:
    return make_trial(
        method=method, config=config, training=training, protocol="A&B->C", fingerprint="f", data="made", seed=seed
    )


class Diverging(ERM):
    """ERM whose loss overflows after three steps."""

    name: ClassVar[str] = "diverging"

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        logs = super().step(draws, ctx)
        return {name: value * (math.inf if ctx.step == 3 else 1) for name, value in logs.items()}


def context_of(trial: Trial, folder: Path) -> Context:
    return Context(str(folder), seed=trial.seed, total_steps=trial.training.steps)


def run(
    trial: Trial, pool: FacePool, folder: Path, *, stop_after: int = 99, reported_step: int = -1
) -> list[Evaluation]:
    """Train until the end or until ``stop_after`` evaluations came, as if killed then."""
    running = evaluations(trial, pool, made_roles(pool.index), context_of(trial, folder), reported_step=reported_step)
    got = []
    for evaluation in running:
        got.append(evaluation)
        if len(got) == stop_after:
            break
    running.close()
    return got


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every score file and of the newest weights."""
    names = [name for name in storage.listing(str(folder)) if name.endswith(".parquet")]
    weights = sorted((folder / "checkpoint").glob("*.safetensors"))[-1]
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*(folder / name for name in names), weights]
    }


if __name__ == "__main__":
    pool, out, *methods = sys.argv[1:]
    for name in methods:
        run(made_trial(name), FacePool.open(pool), Path(out) / name)
