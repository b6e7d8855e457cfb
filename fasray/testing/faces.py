"""A pool of made faces whose domains are very unequal in size, and short trials on it through the real loop."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fasray import storage
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import FacePool, PoolWriter
from fasray.methods.base import Method
from fasray.protocols import Protocol, parse
from fasray.runs.layout import CHECKPOINT_FOLDER
from fasray.training.context import Context
from fasray.training.evaluation import Evaluation
from fasray.training.loop import evaluations
from fasray.training.trial import TrainingSpec, Trial, make_trial

STORED_SIZE = 40
"""Side of the stored crops, pixels."""
SUBJECTS: Mapping[str, int] = {"A": 8, "B": 4, "C": 2, "D": 3, "T": 2}
"""Subjects by domain; T is the unseen one. Of each person one live frame and three of an attack."""
_FRAMES = {1: 1, 0: 3}
TOY_TRAINING = TrainingSpec(image_size=32, width=0.125, steps=6, evaluations=3, eval_batch_size=7)
KILLED_AT = 3
"""Step at which a trial is killed: after its first evaluation (2) and between two checkpoints."""


def made_faces(folder: Path, *, seed: int = 0) -> FacePool:
    """Fill a pool at ``folder`` with noise, live faces a little brighter, and return it, open."""
    index, rng = made_index(), np.random.default_rng(seed)
    count = len(index)
    images = rng.integers(0, 200, (count, STORED_SIZE, STORED_SIZE, 3)) + 40 * index.label[:, None, None, None].astype(
        int
    )
    depth = rng.integers(0, 256, (count, 32, 32))
    parsing = rng.integers(0, 11, (count, 64, 64))
    pool = PoolWriter(folder, STORED_SIZE, index, "made")
    pool.write(np.arange(count), *(part.astype(np.uint8) for part in (images, depth, parsing)))
    return pool.finish()


def made_index() -> FaceIndex:
    """Return the table of the made faces."""
    cells = [
        (domain, label, f"{domain}{subject}", frame)
        for domain, subjects in SUBJECTS.items()
        for subject in range(subjects)
        for label, frames in _FRAMES.items()
        for frame in range(frames)
    ]
    text = [""] * len(cells)
    return FaceIndex.of(
        {
            "label": [label for _, label, _, _ in cells],
            "domain": [domain for domain, *_ in cells],
            "attack_type": ["live" if label else "print" for _, label, _, _ in cells],
            "subject": [subject for _, _, subject, _ in cells],
            "video": [f"{subject}-{label}" for _, label, subject, _ in cells],
            "frame": [frame for *_, frame in cells],
            "split": ["train"] * len(cells),
            **{name: text for name in ("instrument", "camera", "session")},
        }
    )


def toy_protocol(num_domains: int) -> Protocol:
    """Return the protocol with the first ``num_domains`` made domains as sources and T as target."""
    sources = [name for name in SUBJECTS if name != "T"][:num_domains]
    return parse(f"{'&'.join(sources)}->T")


def toy_trial(kind: type[Method], config: Mapping[str, Any], *, num_domains: int = 3, **training: Any) -> Trial:
    """Return a trial of a few steps with one image of each (domain, label) group.

    Args:
        kind: class of a method that the registry knows.
        config: its settings.
        num_domains: source domains.
        training: overrides of ``TOY_TRAINING``.

    Raises:
        SpecError: ``config`` is not one of the method's.
    """
    method = kind(kind.Config.model_validate(dict(config)))
    images = 1 if method.sampling.kind == "balanced" else 2 * num_domains
    protocol = toy_protocol(num_domains)
    return make_trial(
        method=kind.name,
        config=config,
        training=TOY_TRAINING.model_copy(update={"images": images, **training}),
        protocol=protocol.name,
        fingerprint=protocol.fingerprint(),
        data="made",
        seed=1,
    )


def train_toy(trial: Trial, pool: FacePool, folder: Path, *, context: Context | None = None) -> list[Evaluation]:
    """Train a toy trial in ``folder`` to its end, from its newest checkpoint if there is one."""
    roles = parse(trial.protocol).assign(pool.index)
    context = context or Context(str(folder), seed=trial.seed, total_steps=trial.training.steps)
    return list(evaluations(trial, pool, roles, context))


class Doomed(Context):
    """A single worker that is killed, as the kernel does it, when it comes to step ``KILLED_AT``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "step" and value == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        super().__setattr__(name, value)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every score file of a trial and of its newest weights, by file name."""
    names = [name for name in storage.listing(str(folder)) if name.endswith(".parquet")]
    weights = sorted((folder / CHECKPOINT_FOLDER).glob("*.safetensors"))[-1:]
    files = [*(folder / name for name in names), *weights]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
