"""``fasray bench`` runs at a tiny size and prints what can be parsed; how fast things are is for it to say, not us."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fasray.bench.measurement import Benchmark, Measurement
from fasray.bench.metrics import _ssdg_loop
from fasray.faces.synthetic import generate
from fasray.metrics import compat_figures


def bench(*arguments: str) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-m", "fasray", "bench", *arguments, "--json"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert all(value > 0 for row in found["rows"] for value in row["values"])
    return {row["name"]: row for row in found["rows"]} | {"facts": found["facts"]}


def test_ratio_says_how_many_times_better_the_first_row_is() -> None:
    ours, baseline = Measurement("a", "ours", (1.0, 2.0, 9.0), baseline=False), Measurement("b", "theirs", (6.0,))
    seconds = Benchmark("x", "s", (ours, baseline), lower_is_better=True)
    speed = Benchmark("x", "images/s", (baseline, ours), lower_is_better=False)
    assert seconds.advantage(baseline) == pytest.approx(3)
    assert speed.advantage(ours) == pytest.approx(3)
    assert [row["ratio"] for row in seconds.to_json()["rows"]] == [None, 3.0]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_data_is_decoded_once_and_read_in_every_way(tmp_path: Path) -> None:
    generate(str(tmp_path / "faces"), subjects=2, domains="OCM", image_size=32, processes=1)
    found = bench("data", "--data", str(tmp_path / "faces"), "--seconds", "0.1", "--repetitions", "1", "--videos", "0")
    assert {"pool", "pool_two_processes", "cv2", "data_loader_0", "data_loader_2"} < set(found)
    facts = found["facts"]
    assert isinstance(facts, dict)
    assert facts["fill_decoded"] == facts["faces"]
    assert facts["second_fill_decoded"] == 0


@pytest.mark.slow
def test_trials_start_in_a_warm_actor_a_fresh_one_and_a_torch_trainer() -> None:
    found = bench("sweep", "--warm", "3", "--fresh", "1", "--trainers", "1", "--profile", "smoke")
    assert {"warm", "fresh", "torch_trainer"} < set(found)
    facts = found["facts"]
    assert isinstance(facts, dict)
    assert facts["warm_actors"] == 1


def test_figures_are_timed_beside_the_official_loop() -> None:
    found = bench("metrics", "--scores", "400", "--videos", "200", "--resamples", "100", "--repetitions", "1")
    assert {"figures", "ssdg_loop", "ssdg_grid", "bootstrap"} < set(found)


def test_the_loop_of_the_benchmark_is_the_official_one() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 60)
    score = np.round(rng.random(60) * 0.7 + label * 0.3, 3)
    found = compat_figures("ssdg-grid", score, label)
    eer, threshold = _ssdg_loop(score.astype(np.float64), label)
    assert (eer, threshold) == (pytest.approx(found.eer), found.eer_threshold)


@pytest.mark.slow
def test_figures_are_200_times_faster_than_the_official_loop_and_resamples_take_two_seconds() -> None:
    found = bench("metrics")
    figures, loop, bootstrap = (found[name] for name in ("figures", "ssdg_loop", "bootstrap"))
    assert loop["ratio"] >= 200, found
    assert min(bootstrap["values"]) <= 2, found
    assert figures["ratio"] is None
