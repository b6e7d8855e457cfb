"""Run directories of any size, written without training: a coordinator's log, and score files for all of it."""

from __future__ import annotations

import json
import os
import socket
import zlib
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fasray.faces.data_source import Dataset
from fasray.metrics import SOURCE_DEV, TARGET, source_dev_summary
from fasray.runs.driver import now
from fasray.runs.events import EVENTS, Closed, Event, Opened
from fasray.runs.layout import DATA_FILE, LOG_FILE, SPEC_FILE, score_file, trial_folder
from fasray.runs.reading import Reading
from fasray.runs.revision import versions
from fasray.runs.scores import SCORE_SCHEMA
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import make_plan
from fasray.sweep.spec import SweepSpec
from fasray.training.trial import Trial

PROTOCOLS = tuple(f"{a}&{b}->{t}" for a, b in combinations("OCIM", 2) for t in "OCIM" if t not in (a, b))
"""Two source domains of four, one target: twelve."""
SEEDS = 5
"""Confirming runs of each cell."""
_QUALITIES, _VIDEOS, _FRAMES = 4, 24, 2
_NO_TRIAL = "0" * 16
_COST = {"seconds": 1.5, "cpu_seconds": 1.75, "gpu_seconds": 0.0, "bytes_read": 2_000_000, "bytes_written": 100_000}


def synthetic_spec(data: str, method: str, trials: int, cells: int, evaluations: int) -> SweepSpec:
    """Return a sweep in which nothing is stopped early.

    Args:
        data: faces of the domains O, C, I and M.
        method: name.
        trials: of all cells together, the same number in each, ``SEEDS`` of them confirming.
        cells: one to twelve.
        evaluations: of each trial.
    """
    return SweepSpec.model_validate(
        {
            "name": "made",
            "data": data,
            "protocols": PROTOCOLS[:cells],
            "methods": [method],
            "search": {
                "algorithm": "random", "trials_per_cell": max(trials // cells - SEEDS, 1), "seed": 100,
                "per": "cell", "score_target": True,
            },
            "scheduler": "fifo",
            "confirm": {"seeds": list(range(SEEDS))},
            "training": {"profile": "quick", "image_size": 32, "steps": evaluations, "evaluations": evaluations},
        }
    )  # fmt: skip


def write_synthetic_run(run: Path, spec: SweepSpec, dataset: Dataset) -> int:
    """Write a finished run of a sweep and return its number of trials; scores and seconds are synthetic.

    Args:
        run: folder; made.
        spec: the sweep.
        dataset: its faces, of which only the index counts.
    """
    run.mkdir(parents=True)
    manifest = dataset.manifest
    (run / SPEC_FILE).write_text(yaml.safe_dump({"hash": spec.hash(), "sweep": spec.identity()}, sort_keys=False))
    facts = {"manifest_hash": manifest.hash, "rows": manifest.rows, "image_size": manifest.image_size}
    (run / DATA_FILE).write_text(json.dumps({**facts, "card": dict(manifest.card)}))
    events: list[Event] = [Opened(at=now(), host=socket.gethostname(), pid=os.getpid(), versions=versions())]
    coordinator = Coordinator(make_plan(spec, manifest.hash, dataset.index), events.append)
    coordinator.close_finished_searches()
    while (assignment := coordinator.next_assignment()) is not None:
        (run / "trials" / assignment.trial.id).mkdir(parents=True)
        for step in assignment.trial.training.evaluation_steps():
            scores = _score_file_of(assignment.trial, step)
            Path(score_file(trial_folder(str(run), assignment.trial.id), step)).write_bytes(scores.content)
            coordinator.report(
                assignment.trial.id,
                Reading(step=step, source_dev_auc=scores.auc, source_dev_loss=scores.loss, **_COST),
            )
    events.append(Closed(at=now(), status="complete"))
    (run / LOG_FILE).write_bytes(b"".join(EVENTS.dump_json(event) + b"\n" for event in events))
    return len(coordinator.records)


@dataclass(frozen=True)
class _ScoreFile:
    content: bytes
    auc: float
    loss: float


def _score_file_of(trial: Trial, step: int) -> _ScoreFile:
    """Return a file that differs from others in little more than the trial's id, so that 200,000 are soon made."""
    made = _score_file(trial.protocol, step, int(trial.id, 16) % _QUALITIES)
    return replace(made, content=made.content.replace(_NO_TRIAL.encode(), trial.id.encode()))


@cache
def _score_file(protocol: str, step: int, quality: int) -> _ScoreFile:
    """Return a score file whose trial id is a placeholder of the same length, outside the compressed part."""
    rng = np.random.default_rng(zlib.crc32(f"{protocol} {step} {quality}".encode()))
    sources, target = protocol.split("->")
    columns: dict[str, list[object]] = {name: [] for name in SCORE_SCHEMA.names}
    for domain in (*sources.split("&"), target):
        for video in range(_VIDEOS * (2 if domain == target else 1)):
            live = video % 3 == 0
            score = np.clip(0.4 + 0.2 * live + rng.normal(0, 0.15 - 0.01 * quality, _FRAMES), 0.001, 0.999)
            for frame in range(_FRAMES):
                row: dict[str, object] = {
                    "role": TARGET if domain == target else SOURCE_DEV, "domain": domain, "label": int(live),
                    "attack_type": "live" if live else ("print", "replay")[video % 2], "instrument": "",
                    "subject": f"{domain}{video // 6}", "video": f"{domain}-{video:04d}", "frame": frame,
                    "score": float(score[frame]),
                }  # fmt: skip
                for name, values in columns.items():
                    values.append(row[name])
    metadata = {"fasray.trial": _NO_TRIAL, "fasray.step": str(step), "fasray.total_steps": "1"}
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCORE_SCHEMA, compression="zstd", store_schema=False) as writer:
        writer.write_table(pa.table(columns, schema=SCORE_SCHEMA))
        writer.add_key_value_metadata(metadata)
    names = ("role", "score", "label", "domain", "video")
    summary = source_dev_summary(*(np.array(columns[name]) for name in names))
    return _ScoreFile(sink.getvalue().to_pybytes(), summary.auc, summary.loss)
