"""An exported model gives torch's scores under ONNX Runtime, and says in its own words how to use it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from made_trials import SIZE, made_pool, made_trial, run
from without_fasray import run_shown_code

import fasray
from fasray.cli import cli
from fasray.errors import RunFailedError, SpecError
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.loading.pool import FacePool
from fasray.inference import int8
from fasray.inference.files import predict_files
from fasray.inference.int8 import quantise
from fasray.inference.onnx import TOLERANCE, export_method, export_scorer, in_opset
from fasray.inference.scorer import Scorer
from fasray.methods import registry
from fasray.methods.base import Build, Method
from fasray.methods.erm import ERM
from fasray.metrics.calibration import Calibration, fit_calibration
from fasray.results.digests import source_digest
from fasray.results.scores import read_scores
from fasray.runs.layout import score_file

SETTINGS = Settings(FrameRule(count=10), image_size=SIZE, quality=90, margin=1.4)
IN_EVERY_RUN = ("erm", "rfmeta")  # one that is plain, one that reads HSV


def made(name: str, **config: Any) -> Method:
    """A tiny method whose weights and running statistics are none of the initial ones."""
    method = registry.get(name)(registry.config(name, config))
    torch.manual_seed(4)
    method.build(Build(num_domains=3, image_size=64, total_steps=10, width=0.125))
    for key, value in method.networks.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    method.networks.eval()
    return method


def scored(content: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["score"], {"images": images})[0]
    return found


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in IN_EVERY_RUN else pytest.mark.slow) for n in registry.METHODS]
)
def test_onnx_scores_equal_torchs_for_any_batch(name: str) -> None:
    method = made(name)
    exported = export_method(method, 64)
    assert exported.difference <= TOLERANCE
    for count in (1, 2, 7):
        images = np.random.default_rng(count).integers(0, 256, (count, 3, 64, 64)).astype(np.float32) / 255
        with torch.inference_mode():
            expected = method.score(torch.from_numpy(images)).numpy()
        found = scored(exported.content, images)
        assert found.shape == (count,)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
    onnx.checker.check_model(onnx.load_from_string(exported.content))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "config"),
    [("ssdg", {"backbone": "depthnet"}), ("sdfanet", {"region": "face"}), ("hfn_mp", {"channel_order": "bgr"})],
)  # fmt: skip
def test_other_forms_of_a_method_are_exported_too(name: str, config: dict[str, Any]) -> None:
    assert export_method(made(name, **config), 64).difference <= TOLERANCE


class Alternating(ERM):
    """ERM whose graph is not what it computes: each call scores otherwise."""

    calls = 0

    def score(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().score(images) * (0.5 if self.calls % 2 else 1.0)


def test_a_model_that_would_score_otherwise_is_not_exported() -> None:
    method = Alternating(ERM.Config())
    method.build(Build(num_domains=3, image_size=64, total_steps=10, width=0.125))
    with pytest.raises(RunFailedError, match="differ from torch's by up to"):
        export_method(method, 64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained trial in a run that has noted how its data were made."""
    folder = tmp_path_factory.mktemp("export")
    trial = made_trial()
    at = folder / "run" / "trials" / trial.id
    run(trial, made_pool(folder / "pool"), at)
    card = {"kind": "prepared", "plan": {"settings": SETTINGS.facts()}}
    (folder / "run" / "data.json").write_text(json.dumps({"image_size": SIZE, "card": card}))
    return at


@pytest.fixture(scope="module")
def file(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as the command exports it."""
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    ran = CliRunner().invoke(cli, ["export", str(trained), "-o", str(out)], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    scorer = Scorer.load(str(trained))
    assert f"trial {scorer.trial.id}, step {scorer.step}" in ran.output
    return out


def test_the_command_writes_a_file_that_explains_itself(trained: Path, file: Path) -> None:
    out, scorer = file, Scorer.load(str(trained))
    model = onnx.load(out)
    told = {entry.key.removeprefix("fasray."): json.loads(entry.value) for entry in model.metadata_props}
    assert told["model"]["trial"] == scorer.trial.id
    assert (told["model"]["step"], told["model"]["domains"]) == (scorer.step, ["A", "B"])
    assert told["input"] == {
        "name": "images", "layout": "NCHW", "type": "float32", "colours": "RGB", "range": [0, 1], "size": 32,
        "values": "level / 255 of uint8 pixels",
    }  # fmt: skip
    assert (told["window"]["rule"], told["window"]["pixels"], told["window"]["resize"]) == ("middle", 32, None)
    assert told["preparation"] == SETTINGS.facts()
    assert told["crop"]["side"].startswith("1.4 times the longer side")
    assert told["crop"]["jpeg"] == {"round_trip": True, "quality": 90, "chroma": "4:4:4"}
    assert (told["frames"]["count"], told["output"]["video"][:4]) == (10, "mean")
    assert (model.producer_name, model.producer_version) == ("fasray", fasray.__version__)
    digest = source_digest(read_scores(score_file(str(trained), scorer.step)))
    assert told["output"]["direction"] == "higher = more bona fide"
    assert told["output"]["threshold"] == {
        "rule": "source-dev EER", "video": digest.video_threshold, "frame": digest.frame_threshold,
    }  # fmt: skip
    assert told["parity"]["difference"] <= TOLERANCE


def test_the_shown_code_without_fasray_gives_the_scores_of_fasray(trained: Path, file: Path) -> None:
    shown, scorer = run_shown_code(file), Scorer.load(str(trained))
    crops = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_allclose([shown["score_of"](crop) for crop in crops], scorer.score(crops), rtol=0, atol=1e-5)
    picture = file.with_suffix(".png")
    cv2.imwrite(str(picture), shown["picture"][..., ::-1])
    (predicted,) = predict_files(scorer, [picture])
    assert predicted.score == pytest.approx(shown["score"], abs=1e-5)
    assert shown["sample"]["score"] == pytest.approx(predicted.score, abs=1e-6)


def test_the_calibration_in_the_file_is_fitted_on_source_dev_alone(trained: Path, file: Path) -> None:
    rows = read_scores(score_file(str(trained), Scorer.load(str(trained)).step))
    (entry,) = (one for one in onnx.load(str(file)).metadata_props if one.key == "fasray.output")
    said = json.loads(entry.value)["calibration"]
    videos = rows.source_dev.videos
    assert Calibration.from_json({key: said[key] for key in said if key not in ("of", "fitted_on")}) == fit_calibration(
        videos.score, videos.label
    )
    assert said["rows"] == len(videos.score) != len(rows.target.videos.score)


def test_older_operators_are_written_or_what_needs_newer_ones_is_named(file: Path) -> None:
    model = onnx.load(str(file))
    images = np.random.default_rng(0).random((3, 3, 32, 32), np.float32)
    older = in_opset(onnx.load(str(file)), 17)
    assert [(one.domain, one.version) for one in older.opset_import if not one.domain] == [("", 17)]
    np.testing.assert_array_equal(scored(older.SerializeToString(), images), scored(model.SerializeToString(), images))
    with pytest.raises(SpecError, match="cannot be written with opset 9"):
        in_opset(onnx.load(str(file)), 9)
    model.graph.node[-1].op_type = "Gelu"
    with pytest.raises(SpecError, match="opset 17: Gelu"):
        in_opset(model, 17)


def test_int8_takes_its_ranges_and_thresholds_from_source_dev_alone(trained: Path) -> None:
    pool, scorer = FacePool.open(trained.parents[2] / "pool"), Scorer.load(str(trained))
    exported = export_scorer(scorer)
    small = quantise(exported, scorer, pool)
    assert len(small.content) < len(exported.content) / 2
    source = np.flatnonzero(np.isin(pool.index.domain, ["A", "B"]))
    images = np.array(pool.images)
    images[np.setdiff1d(np.arange(len(images)), source)] = 255 - images[np.setdiff1d(np.arange(len(images)), source)]
    other = quantise(exported, scorer, replace(pool, images=images))  # the target's faces are others
    assert other.metadata["output"] == small.metadata["output"] != exported.metadata["output"]
    assert other.metadata["int8"]["source-dev"] == small.metadata["int8"]["source-dev"]
    assert other.metadata["int8"]["target"] != small.metadata["int8"]["target"]
    weights = [graph.graph.initializer for graph in map(onnx.load_from_string, (small.content, other.content))]
    assert list(weights[0]) == list(weights[1])
    before, after = (scored(one.content, windows(pool, source)) for one in (exported, small))
    assert 0 < np.abs(before - after).max() < 0.1


@pytest.mark.slow
def test_an_int8_model_that_scores_otherwise_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, scorer = FacePool.open(trained.parents[2] / "pool"), Scorer.load(str(trained))
    monkeypatch.setattr(int8, "MOST_DIFFERENCE", 0.0)
    with pytest.raises(RunFailedError, match="the int8 model's scores differ by .* on average"):
        quantise(export_scorer(scorer), scorer, pool)


def windows(pool: FacePool, rows: np.ndarray) -> np.ndarray:
    start = (SIZE - 32) // 2
    middle = pool.images[rows][:, start : start + 32, start : start + 32]
    return np.asarray(middle.transpose(0, 3, 1, 2) / np.float32(255), np.float32)


def test_a_checkpoint_alone_is_enough_and_unknown_things_are_null(trained: Path, tmp_path: Path) -> None:
    alone = tmp_path / "checkpoint"
    alone.mkdir()
    for file in (trained / "checkpoint").iterdir():
        (alone / file.name).write_bytes(file.read_bytes())
    ran = CliRunner().invoke(cli, ["export", str(alone), "-o", str(tmp_path / "m.onnx")], catch_exceptions=False)
    assert "no threshold" in ran.output
    said = {one.key[7:]: json.loads(one.value) for one in onnx.load(str(tmp_path / "m.onnx")).metadata_props}
    assert said["preparation"] is said["crop"] is said["frames"] is None
    assert said["output"]["threshold"] is said["output"]["calibration"] is None
    assert set(said["sample"]) == {"crop", "score", "about"}


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_missing_packages_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    ran = CliRunner().invoke(cli, ["export", "nowhere", "-o", "model.onnx"])
    assert isinstance(ran.exception, SpecError)
    assert f"package {package}, which is not installed" in ran.exception.what
    assert "python -m pip install onnx onnxruntime onnxscript" in ran.exception.remedy
