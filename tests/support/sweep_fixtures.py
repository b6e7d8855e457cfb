"""A small table of faces and plans over it, without a pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fasray.faces.face_index import FaceIndex
from fasray.runs.reading import Reading
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.sweep_file import parse_sweep

SWEEP = """
name: tiny
data: synthetic
protocols: [ocim]
methods:
  erm:
    space: {learning_rate: {loguniform: [0.001, 0.1]}}
  safas:
    space: {separability_weight: {choice: [0.1, 0.2, 0.4]}}
search: {algorithm: random, trials_per_cell: 3, seed: 100}
scheduler: {asha: {grace: 0.25, reduction: 2}}
confirm: {seeds: [0, 1]}
training: {profile: quick, steps: 16, evaluations: 4}
"""


def make_table(
    subjects: int = 10, domains: Sequence[str] = "OCIM", attacks: Sequence[str] = ("print", "replay")
) -> FaceIndex:
    columns: dict[str, list[object]] = {name: [] for name in FaceIndex.__dataclass_fields__}
    for domain in domains:
        for subject in range(subjects):
            for attack in ("live", *attacks):
                columns["label"].append(int(attack == "live"))
                columns["domain"].append(domain)
                columns["attack_type"].append(attack)
                columns["instrument"].append("" if attack == "live" else attack + "1")
                columns["subject"].append(f"{domain}{subject:03d}")
                columns["video"].append(f"{domain}{subject:03d}-s1-{attack}")
                columns["frame"].append(0)
                columns["camera"].append("phone1")
                columns["session"].append("1")
                split = "train" if subject < subjects // 2 else "test"
                columns["split"].append("dev" if domain in "OI" and subject == subjects - 1 else split)
    return FaceIndex.of(columns)


def plan_of(text: str, table: FaceIndex, *overrides: str) -> Plan:
    return make_plan(parse_sweep(text, "sweep.yaml", overrides), "0" * 64, table)


def value_of(trial: str, step: int) -> float:
    """A made-up source-dev AUC that only the trial and the step decide."""
    return 0.5 + np.random.default_rng([int(trial, 16), step]).random() / 2


def made_reading(step: int, auc: float, loss: float = 0.5, seconds: float = 1.0, **cost: Any) -> Reading:
    """Return a reading that no trial gave."""
    return Reading(step=step, source_dev_auc=auc, source_dev_loss=loss, seconds=seconds, **cost)


def without_cost(reading: Reading) -> Reading:
    """Return the figures of a reading alone, which are the same in every run."""
    return Reading(**reading.model_dump(include={"step", "source_dev_auc", "source_dev_loss"}))
