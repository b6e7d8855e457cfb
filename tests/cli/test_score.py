"""``fasray score`` on the videos that a model's data were prepared from gives the model's own scores."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import fasray
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.faces import jpeg
from fasray.faces.corpora import get
from fasray.faces.extraction.extract import Extractor, Settings
from fasray.faces.extraction.frames import FrameRule
from fasray.faces.loading.pool import FacePool, PoolWriter
from fasray.faces.mimics import MimicSettings, write
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE
from fasray.faces.sets.reading import read_columns, read_index
from fasray.faces.sets.shards import write_shards
from fasray.inference.preparation import recorded_preparation, settings_for
from fasray.inference.scorer import Scorer
from fasray.metrics.calibration import Calibration
from fasray.protocols import parse
from fasray.results.digests import source_digest
from fasray.results.scores import read_scores
from fasray.runs.layout import score_file
from fasray.training.context import Context
from fasray.training.loop import evaluations
from fasray.training.trial import TrainingSpec, make_trial

CORPORA = {"casia-fasd": "C", "msu-mfsd": "M"}
SETTINGS = Settings(FrameRule(count=2), image_size=64, quality=90, margin=1.4)
"""Not the defaults: what the model's data were made with has to be found."""
TRAINING = TrainingSpec(image_size=56, width=0.125, steps=6, evaluations=3, eval_batch_size=7, images=2)


@dataclass(frozen=True)
class Model:
    """A run with one trained trial, its data, and the videos that these come from."""

    run: Path
    trial: Path
    data: Path
    videos: dict[str, Path]
    """By name in the records."""

    def scores(self, step: int) -> dict[tuple[str, int], float]:
        table = pq.read_table(score_file(str(self.trial), step)).to_pylist()
        return {(row["video"], row["frame"]): row["score"] for row in table}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("score")
    extractor = Extractor(SETTINGS, SETTINGS.read_models())
    records, videos = [], {}
    for corpus in CORPORA:
        source = folder / corpus
        write(str(source), MimicSettings(corpus, subjects=2, frames=4), processes=1)
        for video in get(corpus).entries(str(source)):
            records.append(extractor.extract(str(source), video).records)
            videos[video.video] = source / video.path
    data, run = folder / "faces", folder / "run"
    card = {"kind": "prepared", "plan": {"settings": SETTINGS.facts()}}
    manifest = write_shards(records, str(data), card, image_size=SETTINGS.image_size)
    pool = filled(folder / "pool", data, manifest)
    roles = parse("C->M").assign(pool.index)
    trial = make_trial(
        method="erm", config={}, training=TRAINING, protocol="C->M", fingerprint="f", data=manifest.hash, seed=1
    )
    at = run / "trials" / trial.id
    for _ in evaluations(trial, pool, roles, Context(str(at), seed=1, total_steps=TRAINING.steps)):
        pass
    facts = {"manifest_hash": manifest.hash, "rows": manifest.rows, "image_size": manifest.image_size, "card": card}
    (run / "data.json").write_text(json.dumps(facts))
    return Model(run, at, data, videos)


def filled(folder: Path, data: Path, manifest: Any) -> FacePool:
    index = read_index(str(data))
    pool = PoolWriter(folder, manifest.image_size, index, manifest.hash)
    table = read_columns(str(data), manifest.shards[0], ["image", "depth", "parsing"])
    assert len(table) == len(index)
    shapes = {"depth": DEPTH_SIZE, "parsing": PARSING_SIZE}
    maps = [
        np.frombuffer(b"".join(table[name].to_pylist()), np.uint8).reshape(-1, size, size)
        for name, size in shapes.items()
    ]
    images = np.stack([np.asarray(jpeg.decode(data)) for data in table["image"].to_pylist()])
    pool.write(np.arange(len(index)), images, *maps)
    return pool.finish()


def score(*arguments: str | Path) -> str:
    ran = CliRunner().invoke(cli, ["score", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    return ran.stdout


def test_scores_of_videos_are_those_of_the_trial_itself(model: Model) -> None:
    names = list(model.videos)
    found = json.loads(score(model.trial, *model.videos.values(), "--format", "json"))
    own = model.scores(found["step"])
    compared = 0
    for name, file in zip(names, found["files"], strict=True):
        scored = {frame["frame"]: frame["score"] for frame in file["frames"] if frame["score"] is not None}
        there = {frame: value for (video, frame), value in own.items() if video == name}
        if there:
            assert scored.keys() == there.keys()
            assert scored == pytest.approx(there, abs=1e-6)
            assert file["score"] == pytest.approx(np.mean(list(there.values())), abs=1e-6)
            compared += len(there)
    assert compared == len(own) > 20


def test_the_threshold_is_the_source_dev_eer_of_that_step(model: Model) -> None:
    found = json.loads(score(model.trial / "checkpoint", *model.videos.values(), "--format", "json"))
    digest = source_digest(read_scores(score_file(str(model.trial), found["step"])))
    assert found["threshold"] == {
        "rule": "source-dev-eer", "video": digest.video_threshold, "frame": digest.frame_threshold,
    }  # fmt: skip
    for file in found["files"]:
        live = file["score"] is not None and file["score"] >= digest.video_threshold
        assert file["decision"] == (None if file["score"] is None else "live" if live else "attack")


def test_faces_are_cut_out_as_for_the_model_s_data(model: Model) -> None:
    video = next(iter(model.videos.values()))
    for options in ((), ("--data", model.data)):
        found = json.loads(score(model.trial, video, "--format", "json", *options))
        assert found["preparation"] == SETTINGS.facts()
    every = json.loads(score(model.trial, video, "--format", "json", "--every", "1"))["files"][0]
    assert [frame["frame"] for frame in every["frames"]] == [0, 1, 2, 3]


def test_sets_that_were_merged_are_cut_out_alike_or_not_at_all(model: Model) -> None:
    parts = [{"card": {"plan": {"settings": SETTINGS.facts()}}} for _ in range(2)]
    scorer, facts = Scorer.load(str(model.trial)), model.run / "data.json"
    before = facts.read_text()

    def merged() -> None:
        facts.write_text(json.dumps({"card": {"kind": "merged", "sets": parts}, "image_size": SETTINGS.image_size}))

    try:
        merged()
        assert settings_for(scorer) == SETTINGS
        found = recorded_preparation(scorer)
        assert found is not None
        assert found.to_json() == SETTINGS.facts()
        parts[1]["card"]["plan"]["settings"] = Settings(image_size=64).facts()
        merged()
        with pytest.raises(SpecError, match="prepared in different ways"):
            settings_for(scorer)
    finally:
        facts.write_text(before)


def test_the_step_can_be_chosen_among_those_kept(model: Model) -> None:
    video = next(iter(model.videos.values()))
    last = json.loads(score(model.trial, video, "--format", "json", "--step", "6"))
    assert last["step"] == 6
    with pytest.raises(SpecError, match="no checkpoint of step 5"):
        score(model.trial, video, "--step", "5")


def test_files_without_a_face_and_broken_ones_are_told_and_the_rest_is_scored(model: Model, tmp_path: Path) -> None:
    good = next(iter(model.videos.values()))
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((120, 160, 3), 90, np.uint8))
    (tmp_path / "broken.avi").write_bytes(b"")
    runner = CliRunner()
    files = [str(path) for path in (good, tmp_path / "wall.png", tmp_path / "broken.avi")]
    ran = runner.invoke(cli, ["score", str(model.trial), *files, "--per-frame"])
    assert isinstance(ran.exception, DataError)
    assert ran.exception.exit_code == 3
    assert "1 of 3 files cannot be read" in str(ran.exception)
    lines = {line.split()[0]: line for line in ran.stdout.splitlines()}
    assert " live " in lines[str(good)] or " attack " in lines[str(good)]
    assert " no face " in lines[str(tmp_path / "wall.png")]
    assert "unreadable: empty: zero bytes" in lines[str(tmp_path / "broken.avi")]
    assert "frame 1" in ran.stdout
    assert "erm trained on C" in ran.stdout
    assert "EER of the model's own source-dev scores" in ran.stdout


def test_a_batch_of_folders_and_lists_loses_nothing_in_any_format(model: Model, tmp_path: Path) -> None:
    folder = tmp_path / "visitors"
    (folder / "deep").mkdir(parents=True)
    good = list(model.videos.values())[:3]
    for number, video in enumerate(good):
        shutil.copy(video, folder / "deep" / f"{number}{video.suffix}")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "notes.txt").write_text("no picture either")
    (tmp_path / "more.txt").write_text(f"{good[0]}\n\n{tmp_path / 'gone.png'}\n")
    arguments = [str(model.trial), str(folder), "--list", str(tmp_path / "more.txt")]

    def scored(style: str, *more: str) -> Path:
        out = tmp_path / f"scores.{style}"
        ran = CliRunner().invoke(cli, ["score", *arguments, "--format", style, "-o", str(out), *more])
        assert "2 of 6 files cannot be read" in str(ran.exception)
        return out

    found = json.loads(scored("json").read_text())["files"]
    names = ["visitors/broken.jpg", *(f"visitors/deep/{n}{video.suffix}" for n, video in enumerate(good))]
    assert [file["path"] for file in found] == [str(tmp_path / name) for name in names] + [
        str(good[0]), str(tmp_path / "gone.png"),
    ]  # fmt: skip
    assert [file["path"] for file in found if file["unreadable"]] == [found[0]["path"], found[-1]["path"]]
    expected = [file["score"] for file in found]
    assert expected[1] == expected[4] is not None
    calibration = Calibration.from_json(json.loads((tmp_path / "scores.json").read_text())["calibration"])
    for table in (pd.read_csv(scored("csv", "--workers", "3")), pd.read_parquet(scored("parquet"))):
        assert table["path"].tolist() == [file["path"] for file in found]
        assert table["score"].tolist() == pytest.approx(expected_or_nan(expected), nan_ok=True, abs=0)
        here = table["score"].notna()
        assert table["probability"][here].tolist() == pytest.approx(calibration.apply(table["score"][here]).tolist())
    frames = pd.read_csv(scored("csv", "--per-frame"))
    assert set(frames["path"]) == set(table["path"])
    library = fasray.predict_files(Scorer.load(str(model.trial)), [folder, good[0], tmp_path / "gone.png"], workers=2)
    assert [one.score for one in library] == expected


def expected_or_nan(scores: list[float | None]) -> list[float]:
    return [np.nan if score is None else score for score in scores]


def test_files_of_any_name_are_scored_and_named(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = next(iter(model.videos.values()))
    expected = json.loads(score(model.trial, good, "--format", "json"))["files"][0]["score"]
    names = ["12:30.mp4", "caf\udce9.mp4", "http:x.mp4", f"file://{tmp_path}/12:30.mp4"]
    for name in names[:3]:
        shutil.copy(good, name)
    found = json.loads(score(model.trial, *names, "--format", "json"))["files"]
    assert [file["score"] for file in found] == [expected] * 4
    assert [file["path"] for file in found][:3] == ["12:30.mp4", "caf\\xe9.mp4", "http:x.mp4"]
    assert "caf\\xe9.mp4 " in score(model.trial, *names)


def test_a_single_picture_is_judged_by_the_threshold_for_frames(model: Model, tmp_path: Path) -> None:
    video = cv2.VideoCapture(str(next(iter(model.videos.values()))))
    cv2.imwrite(str(tmp_path / "face.png"), video.read()[1])
    video.release()
    found = json.loads(score(model.trial, tmp_path / "face.png", "--format", "json"))
    (file,) = found["files"]
    assert [frame["frame"] for frame in file["frames"]] == [0]
    assert file["decision"] == ("live" if file["score"] >= found["threshold"]["frame"] else "attack")
    cv2.imwrite(str(tmp_path / "headlong.png"), cv2.imread(str(tmp_path / "face.png"))[::-1, ::-1])
    turned = json.loads(score(model.trial, tmp_path / "headlong.png", "--format", "json", "--rotate", "180"))
    assert turned["files"][0]["score"] == file["score"]


def test_a_model_is_the_same_from_inside_its_folders(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = Scorer.load(str(model.trial))
    (tmp_path / "latest").symlink_to(model.trial)
    checkpoint = model.trial / "checkpoint"
    for folder, spelling in (
        (model.trial, "."),
        (model.trial, "checkpoint"),
        (checkpoint, "."),
        (checkpoint, "./"),
        (checkpoint, "../checkpoint"),
        (checkpoint, ".."),
        (model.run, f"trials/{model.trial.name}/"),
        (tmp_path, "latest"),
        (tmp_path / "latest", "checkpoint"),
        (tmp_path, f"file://{checkpoint}"),
    ):
        monkeypatch.chdir(folder)
        found = Scorer.load(spelling)
        assert found.thresholds() == outside.thresholds() is not None
        assert recorded_preparation(found) == recorded_preparation(outside) is not None


def test_a_checkpoint_alone_has_no_threshold_and_needs_to_know_the_preparation(model: Model, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(model.trial / "checkpoint", tmp_path / "checkpoint"))
    video = next(iter(model.videos.values()))
    with pytest.raises(SpecError, match="how the model's data were prepared is not known"):
        score(alone, video)
    text = score(alone, video, "--data", model.data)
    assert "no threshold" in text
    with pytest.raises(DataError, match="no checkpoint in this folder"):
        score(model.run, video)


@pytest.mark.slow
def test_an_int8_model_says_what_it_changes_and_other_faces_are_refused(model: Model, tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    arguments = ["export", str(model.trial), "-o", str(out), "--int8", "--data"]
    ran = CliRunner().invoke(cli, [*arguments, str(model.data)], catch_exceptions=False)
    assert "int8 on source-dev: scores of frames differ by" in ran.output
    said = json.loads(onnxruntime.InferenceSession(out).get_modelmeta().custom_metadata_map["fasray.int8"])
    assert f"{said['target']['decisions_changed']} of {said['target']['videos']} videos decided otherwise" in ran.output
    out.unlink()
    parts = [pq.read_table(file).slice(1) for file in sorted(model.data.glob("*.parquet"))]
    card = {"kind": "prepared", "plan": {"settings": SETTINGS.facts()}}
    batches = [batch for part in parts for batch in part.to_batches()]
    write_shards(batches, str(tmp_path / "others"), card, image_size=SETTINGS.image_size)
    refused = CliRunner().invoke(cli, [*arguments, str(tmp_path / "others")])
    assert "not the faces that the model was trained on" in str(refused.exception)
    assert not out.exists()
