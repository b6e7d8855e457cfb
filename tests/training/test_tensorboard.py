"""A trial in TensorBoard: a run with a name that says what it is, and a row of the HParams tab."""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path

from made_trials import made_trial
from s3_sweeps import curve_steps
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from fasray import storage
from fasray.training.tensorboard import Curves


def events(file: Path) -> list[Event]:
    records, found, at = file.read_bytes(), [], 0
    while at < len(records):
        (length,) = struct.unpack_from("<Q", records, at)
        found.append(Event.FromString(records[at + 12 : at + 12 + length]))
        at += 12 + length + 4
    return found


def test_curves_on_a_store_have_the_same_name(s3: str) -> None:
    trial = made_trial()
    for step in (2, 4):
        with closing(Curves(s3, trial, after_step=step - 2)) as curves:
            curves.add(step, {"source-dev/auc": 0.75})
    assert curve_steps(s3) == [[2], [4]]
    assert storage.listing(storage.join(s3, "tensorboard")) == ["erm_A&B-to-C_seed-1"]


def test_the_hparams_tab_shows_settings_and_source_dev_figures_alone(tmp_path: Path) -> None:
    trial = made_trial("ssdg", seed=7)
    with closing(Curves(str(tmp_path), trial, stage="search")) as curves:
        curves.add(6, {"source-dev/auc": 0.75, "source-dev/loss": 0.5, "oracle/target_auc": 0.9})
        curves.finish({}, {})
    (file,) = (tmp_path / "tensorboard" / "ssdg_A&B-to-C_search_seed-7").iterdir()
    values = [value for event in events(file) for value in event.summary.value]
    plugin = [HParamsPluginData.FromString(value.metadata.plugin_data.content) for value in values
              if value.metadata.plugin_data.plugin_name == "hparams"]  # fmt: skip
    experiment, begun, ended = plugin
    shown = {name: value.WhichOneof("kind") for name, value in begun.session_start_info.hparams.items()}
    assert set(trial.config) | {"method", "protocol", "stage", "seed", "steps"} == set(shown)
    assert begun.session_start_info.hparams["learning_rate"].number_value == trial.config["learning_rate"]
    assert {info.name for info in experiment.experiment.hparam_infos} == set(shown)
    metrics = {info.name.tag for info in experiment.experiment.metric_infos}
    assert metrics == {"source-dev/auc", "source-dev/loss"} < {value.tag for value in values}
    assert ended.session_end_info.status == 1
