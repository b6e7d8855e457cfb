"""What a trial took is told with each evaluation, and agrees with what can be counted from outside."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from made_trials import SIZE, TINY, context_of, made_roles, made_trial, run
from torch import Tensor

from fasray import storage
from fasray.faces.loading.pool import FaceBank
from fasray.methods import registry
from fasray.methods.base import Method
from fasray.training.context import Context
from fasray.training.loop import Evaluation, evaluations
from fasray.training.spent import Spent

IMAGE = SIZE * SIZE * 3


def method_of(name: str) -> Method:
    return registry.get(name)(registry.config(name))


@pytest.mark.parametrize("name", ["erm", "sdfanet"])
def test_bytes_are_those_of_the_faces_that_were_picked(name: str, bank: FaceBank, tmp_path: Path) -> None:
    trial, method, roles = made_trial(name), method_of(name), made_roles(bank.index)
    sampling = trial.training.sampling_of(method)
    each = IMAGE + (32 * 32 if method.needs.depth else 0) + (64 * 64 if method.needs.parsing else 0)
    trained = 2 * sampling.draws * sampling.images * 4 * each  # 2 steps; 4 groups: 2 domains x 2 classes
    scored = (len(roles.source_dev) + len(roles.target)) * IMAGE
    told = run(trial, bank, tmp_path)
    assert [evaluation.spent.bytes_read for evaluation in told if evaluation.spent] == [trained + scored] * 3


def test_bytes_written_are_those_of_the_files(bank: FaceBank, tmp_path: Path) -> None:
    (evaluation,) = run(made_trial(), bank, tmp_path, stop_after=1)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    assert evaluation.spent is not None
    assert evaluation.spent.bytes_written == sum(path.stat().st_size for path in files)


def test_processor_time_is_that_of_the_process_and_none_is_lost_between_evaluations(
    bank: FaceBank, tmp_path: Path
) -> None:
    before = time.process_time()
    told = run(made_trial(), bank, tmp_path)
    taken = time.process_time() - before
    spent = sum(evaluation.spent.cpu_seconds for evaluation in told if evaluation.spent)
    assert 0.5 * taken < spent <= taken
    assert all(evaluation.spent.wall_seconds >= evaluation.seconds > 0 for evaluation in told if evaluation.spent)


def test_an_evaluation_that_is_read_back_took_nobody_knows_what(bank: FaceBank, tmp_path: Path) -> None:
    run(made_trial(), bank, tmp_path, stop_after=2)
    again = run(made_trial(), bank, tmp_path)
    assert [evaluation.spent is None for evaluation in again] == [True, True, False]


def test_steps_that_were_lost_and_are_trained_again_count(bank: FaceBank, tmp_path: Path) -> None:
    """Evaluations on record are not told again; what making them again took is told with the next one."""
    whole = run(made_trial(), bank, tmp_path / "whole")
    again = run(made_trial(), bank, tmp_path / "again", reported_step=4)
    assert len(again) == 1
    assert again[0].spent is not None
    assert again[0].spent.bytes_read == sum(evaluation.spent.bytes_read for evaluation in whole if evaluation.spent)


class OneOfTwo(Context):
    """As if another worker had spent the same."""

    def total(self, tensor: Tensor) -> Tensor:
        return 2 * tensor


def test_all_workers_are_counted(bank: FaceBank, tmp_path: Path) -> None:
    def first(context: Context) -> Evaluation:
        running = evaluations(made_trial(), bank, made_roles(bank.index), context)
        found = next(running)
        running.close()
        return found

    one = first(context_of(made_trial(), tmp_path / "one")).spent
    two = first(OneOfTwo(str(tmp_path / "two"), seed=1, total_steps=TINY.steps)).spent
    assert isinstance(one, Spent)
    assert isinstance(two, Spent)
    assert (two.bytes_read, two.bytes_written) == (2 * one.bytes_read, 2 * one.bytes_written)


def test_what_did_not_get_written_is_not_counted(tmp_path: Path) -> None:
    uri = str(tmp_path / "once")
    before = storage.bytes_written()
    assert storage.write_once(uri, b"12345")
    assert not storage.write_once(uri, b"other")
    storage.write_bytes(uri, b"123")
    assert storage.bytes_written() - before == 8
