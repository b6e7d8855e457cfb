"""One process that runs trial after trial: quick starts, no memory that grows."""

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from made_trials import SIZE, made_pool, made_trial
from small_sweeps import environment

from fasray.execution.messages import TrialOrder
from fasray.execution.trial_actor import ReusableTrialActor
from fasray.faces.loading.pool import pool_key
from fasray.training.trial import TrainingSpec

POOL = pool_key("made", SIZE)
MIXED: list[tuple[str, dict[str, Any]]] = [
    ("erm", {}),
    ("safas", {"batch": 8}),
    ("erm", {"optimizer": "adam", "learning_rate": 1e-4}),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    made_pool(tmp_path / "pools" / POOL)
    with environment({"FASRAY_POOL_DIR": str(tmp_path / "pools")}):
        yield tmp_path / "run"


def config_of(run: Path, number: int, training: TrainingSpec) -> dict[str, Any]:
    method, settings = MIXED[number % len(MIXED)]
    trial = made_trial(method, seed=number, training=training, **settings)
    return {"order": TrialOrder(trial, str(run), POOL, "", "train+test", reported_step=-1)}


def results(actor: ReusableTrialActor, training: TrainingSpec) -> list[dict[str, Any]]:
    return [actor.step() for _ in training.evaluation_steps()]


def test_from_the_second_trial_on_the_first_optimizer_step_is_near(run: Path) -> None:
    """The networks are those of the quickstart; what else a fresh process needs is there already."""
    training = TrainingSpec(image_size=32, width=0.25, steps=2, evaluations=1, images=2)
    actor = ReusableTrialActor(config_of(run, 0, training))
    results(actor, training)
    starts = []
    for number in range(1, 10):
        assert actor.reset_config(config_of(run, number, training))
        (result,) = results(actor, training)
        assert result["message"].status == "evaluated"
        starts.append(result["start_seconds"])
    assert min(starts) > 0
    assert median(starts) <= 0.3, starts


@pytest.mark.slow
def test_memory_stays_flat_over_fifty_mixed_trials(run: Path) -> None:
    training = TrainingSpec(image_size=32, width=0.125, steps=4, evaluations=2, images=2)
    actor = ReusableTrialActor(config_of(run, 0, training))
    results(actor, training)
    resident = []
    for number in range(1, 51):
        assert actor.reset_config(config_of(run, number, training))
        assert [result["message"].status for result in results(actor, training)] == ["evaluated"] * 2
        resident.append(resident_bytes())
    settled, end = max(resident[5:15]), max(resident[40:50])
    assert end - settled < 15 * 2**20, [round(value / 2**20) for value in resident]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
