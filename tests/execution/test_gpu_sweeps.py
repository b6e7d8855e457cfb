"""Whole sweeps on logical GPUs: every card is used, no trial sees another's, shares are corrected when memory runs out.

A trial that holds a logical GPU computes on the CPU (``FASRAY_LOGICAL_GPUS``); all else is as on a real card.
"""

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from ray_head import RayHead
from small_sweeps import MISHAPS, Place, place, table_of

from fasray.runs.events import OutOfMemory, Placed, trials_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SWEEP = """
name: cards
data: {data}
protocols: [O&C->I]
methods:
  mishaps: {{space: {{learning_rate: {{grid: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008]}}}}}}
search: {{algorithm: grid}}
scheduler: fifo
confirm: {{seeds: [0, 1, 2, 3]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 60, evaluations: 4, images: 2}}
"""
"""Nine trials that search, four that confirm."""
PAIRS = """
name: pairs
data: {data}
protocols: [O&C->I]
methods: {{mishaps: {{space: {{}}, config: {{accident: memory}}}}}}
scheduler: fifo
confirm: {{seeds: [0]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 12, evaluations: 3, images: 2}}
"""
WATCH = """
import json, sys, time, ray
ray.init(logging_level="ERROR", log_to_driver=False)
total = ray.cluster_resources().get("GPU", 0.0)
while True:
    print(json.dumps([time.time(), round(total - ray.available_resources().get("GPU", 0.0), 3)]), flush=True)
    time.sleep(0.25)
"""


@dataclass(frozen=True)
class Step:
    """One optimizer step, as the trial's process saw its surroundings."""

    process: int
    step: int
    gpus: float
    visible: str
    at: float


class Cards:
    """A head with logical GPUs, and a sweep on it."""

    def __init__(self, folder: Path, faces: Path, text: str, gpus: int, **environment: str) -> None:
        folder.mkdir(exist_ok=True)
        self.here = place(
            folder / "sweep", faces, text, PYTHONPATH=str(MISHAPS), FASRAY_TEST_ACCIDENTS=str(folder), **environment
        )
        self.folder = folder
        self.head = RayHead(folder / "head", self.here.env, cpus=4, gpus=gpus)
        self.used: list[tuple[float, float]] = []
        """Time, and GPUs in use then."""

    def run(self) -> str:
        """Run the sweep to its end; return what it said."""
        with self.head:
            here = Place(self.here.folder, self.here.data, {**self.here.env, **self.head.client})
            watch = subprocess.Popen([sys.executable, "-c", WATCH], env=here.env, stdout=subprocess.PIPE, text=True)
            try:
                with here.start() as driver:
                    ran = driver.end(seconds=600)
            finally:
                watch.kill()
                self.used = [tuple(json.loads(line)) for line in watch.communicate()[0].splitlines()]
        assert ran.code == 0, ran.err
        assert {record.status for record in trials_of(here.events()).values()} == {"done"}
        return ran.err

    def steps(self) -> list[Step]:
        lines = (line.split() for line in (self.folder / "cards").read_text().splitlines())
        return [
            Step(int(process), int(n), float(gpus), seen.strip("[]"), float(at)) for process, n, gpus, seen, at in lines
        ]

    def trials(self) -> list[list[Step]]:
        """Return the steps of each trial's stay in a process, in the order of their starts; short runs are left out."""
        stays: dict[tuple[int, int], list[Step]] = defaultdict(list)
        count: dict[int, int] = defaultdict(int)
        for step in self.steps():
            count[step.process] += step.step == 0
            stays[step.process, count[step.process]].append(step)
        known = {record.total_steps for record in trials_of(self.here.events()).values()}
        return sorted((stay for stay in stays.values() if len(stay) in known), key=lambda stay: stay[0].at)


def most_at_once(trials: list[list[Step]]) -> dict[str, float]:
    """Return the largest sum of the shares that were held of each card at the same time."""
    most: dict[str, float] = defaultdict(float)
    for trial in trials:
        start, card = trial[0].at, trial[0].visible
        beside = [
            other[0].gpus for other in trials if other[0].at <= start <= other[-1].at and other[0].visible == card
        ]
        most[card] = max(most[card], sum(beside))
    return dict(most)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpus")


@pytest.fixture(scope="module")
def four_cards(folder: Path, small_faces: Path) -> Cards:
    cards = Cards(folder / "four", small_faces, SWEEP, 4, FASRAY_LOGICAL_GPUS="1")
    cards.run()
    return cards


def test_all_cards_are_in_use_while_trials_are_left_and_each_trial_sees_its_own(four_cards: Cards) -> None:
    trials = four_cards.trials()
    assert len(trials) == 13
    assert {step.gpus for trial in trials for step in trial} == {1.0}
    assert all(len({step.visible for step in trial}) == 1 for trial in trials)
    assert most_at_once(trials) == {"0": 1.0, "1": 1.0, "2": 1.0, "3": 1.0}
    seen = [used for at, used in four_cards.used if trials[3][0].at < at < trials[7][0].at]
    assert seen
    assert set(seen) == {4.0}, seen


def test_with_one_card_its_quarters_are_used_and_the_table_is_the_same(
    four_cards: Cards, folder: Path, small_faces: Path
) -> None:
    one = Cards(folder / "one", small_faces, SWEEP, 1, FASRAY_LOGICAL_GPUS="1")
    said = one.run()
    assert "1 x GPU, 16 GiB each: 0.25 of a card each for trials of mishaps (2 GiB)" in said
    assert [event.gpus for event in one.here.events() if isinstance(event, Placed)] == [0.25]
    assert most_at_once(one.trials()) == {"0": 1.0}
    assert max(used for _, used in one.used) == 1.0
    assert_same_table(one, four_cards)


def test_without_cards_trials_use_cores_and_see_none_even_if_the_node_names_some(
    four_cards: Cards, folder: Path, small_faces: Path
) -> None:
    none = Cards(folder / "none", small_faces, SWEEP, 0, CUDA_VISIBLE_DEVICES="0,1")
    assert "no GPUs: trials run on CPU cores" in none.run()
    trials = none.trials()
    assert {(step.gpus, step.visible) for trial in trials for step in trial} == {(0.0, "")}
    assert not [event for event in none.here.events() if isinstance(event, Placed)]
    assert_same_table(none, four_cards)


def assert_same_table(one: Cards, other: Cards) -> None:
    assert_frame_equal(table_of(one.here.run_folder), table_of(other.here.run_folder), check_exact=True)


def test_a_trial_out_of_memory_goes_on_with_a_larger_share_and_the_others_are_not_disturbed(
    folder: Path, small_faces: Path
) -> None:
    space = "accident: {{grid: [none, memory]}}"
    text = SWEEP.replace(SWEEP.split("space: {{")[1].split("}}}}")[0] + "}}", space)
    hurt = Cards(folder / "hurt", small_faces, text, 1, FASRAY_LOGICAL_GPUS="1")
    hurt.run()
    events = hurt.here.events()
    assert [event.gpus for event in events if isinstance(event, OutOfMemory)] == [0.25, 0.5]
    assert [event.gpus for event in events if isinstance(event, Placed)] == [0.25, 0.5, 1.0]


def test_workers_of_a_trial_hold_a_card_each_and_go_on_with_more_of_one_when_memory_runs_out(
    folder: Path, small_faces: Path
) -> None:
    """Half a card for each of two workers at first; both run out of memory together."""
    text = PAIRS + "resources: {{workers: 2, gpus_per_worker: 0.5}}\n"
    hurt = Cards(folder / "workers", small_faces, text, 2, FASRAY_LOGICAL_GPUS="1")
    hurt.run()
    events = hurt.here.events()
    assert [event.gpus for event in events if isinstance(event, OutOfMemory)] == [0.5]
    assert [event.gpus for event in events if isinstance(event, Placed)] == [0.5, 1.0]
    last = [step for step in hurt.steps() if step.step == 11]
    assert [step.gpus for step in last] == [1.0, 1.0], "two processes trained it to its end"
