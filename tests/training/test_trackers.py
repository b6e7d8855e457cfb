"""A trial in TensorBoard, MLflow and Weights & Biases, each read by its own reader; none of them can stop a trial."""

from __future__ import annotations

import importlib
import json
import logging
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_trials import context_of, digests, made_pool, made_roles, made_trial
from plain_batches import OneOf
from small_sweeps import place

from fasray.errors import SpecError
from fasray.faces.loading.pool import FacePool
from fasray.metrics import eer
from fasray.runs.record import read_run
from fasray.sweep.spec import SweepSpec
from fasray.training.loop import evaluations
from fasray.training.trackers import Tracker, check_trackers, other_trackers, run_name, settings_of, target_points
from fasray.training.trial import Trial

SECRET = "d4f0c0ffee" * 4
SWEEP = """
name: tracked
data: {data}
protocols: [O&C->I]
methods: {{erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 100}}
scheduler: fifo
confirm: {{seeds: [0]}}
tracking: [tensorboard, mlflow, wandb]
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 4, evaluations: 2, images: 4}}
"""
TARGET = ("oracle/target_auc", "oracle/target_hter")


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> FacePool:
    return made_pool(tmp_path_factory.mktemp("pool"))


@pytest.fixture(autouse=True)
def _keys_that_nobody_may_write(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "WANDB_API_KEY"):
        monkeypatch.setenv(name, SECRET)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def tracked(
    names: tuple[str, ...], trial: Trial, pool: FacePool, run: Path, *, stage: str = "confirm", stop_after: int = 99
) -> Path:
    """Train a trial of a run directory until ``stop_after`` evaluations came; return the trial's folder."""
    folder = run / "trials" / trial.id
    context = context_of(trial, folder)
    context.tracking, context.stage = names, stage
    running = evaluations(trial, pool, made_roles(pool.index), context)
    for done, _ in enumerate(running, 1):
        if done == stop_after:
            break
    running.close()
    return folder


def mlflow_runs(run: Path) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(run / "mlflow").as_uri())
    (experiment,) = (one for one in client.search_experiments() if one.name == run.name)
    return [(client, found) for found in client.search_runs([experiment.experiment_id])]


def wandb_records(file: Path) -> list[Any]:
    """Every record of an offline run: wandb's own messages in a LevelDB log of 32 KiB blocks."""
    wandb_internal_pb2: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    data, at, part, records = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        part = (b"" if kind in (1, 2) else part) + data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            records.append(wandb_internal_pb2.Record.FromString(part))
    return records


def values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_tensorboards_own_reader_finds_curves_and_hparams(pool: FacePool, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    trial = made_trial()
    tracked(("tensorboard",), trial, pool, tmp_path, stop_after=1)
    folder = tracked(("tensorboard",), trial, pool, tmp_path) / "tensorboard" / run_name(trial, "confirm")
    read = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in read.Scalars("source-dev/auc")] == [2, 4, 6]
    assert [event.step for event in read.Scalars("oracle/target_auc")] == [2, 4, 6]
    shown = read.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    hparams = HParamsPluginData.FromString(shown).session_start_info.hparams
    assert hparams["learning_rate"].number_value == trial.config["learning_rate"]
    assert hparams["protocol"].string_value == "A&B->C"
    assert "_hparams_/session_end_info" in read.summary_metadata


def test_mlflow_reads_one_run_a_trial_however_often_it_was_resumed(pool: FacePool, tmp_path: Path) -> None:
    trial, run = made_trial(), tmp_path / "night"
    tracked(("mlflow",), trial, pool, run, stop_after=2)
    ((_, stopped),) = mlflow_runs(run)
    assert (stopped.info.status, "oracle/target_auc" in stopped.data.metrics) == ("KILLED", False)
    tracked(("mlflow",), trial, pool, run)
    ((client, found),) = mlflow_runs(run)
    assert (found.info.run_name, found.info.status) == ("erm_A&B-to-C_confirm_seed-1", "FINISHED")
    assert found.data.params == {name: str(value) for name, value in settings_of(trial, "confirm").items()}
    for curve in ("source-dev/auc", "source-dev/loss", "train/loss", *TARGET):
        assert [point.step for point in client.get_metric_history(found.info.run_id, curve)] == [2, 4, 6], curve
    final = {name for name in found.data.metrics if name.startswith("final/")}
    assert final == {f"final/{name}" for name in
                     ("step", "source_dev_auc", "source_dev_loss", "target_auc", "target_hter")}  # fmt: skip
    selected = int(found.data.metrics["final/step"])
    (best,) = (p for p in client.get_metric_history(found.info.run_id, "source-dev/auc") if p.step == selected)
    assert best.value == found.data.metrics["final/source_dev_auc"]
    client.delete_run(found.info.run_id)
    assert not mlflow_runs(run)


def test_wandbs_offline_files_have_settings_curves_and_summary(pool: FacePool, tmp_path: Path) -> None:
    import wandb

    trial = made_trial()
    tracked(("wandb",), trial, pool, tmp_path, stop_after=2)
    folder = tracked(("wandb",), trial, pool, tmp_path)
    wandb.teardown()  # waits for the process that writes
    attempts = [wandb_records(file) for file in sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))]
    begun = [next(one.run for one in records if one.WhichOneof("record_type") == "run") for records in attempts]
    (kept,) = {one.run_id for one in begun}
    assert (json.loads((folder / "wandb.json").read_text())["run"], len(begun)) == (kept, 2)
    assert (begun[0].display_name, begun[0].run_group) == ("erm_A&B-to-C_confirm_seed-1", tmp_path.name)
    assert values(begun[0].config.update).items() >= {**settings_of(trial, "confirm"), "trial": trial.id}.items()
    assert begun[0].host == ""
    histories = [[values(one.history.item) for one in records if one.history.item] for records in attempts]
    assert [[row["_step"] for row in rows if "source-dev/auc" in row] for rows in histories] == [[2, 4], [6]]
    assert not any(name.startswith("oracle/") for row in histories[0] for name in row)
    assert [row["oracle/step"] for row in histories[1] if "oracle/step" in row] == [2, 4, 6]
    summary: dict[str, Any] = {}
    for record in attempts[1]:
        summary |= values(record.summary.update)
    assert {"final/step", "final/source_dev_auc", "final/target_hter"} <= set(summary)


@pytest.mark.parametrize("stage", ["search", "inner"])
def test_no_target_figure_of_a_search_trial_is_in_any_byte_of_a_tracker(
    stage: str, pool: FacePool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = tmp_path_factory.mktemp("sealed")
    tracked(("tensorboard", "mlflow", "wandb"), made_trial(), pool, run, stage=stage)
    files = [path for path in run.rglob("*") if path.is_file() and {"mlflow", "tensorboard", "wandb"} & {*path.parts}]
    assert any(b"source-dev/auc" in path.read_bytes() for path in files)
    for path in files:
        assert b"target_" not in path.read_bytes()
        assert "target_" not in path.name


@pytest.mark.slow
@pytest.mark.timeout(2000)
@pytest.mark.parametrize("workers", [1, 2])
def test_every_trial_of_a_sweep_is_one_run_of_each_tracker(workers: int, small_faces: Path, tmp_path: Path) -> None:
    here = place(tmp_path, small_faces, SWEEP)
    with here.start("--set", f"resources.workers={workers}") as driver:
        ran = driver.end(seconds=1800)
    assert ran.code == 0, ran.err
    run = here.run_folder
    trials = read_run(str(run)).trials
    assert sorted((trial.stage, trial.seed) for trial in trials) == [("confirm", 0), ("search", 100), ("search", 100)]
    curves = {path.parent.parent.parent.name: path.parent.name for path in run.glob("trials/*/tensorboard/*/*")}
    assert set(curves) == {trial.id for trial in trials}
    found = {one.data.tags["fasray.trial"]: one for _, one in mlflow_runs(run)}
    assert {key: one.info.run_name for key, one in found.items()} == curves
    for trial in trials:
        assert found[trial.id].info.status == "FINISHED"
        assert ("final/target_hter" in found[trial.id].data.metrics) == (trial.stage == "confirm")
    offline = [wandb_records(file) for file in (run / "wandb").glob("offline-run-*/*.wandb")]
    begun = [next(one.run for one in records if one.WhichOneof("record_type") == "run") for records in offline]
    assert sorted(one.display_name for one in begun) == sorted(curves.values())
    assert not any(SECRET.encode() in path.read_bytes() for path in run.rglob("*") if path.is_file())


def test_of_several_workers_the_first_alone_is_tracked(pool: FacePool, tmp_path: Path) -> None:
    trial = made_trial()
    context = OneOf(1, 2)
    context.trial_dir, context.tracking = str(tmp_path / "trials" / trial.id), ("tensorboard", "mlflow", "wandb")
    assert [one.reading.step for one in evaluations(trial, pool, made_roles(pool.index), context)] == [2, 4, 6]
    assert not list(tmp_path.rglob("*"))


def test_figures_of_the_target_are_those_of_an_independent_count(pool: FacePool, tmp_path: Path) -> None:
    folder = tracked((), made_trial(), pool, tmp_path)
    table = pq.read_table(folder / "eval-00000006.parquet").to_pandas()
    videos = table.groupby(["role", "video"]).agg({"score": "mean", "label": "first"})
    live = {role: np.sort(part.score[part.label == 1]) for role, part in videos.groupby("role")}
    attack = {role: np.sort(part.score[part.label == 0]) for role, part in videos.groupby("role")}
    auc = np.mean([(one > attack["target"]) + (one == attack["target"]) / 2 for one in live["target"]])
    threshold = eer(*(videos.loc["source-dev"][name].to_numpy() for name in ("score", "label"))).threshold
    hter = ((live["target"] < threshold).mean() + (attack["target"] >= threshold).mean()) / 2
    found = target_points(pa.Table.from_pandas(table))
    assert found == pytest.approx({"target_auc": auc, "target_hter": hter})
    table.loc[table.role == "target", "role"] = "target:A&B->C"
    assert set(target_points(pa.Table.from_pandas(table))) == {"target_auc_A&B-to-C", "target_hter_A&B-to-C"}
    assert target_points(pa.Table.from_pandas(table[table.role == "source-dev"])) == {}


class Raising:
    """A tracker whose every call fails, as that of a server that is down."""

    def __init__(self, trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0) -> None:
        Path(trial_dir, "opened").touch()

    @classmethod
    def check(cls, run: str) -> None: ...

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        raise OSError("https://me:password@server:5000 does not answer")

    def flush(self) -> None:
        raise OSError

    def finish(self, curves: Mapping[int, Mapping[str, float]], figures: Mapping[str, float]) -> None:
        raise ValueError

    def close(self) -> None:
        raise RuntimeError


class Closed(Raising):
    """One that cannot even be made."""

    def __init__(self, trial_dir: str, trial: Trial, *, stage: str = "", after_step: int = 0) -> None:
        super().__init__(trial_dir, trial)
        raise OSError("no such server")


@pytest.mark.parametrize("kind", [Raising, Closed])
def test_a_tracker_that_raises_at_every_call_changes_no_byte_of_a_result(
    kind: type[Tracker], pool: FacePool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = digests(tracked((), made_trial(), pool, tmp_path / "plain"))
    with other_trackers.registered("broken", kind, "test"), caplog.at_level(logging.WARNING):
        folder = tracked(("broken", "tensorboard"), made_trial(), pool, tmp_path / "tracked")
    assert (folder / "opened").exists()
    assert digests(folder) == plain
    assert (folder / "tensorboard").exists()
    (said,) = caplog.messages
    assert "not all of it is in broken" in said
    assert "password" not in said


def test_all_trackers_together_change_no_byte_of_a_result_and_write_no_key(
    pool: FacePool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = digests(tracked((), made_trial("ssdg"), pool, tmp_path / "plain"))
    folder = tracked(("tensorboard", "mlflow", "wandb"), made_trial("ssdg"), pool, tmp_path / "tracked")
    assert digests(folder) == plain
    assert not [one for one in caplog.records if one.name.startswith("fasray")]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("wandb" in path.parts for path in files)
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path


def sweep(**more: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {"name": "s", "data": "synthetic", "protocols": ["ocim"], "methods": ["erm"], **more}
    )


def test_trackers_are_no_part_of_a_runs_identity_and_misspelt_ones_are_named() -> None:
    assert sweep(tracking=["mlflow", "wandb"]).hash() == sweep().hash()
    assert "tracking" not in sweep().canonical()
    assert sweep(tracking=["wandb", "wandb"]).canonical()["tracking"] == ["wandb"]
    with pytest.raises(ValueError, match="unknown tracker 'mlfow': .*mlflow"):
        sweep(tracking=["mlfow"])


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_offline_trackers_are_refused_for_a_run_on_an_object_store(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="no files on an object store"):
        check_trackers([name], "s3://bucket/run")
    monkeypatch.setenv(*{"mlflow": ("MLFLOW_TRACKING_URI", "http://server"), "wandb": ("WANDB_MODE", "online")}[name])
    check_trackers([name], "s3://bucket/run")


@pytest.mark.parametrize(("name", "module"), [("mlflow", "mlflow.tracking"), ("wandb", "wandb")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SpecError, match=f"the package {name} is not installed") as refused:
        check_trackers(["tensorboard", name], os.curdir)
    assert "fasray[tracking]" in refused.value.remedy
