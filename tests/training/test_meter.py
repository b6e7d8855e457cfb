"""What a trial took is told with each evaluation, and agrees with what can be counted from outside."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from made_trials import SIZE, TINY, context_of, made_roles, made_trial, run
from torch import Tensor

from fasray import storage
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.methods.base import Method
from fasray.training.context import Context
from fasray.training.evaluation import Evaluation
from fasray.training.loop import evaluations


def method_of(name: str) -> Method:
    return registry.get(name)(registry.config(name))


@pytest.mark.parametrize("name", ["erm", "sdfanet"])
def test_bytes_are_those_of_the_faces_or_windows_that_were_picked(name: str, pool: FacePool, tmp_path: Path) -> None:
    trial, method, roles = made_trial(name), method_of(name), made_roles(pool.index)
    sampling = trial.training.sampling_of(method)
    image = 3 * (TINY.image_size if trial.training.augment_of(method).crop == "pixels" else SIZE) ** 2
    each = image + (32 * 32 if method.needs.depth else 0) + (64 * 64 if method.needs.parsing else 0)
    trained = 2 * sampling.draws * sampling.images * 4 * each  # 2 steps; 4 groups: 2 domains x 2 classes
    scored = (len(roles.source_dev) + len(roles.target)) * image
    told = run(trial, pool, tmp_path)
    assert [evaluation.reading.bytes_read for evaluation in told] == [trained + scored] * 3


def test_bytes_written_are_those_of_the_files(pool: FacePool, tmp_path: Path) -> None:
    (evaluation,) = run(made_trial(), pool, tmp_path, stop_after=1)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    assert evaluation.reading.bytes_written == sum(path.stat().st_size for path in files)


def test_processor_time_is_that_of_the_process_and_none_is_lost_between_evaluations(
    pool: FacePool, tmp_path: Path
) -> None:
    before = time.process_time()
    told = run(made_trial(), pool, tmp_path)
    taken = time.process_time() - before
    spent = sum(evaluation.reading.cpu_seconds or 0 for evaluation in told)
    assert 0.5 * taken < spent <= taken


def test_evaluating_is_a_part_of_the_wall_seconds(pool: FacePool, tmp_path: Path) -> None:
    for evaluation in run(made_trial(), pool, tmp_path):
        assert evaluation.reading.evaluation_seconds is not None
        assert 0 < evaluation.reading.evaluation_seconds < evaluation.reading.seconds


def test_an_evaluation_that_is_read_back_took_nobody_knows_what(pool: FacePool, tmp_path: Path) -> None:
    run(made_trial(), pool, tmp_path, stop_after=2)
    again = run(made_trial(), pool, tmp_path)
    assert [evaluation.reading.cpu_seconds is None for evaluation in again] == [True, True, False]


def test_steps_that_were_lost_and_are_trained_again_count(pool: FacePool, tmp_path: Path) -> None:
    """Evaluations on record are not told again; what making them again took is told with the next one."""
    whole = run(made_trial(), pool, tmp_path / "whole")
    again = run(made_trial(), pool, tmp_path / "again", reported_step=4)
    assert len(again) == 1
    assert again[0].reading.bytes_read == sum(evaluation.reading.bytes_read or 0 for evaluation in whole)


class OneOfTwo(Context):
    """As if another worker had spent the same."""

    def total(self, tensor: Tensor) -> Tensor:
        return 2 * tensor


def test_all_workers_are_counted(pool: FacePool, tmp_path: Path) -> None:
    def first(context: Context) -> Evaluation:
        running = evaluations(made_trial(), pool, made_roles(pool.index), context)
        found = next(running)
        running.close()
        return found

    one = first(context_of(made_trial(), tmp_path / "one")).reading
    two = first(OneOfTwo(str(tmp_path / "two"), seed=1, total_steps=TINY.steps)).reading
    assert one.bytes_read is not None
    assert one.bytes_written is not None
    assert (two.bytes_read, two.bytes_written) == (2 * one.bytes_read, 2 * one.bytes_written)


@pytest.mark.parametrize("gpus", [0.0, 0.25, 1.0])
def test_gpu_seconds_are_the_gpus_that_were_held_times_wall_seconds(
    pool: FacePool, tmp_path: Path, gpus: float
) -> None:
    context = Context(str(tmp_path), seed=1, total_steps=TINY.steps, gpus=gpus)
    found = [one.reading for one in evaluations(made_trial(), pool, made_roles(pool.index), context)]
    assert all(
        reading.gpu_seconds >= gpus * reading.seconds > -1 for reading in found if reading.gpu_seconds is not None
    )
    assert any(reading.gpu_seconds for reading in found) == (gpus > 0)


def test_what_did_not_get_written_is_not_counted(tmp_path: Path) -> None:
    uri = str(tmp_path / "once")
    before = storage.bytes_written()
    assert storage.write_once(uri, b"12345")
    assert not storage.write_once(uri, b"other")
    storage.write_bytes(uri, b"123")
    assert storage.bytes_written() - before == 8
