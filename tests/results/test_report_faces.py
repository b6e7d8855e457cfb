"""The worst errors are shown as pictures: generated faces by default, others on demand, never the wrong ones."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from score_runs import MadeTrial, make_run, score_path, write_scores

from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.reading import read_index
from fasray.results.report import render_report
from fasray.results.report.faces import EACH, worst
from fasray.results.scores import read_scores
from fasray.runs.record import RunRecord
from fasray.runs.scores import SCORE_SCHEMA

PICTURE = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)"[^>]*alt="([^"]+)"')


@pytest.fixture(scope="module")
def run(small_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """One confirmed run on the faces of domains C and M, judged on I; live scores rise and attack scores fall."""
    folder = tmp_path_factory.mktemp("faces")
    index = read_index(str(small_faces))
    rows = np.flatnonzero(np.isin(index.domain, ["C", "M", "I"]))
    target = index.domain[rows] == "I"
    score = np.random.default_rng(0).uniform(0.1, 0.9, len(rows))
    columns = {name: getattr(index, name)[rows].tolist() for name in SCORE_SCHEMA.names if hasattr(index, name)}
    columns |= {"role": np.where(target, "target", "source-dev").tolist(), "score": score.tolist()}
    trial = MadeTrial("a", steps=(10,), total_steps=10)
    made = make_run(folder, [trial], spec={"data": str(small_faces)}, card={"kind": "synthetic"})
    write_scores(score_path(folder, "a", 10), "a", 10, columns)
    return replace(made, data=replace(made.data, manifest_hash=read_manifest(str(small_faces)).hash))


def test_generated_faces_are_shown_with_words(run: RunRecord) -> None:
    pictures = PICTURE.findall(render_report(run))
    assert len(pictures) == 2 * EACH
    for data, words in pictures:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (112, 112, 3)
        assert image.std() > 5
        assert re.fullmatch(r"(Attack|Live face): .+ of subject .+, video .+, frame \d+, score [\d.e-]+", words)


def test_they_are_the_videos_furthest_on_the_wrong_side(run: RunRecord) -> None:
    target = read_scores(run.score_uri("a", 10)).target
    attacks, lives = worst(target, threshold=0.5)
    videos = target.videos
    assert [s.score for s in attacks] == sorted(videos.score[videos.label == 0], reverse=True)[:EACH]
    assert [s.score for s in lives] == sorted(videos.score[videos.label == 1])[:EACH]
    assert all(s.wrong == (s.score >= 0.5) for s in attacks)
    assert all(s.wrong == (s.score < 0.5) for s in lives)
    worst_frame = max(target.score[target.video == attacks[0].key.video])
    assert target.score[(target.video == attacks[0].key.video) & (target.frame == attacks[0].key.frame)] == worst_frame


def test_real_faces_are_shown_only_on_demand(run: RunRecord) -> None:
    real = replace(run, data=replace(run.data, card={"kind": "prepared"}))
    assert not PICTURE.findall(render_report(real))
    assert "licence may not allow" in render_report(real)
    assert len(PICTURE.findall(render_report(real, with_pictures=True))) == 2 * EACH
    assert not PICTURE.findall(render_report(run, with_pictures=False))


def test_other_faces_at_the_same_address_are_not_shown(run: RunRecord) -> None:
    page = render_report(replace(run, data=replace(run.data, manifest_hash="0" * 64)))
    assert not PICTURE.findall(page)
    assert "not those that it was made with" in page


def test_faces_that_are_gone_are_no_reason_to_fail(run: RunRecord, tmp_path: Path) -> None:
    for where in (str(tmp_path / "nowhere"), None, "unknown://bucket/faces"):
        page = render_report(replace(run, spec={"data": where}))
        assert not PICTURE.findall(page)
        assert re.search("not where they were|does not say|cannot be reached", page)


def test_a_damaged_shard_costs_the_pictures_and_nothing_else(run: RunRecord, small_faces: Path, tmp_path: Path) -> None:
    copy = tmp_path / "faces"
    copy.mkdir()
    for file in small_faces.iterdir():
        (copy / file.name).write_bytes(file.read_bytes() if file.suffix == ".json" else b"PAR1 no more")
    page = render_report(replace(run, spec={"data": str(copy)}))
    assert "shard-00000.parquet: cannot be read" in page
    assert "Results" in page
