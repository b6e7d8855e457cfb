"""The loop's promises: the same bits however a trial came to its end, and silence about the target."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from locations import ROOT, SUPPORT
from made_trials import FRAMES, TINY, context_of, digests, made_pool, made_roles, made_trial, run
from sweep_fixtures import without_cost

from fasray.errors import DataError, DivergedError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import FacePool
from fasray.methods import registry
from fasray.methods.base import Build
from fasray.methods.erm import ERM
from fasray.runs.reading import Reading
from fasray.runs.scores import SCORE_SCHEMA
from fasray.training.context import Context
from fasray.training.evaluation import Evaluation
from fasray.training.loop import evaluations, reproducible, train

METHODS = ("erm", "safas")


@pytest.fixture(scope="module", params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(method: str, pool: FacePool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / method
    assert [evaluation.reading.step for evaluation in run(made_trial(method), pool, folder)] == [2, 4, 6]
    return folder


def timeless(evaluation: Evaluation) -> Evaluation:
    """All of it but what differs from run to run."""
    return replace(evaluation, reading=without_cost(evaluation.reading), images_per_second=0.0)


@pytest.fixture(scope="module")
def elsewhere(pool: FacePool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trials, trained by a fresh process."""
    folder = tmp_path_factory.mktemp("elsewhere")
    path = os.pathsep.join([str(ROOT), str(SUPPORT)])
    subprocess.run(
        [sys.executable, str(SUPPORT / "made_trials.py"), str(pool.folder), str(folder), *METHODS],
        check=True, env={**os.environ, "PYTHONPATH": path}, timeout=120,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_killed_trial_resumes_to_the_same_bits(
    method: str, stop_after: int, whole: Path, pool: FacePool, tmp_path: Path
) -> None:
    first = run(made_trial(method), pool, tmp_path, stop_after=stop_after)
    rest = run(made_trial(method), pool, tmp_path, reported_step=first[-1].reading.step)
    assert [evaluation.reading.step for evaluation in first + rest] == [2, 4, 6]
    assert digests(tmp_path) == digests(whole)


def test_a_fresh_process_gives_the_same_bits(method: str, whole: Path, elsewhere: Path) -> None:
    assert digests(elsewhere / method) == digests(whole)


def test_trials_of_other_methods_before_it_change_nothing(
    method: str, whole: Path, pool: FacePool, tmp_path: Path
) -> None:
    for number, other in enumerate(METHODS):
        run(made_trial(other, seed=9), pool, tmp_path / str(number), stop_after=2)
    torch.rand(7)
    run(made_trial(method), pool, tmp_path / "again")
    assert digests(tmp_path / "again") == digests(whole)


def test_seeds_differ(whole: Path, method: str, pool: FacePool, tmp_path: Path) -> None:
    run(made_trial(method, seed=2), pool, tmp_path, stop_after=1)
    name = "eval-00000002.parquet"
    assert digests(tmp_path)[name] != digests(whole)[name]


def test_unreported_evaluations_come_again_from_their_files(pool: FacePool, tmp_path: Path) -> None:
    trial = made_trial()
    first = run(trial, pool, tmp_path, stop_after=2)
    before = digests(tmp_path)
    context = context_of(trial, tmp_path)
    again = list(evaluations(trial, pool, made_roles(pool.index), context, reported_step=2))
    assert [evaluation.reading.step for evaluation in again] == [4, 6]
    assert timeless(again[0]) == timeless(first[1])
    assert again[0].reading.seconds == 0
    assert before.items() - digests(tmp_path).items() == {next(item for item in before.items() if "safe" in item[0])}


def test_a_finished_trial_only_tells_what_is_not_on_record(pool: FacePool, tmp_path: Path) -> None:
    trial = made_trial()
    run(trial, pool, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert run(trial, pool, tmp_path, reported_step=6) == []
    assert [evaluation.reading.step for evaluation in run(trial, pool, tmp_path)] == [2, 4, 6]
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}


def test_a_lost_score_file_is_made_again_with_the_same_bits(pool: FacePool, tmp_path: Path) -> None:
    run(made_trial(), pool, tmp_path)
    before = digests(tmp_path)
    (tmp_path / "eval-00000002.parquet").unlink()
    (tmp_path / "eval-00000004.parquet").write_bytes(b"PAR1 and no more")
    assert run(made_trial(), pool, tmp_path, reported_step=6) == []
    assert digests(tmp_path) == before


def test_the_score_file_holds_schema_roles_and_metadata(pool: FacePool, tmp_path: Path) -> None:
    trial = made_trial()
    (evaluation,) = run(trial, pool, tmp_path, stop_after=1)
    table = pq.read_table(evaluation.score_uri)
    assert table.schema.equals(SCORE_SCHEMA)
    roles = made_roles(pool.index)
    assert table["role"].to_pylist() == ["source-dev"] * len(roles.source_dev) + ["target"] * len(roles.target)
    rows = np.concatenate([roles.source_dev, roles.target])
    assert table["video"].to_pylist() == pool.index.video[rows].tolist()
    told = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert (told["fasray.trial"], told["fasray.step"], told["fasray.total_steps"]) == (trial.id, "2", "6")
    assert json.loads(told["fasray.train_logs"]) == dict(evaluation.train_logs)
    assert "loss" in evaluation.train_logs
    assert json.loads(told["fasray.excluded"]) == []


def test_rows_without_an_image_are_left_out_and_named(tmp_path: Path) -> None:
    index = made_pool(tmp_path / "whole").index
    roles = made_roles(index)
    broken = (int(roles.train[0]), int(roles.target[3]))
    pool = made_pool(tmp_path / "broken", broken=broken)
    (evaluation,) = run(made_trial(), pool, tmp_path / "trial", stop_after=1)
    table = pq.read_table(evaluation.score_uri)
    assert len(table) == len(roles.source_dev) + len(roles.target) - 1
    excluded = json.loads(table.schema.metadata[b"fasray.excluded"])
    assert [(entry["role"], entry["video"]) for entry in excluded] == [
        ("train", index.video[broken[0]]),
        ("target", index.video[broken[1]]),
    ]


def test_eval_frames_scores_as_many_readable_frames_of_each_video(tmp_path: Path) -> None:
    roles = made_roles(made_pool(tmp_path / "whole").index)
    later_frame = int(roles.target[1])
    pool = made_pool(tmp_path / "broken", broken=(later_frame,))
    trial = made_trial(training=TINY.model_copy(update={"eval_frames": 1}))
    (evaluation,) = run(trial, pool, tmp_path / "trial", stop_after=1)
    table = pq.read_table(evaluation.score_uri)
    videos = table["video"].to_pylist()
    assert len(set(videos)) == len(videos) == (len(roles.source_dev) + len(roles.target)) // FRAMES
    assert set(videos) == set(pool.index.video[np.concatenate([roles.source_dev, roles.target])].tolist())
    frame = dict(zip(videos, table["frame"].to_pylist(), strict=True))
    assert frame.pop(pool.index.video[later_frame]) == 0
    assert set(frame.values()) == {1}


def test_what_is_told_does_not_depend_on_target_labels(pool: FacePool, tmp_path: Path) -> None:
    honest = run(made_trial(), pool, tmp_path / "honest")
    target = made_roles(pool.index).target
    lying = np.array(pool.index.label)
    lying[target] = 1 - lying[target]
    index = FaceIndex.of({**pool.index.columns(), "label": lying})
    told = run(made_trial(), replace(pool, index=index), tmp_path / "lying")
    assert [replace(timeless(one), score_uri="") for one in told] == [
        replace(timeless(one), score_uri="") for one in honest
    ]
    weights = "step-00000006.safetensors"
    assert digests(tmp_path / "honest")[weights] == digests(tmp_path / "lying")[weights]
    assert not [field.name for field in fields(Evaluation) if "target" in field.name or "oracle" in field.name]
    assert not [name for name in Reading.model_fields if "target" in name or "oracle" in name]


def test_a_diverged_trial_says_so_and_writes_no_evaluation(
    pool: FacePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.METHODS, "diverging", "made_trials:Diverging")
    long = TINY.model_copy(update={"steps": 60, "evaluations": 1})
    trial = made_trial("diverging", training=long)
    with pytest.raises(DivergedError, match="loss is not a finite number") as caught:
        run(trial, pool, tmp_path)
    assert trial.id in caught.value.where
    assert "step 20" in caught.value.where
    assert not list(tmp_path.rglob("*.parquet"))


def test_nothing_global_stays_behind(pool: FacePool, tmp_path: Path) -> None:
    def settings() -> tuple[object, ...]:
        deterministic = torch.are_deterministic_algorithms_enabled()
        return torch.get_num_threads(), deterministic, torch.get_rng_state().tolist(), torch.is_inference_mode_enabled()

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        before = settings()
        running = evaluations(made_trial(), pool, made_roles(pool.index), context_of(made_trial(), tmp_path))
        next(running)
        assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (1, True)
        running.close()
        assert settings() == before
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("deterministic", [True, False])
def test_equal_bits_or_the_fastest_kernels_are_set_for_a_trial_and_put_back(deterministic: bool) -> None:
    def settings() -> tuple[bool, ...]:
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        free = (cudnn.benchmark, matmul.allow_tf32)
        return (torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, *free)

    before = settings()
    with reproducible(1, torch.device("cpu"), deterministic=deterministic):
        assert settings() == (*[deterministic] * 2, *[not deterministic] * 2)
    assert settings() == before


def test_the_networks_are_freed_at_once(method: str, pool: FacePool, tmp_path: Path) -> None:
    def parameters() -> int:
        return sum(type(one) is torch.nn.Parameter for one in gc.get_objects())

    gc.collect()
    before = parameters()
    trial = made_trial(method)
    running = evaluations(trial, pool, made_roles(pool.index), context_of(trial, tmp_path))
    next(running)
    assert parameters() > before
    running.close()
    assert parameters() == before


def test_train_reports_and_stops_when_told(pool: FacePool, tmp_path: Path) -> None:
    class Stopping(Context):
        def __init__(self) -> None:
            super().__init__(str(tmp_path), seed=1, total_steps=6)
            self.seen: list[Evaluation] = []

        def report(self, evaluation: Evaluation) -> None:
            self.seen.append(evaluation)

        def should_stop(self) -> bool:
            return len(self.seen) == 2

    context = Stopping()
    train(made_trial(), pool, made_roles(pool.index), context)
    assert [(one.reading.step, one.epoch, one.done) for one in context.seen] == [(2, 1, False), (4, 2, False)]
    assert context.first_step_at is not None


def test_curves_are_written_with_the_target_marked_as_oracle(pool: FacePool, tmp_path: Path) -> None:
    run(made_trial(), pool, tmp_path)
    (events,) = (tmp_path / "tensorboard" / "erm_A&B-to-C_seed-1").iterdir()
    written = events.read_bytes()
    for tag in (b"train/loss", b"source-dev/auc", b"oracle/target_auc"):
        assert tag in written


def test_half_precision_and_overrides_run(pool: FacePool, tmp_path: Path) -> None:
    training = TINY.model_copy(update={"precision": "bf16", "channels_last": False, "augment": {"rotation": 20.0}})
    (evaluation,) = run(made_trial(training=training), pool, tmp_path, stop_after=1)
    assert 0 <= evaluation.reading.source_dev_auc <= 1


def test_a_protocol_without_one_class_is_refused(pool: FacePool, tmp_path: Path) -> None:
    roles = made_roles(pool.index)
    live_only = roles.train[(pool.index.label[roles.train] == 1) | (roles.domain_id[roles.train] == 0)]
    poor = type(roles)(live_only, roles.source_dev, roles.target, roles.domains, roles.domain_id)
    trial = made_trial()
    with pytest.raises(DataError, match="B has no attack"):
        next(evaluations(trial, pool, poor, context_of(trial, tmp_path)))


class Traced(ERM):
    """Its head is compiled by a backend that notes in which mode the head runs."""

    name: ClassVar[str] = "traced"
    compiled: ClassVar[list[str]] = ["head"]
    scoring: ClassVar[list[bool]] = []

    def build(self, build: Build) -> None:
        super().build(build)
        self.networks["head"].compile = partial(self._compile, self.networks["head"].compile)  # type: ignore[method-assign]

    def _compile(self, compile: Callable[..., None], **options: Any) -> None:
        def noted(graph: Callable[..., Any], inputs: object) -> Callable[..., Any]:
            def run(*given: Any) -> Any:
                self.scoring.append(torch.is_inference_mode_enabled())
                return graph(*given)

            return run

        compile(backend=noted, **options)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_trial_scores_with_its_networks_as_they_are_written(pool: FacePool, tmp_path: Path) -> None:
    with registry.registered(Traced):
        run(made_trial("traced", training=TINY.model_copy(update={"compile": True})), pool, tmp_path)
    assert Traced.scoring == [False] * TINY.steps
