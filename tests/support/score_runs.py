"""Hand-made runs: score files on disk with a known quality at each step, and the records of their trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fasray.faces.record import SCORE_SCHEMA
from fasray.results.scores import RunView


@dataclass(frozen=True)
class MadeReading:
    step: int
    source_dev_auc: float
    source_dev_loss: float = 0.5
    seconds: float = 1.5
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None


@dataclass(frozen=True)
class MadeTrial:
    id: str
    method: str = "erm"
    protocol: str = "C&M->I"
    stage: str = "confirm"
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    searched: tuple[str, ...] = ()
    status: str = "done"
    total_steps: int = 30
    steps: tuple[int, ...] = (10, 20, 30)
    readings: Sequence[MadeReading] = ()
    variant: str = ""


def score_table(
    rng: np.random.Generator,
    source_gap: float,
    target_gap: float,
    *,
    videos: int = 12,
    frames: int = 3,
    sources: Sequence[str] = ("C", "M"),
    target: str = "I",
) -> dict[str, list[Any]]:
    """Columns of a score file; the gaps are the distances of live from attack, noise has deviation 0.15."""
    columns: dict[str, list[Any]] = {name: [] for name in SCORE_SCHEMA.names}
    for domain in (*sources, target):
        role, gap = ("target", target_gap) if domain == target else ("source-dev", source_gap)
        for number in range(videos):
            label = number % 2
            attack = "live" if label else ("print", "replay")[number // 2 % 2]
            offset = rng.normal(0, 0.1)
            for frame in range(frames):
                score = float(np.clip(0.5 + (label - 0.5) * gap + offset + rng.normal(0, 0.1), 0.001, 0.999))
                subject = f"{domain}{number // 4}"
                values = (role, score, label, domain, attack, "", subject, f"{domain}-v{number}", frame)
                for name, value in zip(SCORE_SCHEMA.names, values, strict=True):
                    columns[name].append(value)
    return columns


def write_scores(path: Path, trial: str, step: int, columns: Mapping[str, Sequence[Any]]) -> None:
    metadata = {"fasray.trial": trial, "fasray.step": str(step), "fasray.total_steps": "30"}
    table = pa.table(dict(columns), schema=SCORE_SCHEMA.with_metadata(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def score_path(folder: Path, trial: str, step: int) -> Path:
    return folder / "trials" / trial / f"eval-{step:08d}.parquet"


def make_run(folder: Path, trials: Sequence[MadeTrial], **view: Any) -> RunView:
    """Write a score file for every step of every trial; qualities differ by trial and step, seeded by both."""
    for trial in trials:
        for number, step in enumerate(trial.steps):
            rng = np.random.default_rng([len(trial.id), sum(map(ord, trial.id)), step])
            gap = 0.15 + 0.1 * ((number + trial.seed) % 3)
            columns = score_table(rng, gap, 0.35 - gap / 2)
            write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    return RunView(
        name=view.pop("name", "made"),
        spec_text=view.pop("spec_text", "name: made\n"),
        trials=list(trials),
        score_uri=lambda trial, step: str(score_path(folder, trial, step)),
        **view,
    )
