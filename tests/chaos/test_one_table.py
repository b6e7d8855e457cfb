"""One sweep with 1, 2 and 6 slots, random delays, killed drivers and killed workers: one table, byte for byte."""

import os
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ray_head import RayHead
from small_sweeps import MISHAPS, Place, place, wait_until
from virtual_clock import decisions

from fasray.runs.events import StoppedLate

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

SWEEP = """
name: one-table
data: {data}
protocols: [O&C->I, O&M->I]
methods:
  erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.1]}}}}}}
  mishaps: {{space: {{learning_rate: {{loguniform: [0.001, 0.1]}}}}}}
search: {{algorithm: ALGORITHM, trials_per_cell: 12, seed: 100}}
scheduler: {{asha: {{grace: 0.125, reduction: 2}}}}
confirm: {{seeds: [0, 1]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 16, evaluations: 8, images: 2}}
resources: {{max_concurrent: SLOTS}}
"""
"""Four cells of 12 searching and two confirming trials, with rungs at steps 2, 4 and 8."""
TWO_WORKERS = """
name: one-table-of-two-workers
data: {data}
protocols: [O&C->I]
methods:
  erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.1]}}}}}}
search: {{algorithm: random, trials_per_cell: 3, seed: 100}}
scheduler: {{asha: {{grace: 0.25, reduction: 2}}}}
confirm: {{seeds: [0]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 8, evaluations: 4, images: 2}}
resources: {{workers: 2, max_concurrent: SLOTS}}
"""
DRIVERS, WORKERS = 10, 5
TRIAL = "ray::ResourceTrainable"
"""What Ray calls the process of a trial, which Ray Tune has wrapped."""
PATIENCE = 900
"""Seconds for what takes a few, where others are busy."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep came to."""

    table: bytes
    decisions: dict[str, Any]
    late: int
    """Trials that were stopped late."""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """Six slots on however many cores; trials of ``mishaps`` take as long as it pleases them."""
    folder = tmp_path_factory.mktemp("head")
    (folder / "accidents").mkdir()
    env = place(
        folder, folder / "faces", "", PYTHONPATH=str(MISHAPS), FASRAY_TEST_ACCIDENTS=str(folder / "accidents"),
        FASRAY_TEST_DELAYS="0.02", FASRAY_POOL_DIR=str(folder / "pools"),
    ).env  # fmt: skip
    with RayHead(folder, env, cpus=6) as started:
        yield started


def sweep(head: RayHead, faces: Path, folder: Path, text: str, slots: int) -> Place:
    here = place(folder, faces, text.replace("SLOTS", f"{slots}"))
    return replace(here, env={**head.client, "FASRAY_CACHE_DIR": str(folder / "cache")})


def ended(here: Place) -> Outcome:
    """Run the sweep to its end."""
    with here.start() as driver:
        ran = driver.end(seconds=PATIENCE)
    assert ran.code == 0, ran.err
    events = here.events()
    late = sum(isinstance(event, StoppedLate) for event in events)
    return Outcome((here.run_folder / "results.parquet").read_bytes(), dict(decisions(events)), late)


def kill_drivers_and_workers(here: Place, head: RayHead, rng: random.Random) -> None:
    for number in range(DRIVERS):
        with here.start() as driver:
            driver.until_new_events(rng.randint(1, 4), PATIENCE)
            if number < WORKERS:
                wait_until(lambda: bool(head.processes(TRIAL)), PATIENCE)
                os.kill(rng.choice(sorted(head.processes(TRIAL))), signal.SIGKILL)
                driver.until_new_events(rng.randint(5, 8), PATIENCE)
            driver.end(signal.SIGKILL)


@pytest.mark.parametrize("algorithm", ["random", "hyperopt"])
def test_slots_delays_and_kills_change_neither_table_nor_decisions(
    head: RayHead, small_faces: Path, tmp_path: Path, algorithm: str
) -> None:
    alone, two, six, killed = (
        sweep(head, small_faces, tmp_path / name, SWEEP.replace("ALGORITHM", algorithm), slots)
        for name, slots in (("alone", 1), ("two", 2), ("six", 6), ("killed", 6))
    )
    expected = ended(alone)
    assert not expected.late
    kill_drivers_and_workers(killed, head, random.Random(7))
    others = [ended(here) for here in (two, six, killed)]
    assert [other.decisions for other in others] == [expected.decisions] * 3
    assert [other.table for other in others] == [expected.table] * 3
    assert any(other.late for other in others), "nothing was stopped late: the sweep proves nothing"


def test_trials_of_two_workers_give_one_table_too(head: RayHead, small_faces: Path, tmp_path: Path) -> None:
    alone, three = (sweep(head, small_faces, tmp_path / f"{slots}", TWO_WORKERS, slots) for slots in (1, 3))
    expected = ended(alone)
    with three.start() as driver:
        driver.until_new_events(4, PATIENCE)
        driver.end(signal.SIGKILL)
    other = ended(three)
    assert other.decisions == expected.decisions
    assert other.table == expected.table
