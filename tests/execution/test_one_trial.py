"""``fasray.train_trial``: one trial from Python, with what it reports."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import fasray
from fasray.errors import SpecError
from fasray.execution.listener import Listener
from fasray.execution.one_trial import retrain_trial
from fasray.faces.synthetic import generate
from fasray.results.scores import read_scores
from fasray.runs.scores import encode_scores

TINY = {"image_size": 32, "width": 0.125, "steps": 2, "evaluations": 2}


class _Heard(Listener):
    def __init__(self) -> None:
        self.stages: list[str] = []
        self.steps: list[int] = []

    def on_stage(self, what: str) -> None:
        self.stages.append(what)

    def on_evaluation(self, trial: object, evaluation: object) -> None:
        self.steps.append(evaluation.reading.step)  # type: ignore[attr-defined]


def test_a_trial_trains_once_is_then_done_and_is_trained_again_to_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASRAY_POOL_DIR", str(tmp_path / "pools"))
    data, heard = str(tmp_path / "faces"), _Heard()
    generate(data, subjects=2, domains="OC", image_size=32, processes=1)
    settings: dict[str, Any] = {"config": {"images_per_group": 2}, "training": TINY, "out": str(tmp_path / "trial")}
    first = fasray.train_trial("erm", "O->C", data, listener=heard, **settings)
    assert first.trained_now
    assert heard.stages == ["filling the pool of decoded faces"]
    assert heard.steps == [1, 2]
    assert not fasray.train_trial("erm", "O->C", data, **settings).trained_now
    monkeypatch.setenv("FASRAY_DATA", data)
    assert not fasray.train_trial("erm", "O->C", "auto", listener=heard, device="cpu", **settings).trained_now
    assert f"data {data}: from FASRAY_DATA" in heard.stages
    second = retrain_trial(str(tmp_path / "trial" / "spec.json"), data, out=str(tmp_path / "copy"))
    assert second.trial.id == first.trial.id
    for one, other in zip(first.score_uris, second.score_uris, strict=True):
        assert (read_scores(one).target.score == read_scores(other).target.score).all()
    computed_elsewhere(first.score_uris)
    assert not fasray.train_trial("erm", "O->C", data, **settings).trained_now
    Path(first.score_uris[-1]).unlink()
    with pytest.raises(SpecError, match="computed on NVIDIA H200; it would go on on cpu") as error:
        fasray.train_trial("erm", "O->C", data, **settings)
    assert "--any-device" in error.value.remedy
    assert fasray.train_trial("erm", "O->C", data, any_device=True, **settings).trained_now
    with pytest.raises(SpecError, match="this folder holds another trial"):
        fasray.train_trial("erm", "O->C", data, seed=1, **settings)


def computed_elsewhere(score_uris: tuple[str, ...]) -> None:
    """Let score files say that they are from a card."""
    for uri in score_uris:
        rows = pq.read_table(uri)
        metadata = {**rows.schema.metadata, b"fasray.computed_on": b'{"device": "NVIDIA H200"}'}
        Path(uri).write_bytes(encode_scores(rows.replace_schema_metadata(metadata)))


def test_an_unknown_setting_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="images_per_group"):
        fasray.train_trial("erm", "O->C", "x", config={"images_per_grup": 2}, out=str(tmp_path / "trial"))
    with pytest.raises(SpecError, match="unknown device 'gpu'"):
        fasray.train_trial("erm", "O->C", "x", out=str(tmp_path / "trial"), device="gpu")
    assert not list(tmp_path.iterdir())
