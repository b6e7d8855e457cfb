"""Whole run directories made without training: a log and score files of any number of cells and trials."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from score_runs import MadeTrial, made_reading, score_path, write_record

from fasray.runs.scores import SCORE_SCHEMA

METHODS = ("erm", "ssdg", "rfmeta", "safas", "hfn_mp", "oneside_triplet", "sdfanet")
PROTOCOLS = ("O&C&I->M", "O&M&I->C", "O&C&M->I", "I&C&M->O")


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    methods: Sequence[str] = METHODS[:2]
    protocols: Sequence[str] = PROTOCOLS[:2]
    searched: int = 6
    seeds: Sequence[int] = (0, 1, 2)
    evaluations: int = 4
    target_videos: int = 60
    source_videos: int = 24
    frames: int = 2
    ablations: Sequence[str] = ()
    """Parts that are switched off once for each seed; the runs get worse without them."""


def write_run(folder: Path, size: Size, *, card: dict[str, Any] | None = None, name: str = "made") -> int:
    """Write a finished run directory and return its number of trials.

    Every trial gets better with its steps and its ``weight``; half of the search trials are cut at the middle.
    """
    trials: list[MadeTrial] = []
    for method in size.methods:
        for protocol in size.protocols:
            rng = np.random.default_rng(zlib.crc32(f"{method} {protocol}".encode()))
            layout = _layout(protocol, size)
            confirms = [(seed, part) for part in ("", *size.ablations) for seed in size.seeds]
            for number in range(size.searched + len(confirms)):
                confirm = number - size.searched
                seed, part = (100, "") if confirm < 0 else confirms[confirm]
                cut = confirm < 0 and number % 2 == 1
                weight = 0.5 if confirm >= 0 else float(rng.uniform(0.05, 0.6))
                steps = tuple(100 * (n + 1) for n in range(size.evaluations // 2 if cut else size.evaluations))
                trial = f"{len(trials):016x}"
                config = {"weight": weight, "alpha": float(rng.choice([0.9, 0.99])), "momentum": 0.9}
                readings = []
                for step in steps:
                    quality = 0.6 + weight / 2 + 0.2 * step / (100 * size.evaluations) - 0.25 * bool(part)
                    _write_scores(folder, trial, step, layout, quality, rng)
                    readings.append(made_reading(step, min(quality, 1.0), seconds=12.5))
                trials.append(
                    MadeTrial(
                        trial, method, protocol, "search" if confirm < 0 else "confirm", seed, config,
                        ("weight", "alpha"), "stopped" if cut else "done", 100 * size.evaluations, steps, readings,
                        variant=part,
                    )
                )  # fmt: skip
    spec = {"name": name, "data": "nowhere", "protocols": [*size.protocols], "methods": dict.fromkeys(size.methods)}
    write_record(folder, trials, spec=spec, card=card or {"kind": "prepared"}, versions={"fasray": "0.1.0"})
    return len(trials)


def _layout(protocol: str, size: Size) -> dict[str, list[Any]]:
    """Return every column of a protocol's score files but the scores."""
    sources, target = protocol.split("->")
    columns: dict[str, list[Any]] = {name: [] for name in SCORE_SCHEMA.names if name != "score"}
    for domain in (*sources.split("&"), target):
        role, videos = ("target", size.target_videos) if domain == target else ("source-dev", size.source_videos)
        for video in range(videos):
            label = int(video % 3 == 0)
            attack = "live" if label else ("print", "replay")[video % 2]
            for frame in range(size.frames):
                row = (role, label, domain, attack, "", f"{domain}{video // 6}", f"{domain}-{video:04d}", frame)
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    return columns


def _write_scores(
    folder: Path, trial: str, step: int, layout: dict[str, list[Any]], quality: float, rng: np.random.Generator
) -> None:
    label, role = np.array(layout["label"]), np.array(layout["role"])
    gap = np.where(role == "target", 0.3, 0.6) * quality
    score = np.clip(0.5 + (label - 0.5) * gap + rng.normal(0, 0.2, len(label)), 0.001, 0.999)
    metadata = {"fasray.trial": trial, "fasray.step": str(step), "fasray.total_steps": "1"}
    columns = {name: score if name == "score" else layout[name] for name in SCORE_SCHEMA.names}
    path = score_path(folder, trial, step)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=SCORE_SCHEMA.with_metadata(metadata)), path)
