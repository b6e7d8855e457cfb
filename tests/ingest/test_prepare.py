"""From videos to shards: what the records hold, what is told of broken files, and how a preparation goes on."""

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from videos import BROKEN, ODD, spoil

from fasray import storage
from fasray.cli import cli
from fasray.errors import DataError, SpecError
from fasray.execution.ray_session import ray_session
from fasray.faces import jpeg
from fasray.faces.corpora import get
from fasray.faces.corpora.folders import FolderRules, Folders
from fasray.faces.extraction.extract import Settings
from fasray.faces.extraction.frames import FrameRule, frames
from fasray.faces.mimics import MimicSettings, film, write
from fasray.faces.record import DEPTH_SIZE, schema_with
from fasray.faces.sets.manifest import MANIFEST_NAME, Manifest, read_manifest
from fasray.faces.sets.verify import verify
from fasray.ingest.chunks import PreparationPlan, make_plan
from fasray.ingest.summary import NO_FACE, UNREADABLE, PreparationResult
from fasray.ingest.worklog import FOLDER, Worklog

pytestmark = pytest.mark.timeout(600)
CORPUS = "msu-mfsd"
MIMIC = MimicSettings(CORPUS, subjects=2, frames=4)
SMALL = Settings(FrameRule(count=2), image_size=96)
ROWS = 8
"""Of a shard: four videos."""


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with ray_session():
        import ray

        yield ray


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated videos in the layout of MSU-MFSD: two subjects. Read only."""
    folder = tmp_path_factory.mktemp("mimic") / CORPUS
    write(str(folder), MIMIC, processes=1)
    return folder


def plan_of(source: Path, settings: Settings = SMALL) -> PreparationPlan:
    return make_plan(CORPUS, str(source), settings, ROWS)


def prepared(plan: PreparationPlan, out: Path | str, **more: Any) -> PreparationResult:
    from fasray.ingest.prepare import prepare

    return prepare(plan, Worklog.open(str(out), plan), **more)


def rows(uri: Path | str) -> list[dict[str, Any]]:
    return [
        row
        for shard in read_manifest(str(uri)).shards
        for row in pq.read_table(io.BytesIO(storage.read_bytes(storage.join(str(uri), shard.name)))).to_pylist()
    ]


@pytest.fixture(scope="module")
def whole(ray: Any, source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparationResult]:
    """A preparation that nothing disturbed. Read only."""
    out = tmp_path_factory.mktemp("prepared") / "set"
    return out, prepared(plan_of(source), out)


def test_every_video_gives_its_frames_and_the_set_is_sound(whole: Any, source: Path) -> None:
    out, outcome = whole
    assert verify(str(out)) == []
    videos = {video.video: video for video in get(CORPUS).entries(str(source))}
    taken = rows(out)
    assert {row["video"] for row in taken} == set(videos)
    assert [row["video"] for row in taken] == sorted((row["video"] for row in taken), key=list(videos).index)
    for row in taken:
        video = videos[row["video"]]
        for name in ("domain", "attack_type", "instrument", "subject", "camera", "session", "split"):
            assert row[name] == getattr(video, name)
        assert (row["label"], row["source_path"], row["label_source"]) == (video.label, video.path, "mesh468")
        assert row["frame"] in (1, 3), "the middles of two halves of four frames"
    assert sum(counts.frames for counts in outcome.counts) == 2 * len(videos)
    assert sum(counts.frames - counts.misses for counts in outcome.counts) == len(taken)
    assert outcome.clean


def test_faces_of_the_living_are_found_and_their_depth_is_like_the_exact_one(whole: Any) -> None:
    out, outcome = whole
    live = [counts for counts in outcome.counts if counts.attack_type == "live"]
    assert sum(counts.misses for counts in live) <= 0.03 * sum(counts.frames for counts in live)
    exact = {video.video: film(MIMIC, video).depth for video in MIMIC.videos() if video.attack_type == "live"}
    agree = []
    for row in rows(out):
        depth = np.frombuffer(row["depth"], np.uint8).reshape(DEPTH_SIZE, DEPTH_SIZE)
        if row["label"]:
            matrix = np.array(row["crop_matrix"], np.float32).reshape(2, 3)
            true = cv2.warpAffine(exact[row["video"]][row["frame"]], matrix, (96, 96))
            true = cv2.resize(true, (DEPTH_SIZE, DEPTH_SIZE), interpolation=cv2.INTER_AREA)
            agree.append(np.corrcoef(depth.ravel(), true.ravel())[0, 1])
        else:
            assert not depth.any()
            assert not any(row["parsing"])
    assert np.median(agree) >= 0.6


def test_landmarks_lie_in_the_crop_left_eye_of_the_picture_first(whole: Any) -> None:
    for row in rows(whole[0]):
        five = np.array(row["landmarks5"]).reshape(5, 2)
        assert ((five > 0) & (five < 96)).all()
        assert five[0, 0] < five[1, 0]
        assert five[3, 0] < five[4, 0]
        assert 0.5 <= row["detection_score"] <= 1


def test_the_card_tells_how_it_was_made(whole: Any) -> None:
    out, outcome = whole
    card = outcome.manifest.card
    assert card["plan"]["settings"]["frames"] == 2
    assert len(card["plan"]["settings"]["models"]) == 4
    assert card["crop"] == {"margin": 1.35, "rotation": "none", "frame_rule": "2 evenly spaced"}
    assert sum(count["frames"] - count["misses"] for count in card["counts"]) == outcome.manifest.rows
    text = (out / "CARD.md").read_text(encoding="utf-8")
    assert "MSU-MFSD" in text
    assert "2 evenly spaced" in text
    assert {document.name for document in outcome.manifest.documents} == {"CARD.md", "misses.csv", "problems.csv"}
    assert not (out / FOLDER).exists(), "notes of the work are gone once it is done"


def test_a_finished_preparation_is_not_done_again_and_not_done_otherwise(whole: Any, source: Path) -> None:
    out, outcome = whole
    assert Worklog.open(str(out), plan_of(source)).finished == outcome.manifest
    with pytest.raises(SpecError, match=r"(?s)another plan.*settings.quality: 95 -> 80") as caught:
        Worklog.open(str(out), plan_of(source, Settings(FrameRule(count=2), image_size=96, quality=80)))
    assert caught.value.exit_code == 2


class StoppedError(Exception):
    """Stands for whatever ends a driver."""


def test_a_preparation_goes_on_with_more_workers_and_ends_with_the_same_bytes(
    whole: Any, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"

    def stop(progress: Any) -> None:
        if progress.videos >= progress.of_videos * 2 // 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        prepared(plan_of(source), out, on_progress=stop, actors=1)
    log = Worklog.open(str(out), plan_of(source))
    assert 0 < len(log.done) < len(plan_of(source).chunks())
    assert [finding.what for finding in verify(str(out))] == [
        f"missing, but there are {len(log.done)} shards: an interrupted preparation"
    ], "a half-made set is not mistaken for a whole one"
    with pytest.raises(DataError, match="no face set here"):
        read_manifest(str(out))
    with pytest.raises(SpecError, match=r"(?s)begun here with another plan.*image_size: 96 -> 64"):
        Worklog.open(str(out), plan_of(source, Settings(FrameRule(count=2), image_size=64)))
    before = {shard.name: (out / shard.name).stat().st_mtime_ns for r in log.done.values() if (shard := r.shard)}
    seen: list[Any] = []
    prepared(plan_of(source), out, on_progress=seen.append)
    assert seen[0].videos > sum(len(plan_of(source).chunks()[number]) for number in log.done)
    assert files(out) == files(whole[0])
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before, "what was done is not written again"


@pytest.mark.slow
def test_a_long_video_is_shared_by_workers_and_gives_the_same_bytes(ray: Any, source: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    live = next(video for video in get(CORPUS).entries(str(source)) if video.attack_type == "live")
    pictures = [frame for _, frame in frames(str(source / live.path), FrameRule(every=1), print)]
    writer = cv2.VideoWriter(str(tmp_path / "source/a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (960, 720))
    noise = np.random.default_rng(0)
    for number in range(20):
        large = cv2.resize(pictures[number % len(pictures)], (960, 720)).astype(np.int16)
        shown = np.zeros_like(large) if number == 13 else large + noise.integers(-40, 40, large.shape, np.int16)
        writer.write(np.clip(shown, 0, 255).astype(np.uint8))
    writer.release()
    (tmp_path / "source/manifest.csv").write_text("path,label,domain,subject\na.avi,live,lab,ann\n")
    plan = make_plan("manifest", str(tmp_path / "source"), Settings(FrameRule(every=1), image_size=64))
    assert len(plan.divided(list(plan.units(0, plan.videos)), 2)) == 2
    seen: list[Any] = []
    outcome = prepared(plan, tmp_path / "shared", actors=2, on_progress=seen.append)
    assert [progress.videos for progress in seen] == [0, 1]
    assert (outcome.counts[0].videos, outcome.counts[0].frames) == (1, 20)
    assert outcome.counts[0].misses
    prepared(plan, tmp_path / "alone", actors=1)
    assert files(tmp_path / "shared") == files(tmp_path / "alone")


def test_a_tree_that_a_pattern_reads_gives_the_faces_that_the_adapter_gives(
    whole: Any, source: Path, tmp_path: Path
) -> None:
    (source / "attack/notes.txt").touch()
    rules = FolderRules((r"{label}/*_client{subject:\d+}_{camera}_SD_*.*",), {}, "M", {})
    plan = make_plan(Folders(rules), str(source), SMALL, ROWS)
    (source / "attack/notes.txt").unlink()
    assert plan.findings.extra == ("attack/notes.txt",)
    assert plan.facts["rules"]["patterns"] == list(rules.patterns)
    prepared(plan, tmp_path / "set")
    assert verify(str(tmp_path / "set")) == []
    columns = ("image", "label", "domain", "camera", "frame", "depth", "source_path", "crop_matrix")
    same = [[{name: row[name] for name in columns} for row in rows(out)] for out in (tmp_path / "set", whole[0])]
    assert same[0] == same[1]
    assert "Read with patterns" in (tmp_path / "set/CARD.md").read_text()


def test_a_corpus_that_has_changed_is_not_gone_on_with(whole: Any, source: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(source, tmp_path / "source"))
    video = next(changed.rglob("*.mp4"))
    video.write_bytes(video.read_bytes() + b"\0")
    with pytest.raises(SpecError, match="the files of the corpus, their lengths"):
        Worklog.open(str(whole[0]), plan_of(changed))
    assert Worklog.open(str(whole[0]), plan_of(Path(shutil.copytree(source, tmp_path / "moved")))).finished


def test_shards_of_something_else_are_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "shard-00000.parquet").write_bytes(b"precious")
    with pytest.raises(SpecError, match="do not belong to a preparation"):
        Worklog.open(str(tmp_path), plan_of(source))
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.parquet"]


def test_broken_videos_are_reported_and_the_rest_is_prepared(ray: Any, source: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(source, tmp_path / "source"))
    entries = get(CORPUS).entries(str(here))
    kinds = dict(zip((entry.path for entry in entries), [*BROKEN, *ODD], strict=False))
    for path, kind in kinds.items():
        spoil(here / path, kind)
    empty = entries[len(kinds)].path
    spoil(here / empty, "truncated")
    for path, kind in ((empty, "blank"), *kinds.items()):
        if kind == "blank":
            (here / path).unlink()
            blank_video(here / path)
    outcome = prepared(plan_of(here), tmp_path / "set")
    reasons: dict[str, list[Any]] = {}
    for problem in outcome.problems:
        reasons.setdefault(problem.path, []).append(problem)
    for path, kind in kinds.items():
        told = "; ".join(problem.reason for problem in reasons[path])
        wanted = BROKEN.get(kind) or ODD[kind]
        assert any(word in told for word in wanted.split("|")), (kind, told)
        assert any(problem.kind == UNREADABLE for problem in reasons[path]) == (kind in BROKEN)
    assert [problem.kind for problem in reasons[empty]] == [NO_FACE]
    assert not outcome.clean
    assert sum(counts.unreadable for counts in outcome.counts) == len(BROKEN)
    assert verify(str(tmp_path / "set")) == []
    good = {entry.video for entry in entries[len(kinds) + 1 :]}
    assert good <= {row["video"] for row in rows(tmp_path / "set")}
    assert {row["path"] for row in table(tmp_path / "set" / "problems.csv")} == set(reasons)
    misses = table(tmp_path / "set" / "misses.csv")
    assert [int(row["frame"]) for row in misses if row["path"] == empty] == [1, 3]
    summary = command(here, tmp_path / "set")
    assert summary.exit_code == 0, summary.output
    assert "done already" in summary.stderr
    assert f"unreadable: {entries[0].path}: empty: zero bytes" in summary.stderr
    strict = command(here, tmp_path / "set", "--strict")
    assert isinstance(strict.exception, DataError)
    assert strict.exception.exit_code == 3


def test_a_corpus_without_any_face_is_no_set(ray: Any, source: Path, tmp_path: Path) -> None:
    here = Path(shutil.copytree(source, tmp_path / "source"))
    for entry in get(CORPUS).entries(str(here)):
        (here / entry.path).write_bytes(b"")
    with pytest.raises(DataError, match=r"no face was found in any of \d+ videos; the first: .*: empty: zero bytes"):
        prepared(plan_of(here), tmp_path / "set")
    assert not (tmp_path / "set" / MANIFEST_NAME).exists()


def test_on_an_object_store_the_shards_are_the_same(whole: Any, source: Path, s3: str) -> None:
    outcome = prepared(plan_of(source), s3)
    assert verify(s3) == []
    assert outcome.manifest == read_manifest(str(whole[0]))
    names = set(storage.listing(s3)) - {FOLDER}  # this server keeps folders that have become empty
    assert names == {path.name for path in whole[0].iterdir()}
    assert not any(storage.sizes(storage.join(s3, FOLDER)).values())


def test_records_have_the_schema_of_all_records(whole: Any) -> None:
    out, outcome = whole
    manifest: Manifest = outcome.manifest
    for shard in manifest.shards:
        assert pq.read_schema(out / shard.name).equals(schema_with(()))
    image = jpeg.decode(rows(out)[0]["image"])
    assert image is not None
    assert image.shape == (96, 96, 3)


def command(source: Path, out: Path, *more: str) -> Result:
    """Run the command as ``prepared`` prepares."""
    options = ["--frames", "2", "--image-size", "96", "--shard-rows", str(ROWS), *more]
    return CliRunner().invoke(cli, ["data", "prepare", CORPUS, str(source), str(out), *options])


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def blank_video(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 120))
    for _ in range(4):
        writer.write(np.full((120, 160, 3), 90, np.uint8))
    writer.release()
