"""Hand-made runs: score files on disk with a known quality at each step, and the log of their trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fasray.runs.events import EVENTS, Ended, Event, Opened, Reported, Stage, Status, Suggested, TrialRecord, trials_of
from fasray.runs.layout import DATA_FILE, LOG_FILE, SPEC_FILE, score_file, trial_folder
from fasray.runs.reading import Reading
from fasray.runs.record import RunRecord, identity_hash, read_run
from fasray.runs.scores import SCORE_SCHEMA


@dataclass(frozen=True)
class MadeTrial:
    """What a trial of a made run is; its events follow from it."""

    id: str
    method: str = "erm"
    protocol: str = "C&M->I"
    stage: Stage = "confirm"
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    searched: tuple[str, ...] = ()
    status: Status = "done"
    total_steps: int = 30
    steps: tuple[int, ...] = (10, 20, 30)
    readings: Sequence[Reading] = ()
    """Left out: one for each of ``steps``, all alike."""
    variant: str = ""

    def events(self) -> list[Event]:
        """The events of the log that make it what it is."""
        readings = self.readings or [made_reading(step, 0.8) for step in self.steps]
        end = {"done": "done", "stopped": "stop"}.get(self.status, "continue")
        decisions = ["continue"] * (len(readings) - 1) + [end]
        suggested = Suggested(
            trial=self.id, method=self.method, protocol=self.protocol, stage=self.stage, seed=self.seed,
            config=dict(self.config), searched=self.searched, total_steps=self.total_steps, variant=self.variant,
        )  # fmt: skip
        reported = [
            Reported.model_validate({"trial": self.id, "decision": decision, **dict(reading)})
            for reading, decision in zip(readings, decisions, strict=False)
        ]
        failed = self.status in ("diverged", "failed")
        ended = [Ended.model_validate({"trial": self.id, "status": self.status, "reason": "made"})] if failed else []
        return [suggested, *reported, *ended]


def made_reading(step: int, source_dev_auc: float, **facts: float | None) -> Reading:
    return Reading.model_validate(
        {"step": step, "source_dev_auc": source_dev_auc, "source_dev_loss": 0.5, "seconds": 1.5, **facts}
    )


def records(trials: Iterable[MadeTrial]) -> list[TrialRecord]:
    """The trials as the log of a run would have them."""
    return list(trials_of(event for trial in trials for event in trial.events()).values())


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
    return Path(score_file(trial_folder(str(folder), trial), step))


def make_run(folder: Path, trials: Sequence[MadeTrial], **facts: Mapping[str, Any]) -> RunRecord:
    """Write a run with a score file for every step of every trial; qualities differ by trial and step, seeded by both.

    Args:
        folder: of the run; made.
        trials: in the order in which they are suggested; some may run still.
        facts: as of ``write_record``.
    """
    for trial in trials:
        for number, step in enumerate(trial.steps):
            rng = np.random.default_rng([len(trial.id), sum(map(ord, trial.id)), step])
            gap = 0.15 + 0.1 * ((number + trial.seed) % 3)
            columns = score_table(rng, gap, 0.35 - gap / 2)
            write_scores(score_path(folder, trial.id, step), trial.id, step, columns)
    return write_record(folder, trials, **facts)


def write_record(
    folder: Path,
    trials: Iterable[MadeTrial],
    *,
    spec: Mapping[str, Any] = MappingProxyType({}),
    card: Mapping[str, Any] = MappingProxyType({}),
    versions: Mapping[str, str] = MappingProxyType({}),
) -> RunRecord:
    """Write all of a run but its score files, and read it.

    Args:
        folder: of the run; made.
        trials: in the order in which they are suggested.
        spec: keys of the specification.
        card: of the data.
        versions: of the driver.
    """
    sections = ("methods", "search", "confirm", "training", "resources")
    identity = {"name": "made", "data": "faces", "protocols": [], "scheduler": "fifo", **dict.fromkeys(sections, {})}
    identity = {**identity, **spec}
    opened = Opened(at="2026-01-01T00:00:00+00:00", host="h", pid=1, versions=dict(versions))
    events = [opened, *(event for trial in trials for event in trial.events())]
    facts = {"manifest_hash": "m" * 64, "rows": 1, "image_size": 32, "card": dict(card)}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC_FILE).write_text(yaml.safe_dump({"hash": identity_hash(identity), "sweep": identity}))
    (folder / DATA_FILE).write_text(json.dumps(facts))
    (folder / LOG_FILE).write_bytes(b"".join(EVENTS.dump_json(event) + b"\n" for event in events))
    return read_run(str(folder))
