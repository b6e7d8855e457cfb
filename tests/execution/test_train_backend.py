"""Trials of several workers: the same sweep, the same files, the same numbers, and nothing that stays behind."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from locations import SUPPORT
from pandas.testing import assert_frame_equal
from plain_workers import SubprocessTask, train_by
from small_sweeps import Place, place, score_digests
from sweep_fixtures import SWEEP, made_reading, plan_of

import fasray
from fasray.errors import SpecError
from fasray.faces.face_index import FaceIndex
from fasray.methods import registry
from fasray.runs.record import read_run
from fasray.sweep.sweep_file import parse_sweep

ONE_TRIAL = """
name: one
data: {data}
protocols: [O&C->I]
methods: {{erm: {{space: {{}}}}}}
scheduler: fifo
confirm: {{seeds: [0]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 2, evaluations: 2, images: 4}}
"""
WATCHED = SUPPORT / "workers_watched.py"
RAYS_OWN = {"_AutoscalingCoordinatorActor"}
"""One for a whole cluster, made by Ray Train or Ray Data at their first use; holds nothing."""
PATIENCE = 1800
"""Seconds; each trial starts half a dozen processes one after another, which takes minutes where others are busy."""


def names(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and "tfevents" not in path.name}


def weights(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.glob("trials/*/checkpoint/*.safetensors")}


def trained_without_ray(here: Place, folder: Path) -> Path:
    """Copy a finished run of two workers, its trials trained again by two plain processes."""
    run = folder / "plain"
    shutil.copytree(here.run_folder, run, ignore=shutil.ignore_patterns("trials", "results.parquet", "report.html"))
    (pool,) = (path.parent for path in here.pools.glob("*/pool.json"))
    trials = [record.id for record in read_run(str(here.run_folder)).trials]
    specs = {trial: (here.run_folder / "trials" / trial / "spec.json").read_text() for trial in trials}
    train_by(2, [SubprocessTask(spec, str(run / "trials" / trial)) for trial, spec in specs.items()], pool)
    return run


@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("method", registry.names())
def test_ray_adds_nothing_to_what_two_workers_compute(small_faces: Path, tmp_path: Path, method: str) -> None:
    """Scores, weights and table bit for bit; what two workers compute is one worker's (``training/``), in float64."""
    text = ONE_TRIAL.replace("erm: {{space: {{}}}}", f"{method}: {{{{space: {{{{}}}}}}}}")
    two = place(tmp_path / "two", small_faces, text)
    with two.start("--set", "resources.workers=2") as driver:
        ran = driver.end(seconds=PATIENCE)
    assert ran.code == 0, ran.err
    plain = trained_without_ray(two, tmp_path)
    assert names(two.run_folder / "trials") == names(plain / "trials")
    ours, theirs = (score_digests(run) for run in (plain, two.run_folder))
    assert len(ours) == 2
    assert {name: digest for name, (digest, _) in ours.items()} == {n: digest for n, (digest, _) in theirs.items()}
    assert weights(two.run_folder) == weights(plain) != {}
    assert_frame_equal(*(fasray.load_results(str(run)) for run in (plain, two.run_folder)), check_exact=True)
    assert not two.processes(wait=10)


def test_what_this_machine_cannot_place_is_refused_at_once(small_faces: Path, tmp_path: Path) -> None:
    here = place(tmp_path, small_faces, ONE_TRIAL)
    cores = os.cpu_count() or 1
    refused = here.drive("--set", f"resources.workers={cores + 1}", "--set", f"training.images={2 * (cores + 1)}")
    assert refused.code == 2, refused.err
    assert f"one trial needs {cores + 1} workers of 1 CPUs each; there is room for at most {cores}" in refused.err
    assert "starting Ray" not in refused.err


def test_a_batch_that_the_workers_cannot_share_is_refused_when_the_sweep_is_planned(table: FaceIndex) -> None:
    with pytest.raises(SpecError, match="cannot share equally"):
        plan_of(SWEEP, table, "resources.workers=3", "training.images=4")


def test_several_workers_are_part_of_what_a_run_is_and_the_backend_is_not() -> None:
    def spec(*overrides: str) -> str:
        return parse_sweep(SWEEP, "sweep.yaml", overrides).hash()

    assert spec("resources.backend=torchtrainer") == spec("resources.backend=inprocess") == spec()
    assert spec("resources.workers=2") != spec()


def test_one_process_cannot_be_several_workers() -> None:
    with pytest.raises(SpecError, match="backend inprocess has one worker"):
        parse_sweep(SWEEP, "sweep.yaml", ("resources={backend: inprocess, workers: 2}",))


def watched(small_faces: Path, folder: Path, mode: str) -> dict[str, Any]:
    here = place(folder, small_faces, ONE_TRIAL)
    ran = subprocess.run(
        [sys.executable, str(WATCHED), str(small_faces), str(here.run_folder), mode],
        env=here.env, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return result


def test_a_question_waits_for_its_own_answer_and_a_decided_trial_is_not_trained_again() -> None:
    """Two trials ask at once; the second is answered first."""
    from fasray.execution.messages import TrialMessage
    from fasray.execution.train_backend import DecisionBroker

    broker: Any = DecisionBroker("", {})
    with ThreadPoolExecutor(2) as workers:
        first = workers.submit(broker.ask, TrialMessage("one", made_reading(2, 0.5)))
        asked = broker.take(60)
        second = workers.submit(broker.ask, TrialMessage("two", made_reading(4, 0.5)))
        asked += broker.take(60)
        assert [(one.message.trial, one.message.reading and one.message.reading.step) for one in asked] == [
            ("one", 2),
            ("two", 4),
        ]
        broker.answer(asked[1].number, "stop")
        assert second.result(60) == "stop"
        assert not first.done()
        broker.answer(asked[0].number, "continue")
        assert first.result(60) == "continue"
    assert broker.take(0) == []
    assert broker.wants("one")
    assert not broker.wants("two")


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_trials_that_want_the_whole_machine_run_one_after_another_and_stopped_ones_let_go(
    small_faces: Path, tmp_path: Path
) -> None:
    """Three searching trials of two workers and a confirming one; two are stopped at their first evaluation."""
    seen = watched(small_faces, tmp_path, "watch")
    assert seen["failed"] == []
    assert seen["trials"] == 4
    assert seen["stopped"] == 2
    assert max(seen["seconds_to_free"]) < 5, seen
    assert seen["most_groups"] == 1
    assert seen["groups_left"] == 0
    assert set(seen["actors_left"]) <= RAYS_OWN, seen
    assert not any("Cleaner" in name for name in seen["actors_seen"])


@pytest.mark.slow
@pytest.mark.timeout(2000)
def test_a_lost_worker_is_made_up_for_from_the_last_evaluation(small_faces: Path, tmp_path: Path) -> None:
    calm, hurt = tmp_path / "calm", tmp_path / "hurt"
    assert watched(small_faces, calm, "calm")["failed"] == []
    assert watched(small_faces, hurt, "kill")["failed"] == []
    ours, theirs = (score_digests(folder / "run") for folder in (calm, hurt))
    assert {name: digest for name, (digest, _) in ours.items()} == {n: digest for n, (digest, _) in theirs.items()}
    assert weights(calm / "run") == weights(hurt / "run") != {}
