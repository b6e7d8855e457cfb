"""Faces that come cut out are stored as they came, or found once more inside their crop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fasray.errors import SpecError
from fasray.faces import jpeg
from fasray.faces.corpora import SourceVideo
from fasray.faces.detection import MESH468, Face, read_models
from fasray.faces.extraction import labels
from fasray.faces.extraction.extract import Extractor, Settings
from fasray.faces.mimics import MimicSettings, film

MIMIC = MimicSettings("msu-mfsd", subjects=2, frames=1, size=(640, 480))
VIDEO = SourceVideo("0.png", "live", "", "lab", "lab-ann", "lab/0", "", "", "train")
SIZE = 128
MARGINS = (1.0, 1.2, 1.5)


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    return read_models(MESH468.files)


@pytest.fixture(scope="module")
def crops(models: dict[str, bytes]) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(margin, BGR crop of 192 px, the mesh in it as found in the whole frame) of one person."""
    detector = MESH468.build(models)
    video = next(video for video in MIMIC.videos() if video.attack_type == "live")
    frame = np.ascontiguousarray(film(MIMIC, video).frames[0])
    face = detector.find(frame)
    assert isinstance(face, Face)
    made = []
    for margin in MARGINS:
        matrix = labels.crop_matrix(face.points, 192, margin)
        crop = np.ascontiguousarray(labels.cut_out(frame, matrix, 192)[..., ::-1])
        made.append((margin, crop, labels.in_crop(face.points, matrix)))
    return made


def extract(folder: Path, crop: np.ndarray, settings: Settings, models: dict[str, bytes]) -> dict[str, Any]:
    cv2.imwrite(str(folder / VIDEO.path), crop)
    found = Extractor(settings, models).extract(str(folder), VIDEO)
    assert not found.misses
    rows: list[dict[str, Any]] = found.records.to_pylist()
    assert len(rows) == 1
    return rows[0]


def test_a_crop_is_stored_as_it_came_and_its_labels_are_those_of_the_face(tmp_path, crops, models) -> None:
    for _, crop, mesh in crops:
        row = extract(tmp_path, crop, Settings(image_size=192, cropped="whole"), models)
        assert row["image"] == jpeg.encode(np.ascontiguousarray(crop[..., ::-1])), "no pixel was touched before"
        assert (row["detection_score"], row["label_source"]) == (None, "mesh468 in a crop")
        assert row["crop_matrix"] == [1, 0, 0, 0, 1, 0]
        five = np.reshape(row["landmarks5"], (5, 2))
        assert np.abs(five - labels.five_landmarks(mesh)).max() < 8
        depth = np.frombuffer(row["depth"], np.uint8)
        assert np.corrcoef(depth, labels.depth_map(mesh, 192).ravel())[0, 1] > 0.85


def test_a_crop_that_is_no_square_is_whole_in_the_middle(tmp_path, crops, models) -> None:
    crop = crops[-1][1][:, 32:-32]
    row = extract(tmp_path, crop, Settings(image_size=96, cropped="whole"), models)
    image = jpeg.decode(row["image"])
    assert image is not None
    halved = cv2.resize(crop, (64, 96), interpolation=cv2.INTER_LINEAR)[..., ::-1]
    assert np.abs(image[:, 16:-16].astype(int) - halved).mean() < 3
    assert np.abs(image[:, :16].astype(int) - image[:, 16:17]).mean() < 4, "its edge goes on"


def test_a_face_is_found_inside_a_crop_and_cut_out_as_from_any_picture(tmp_path, crops, models) -> None:
    for margin, crop, mesh in crops:
        row = extract(tmp_path, crop, Settings(image_size=SIZE, margin=1.35, cropped="detect"), models)
        assert row["detection_score"] >= 0.5
        expected = labels.crop_matrix(mesh, SIZE, 1.35)
        assert np.abs(np.reshape(row["crop_matrix"], (2, 3)) - expected)[:, 2].max() < 6, margin


def test_whether_faces_came_cut_out_is_in_the_facts_and_in_those_alone() -> None:
    plain = Settings()
    assert "cropped" not in plain.facts(), "the facts of sets of before"
    assert Settings.of(plain.facts()) == plain
    for cropped in ("whole", "detect"):
        settings = replace(plain, cropped=cropped)
        assert settings.facts() == plain.facts() | {"cropped": cropped}
        assert Settings.of(settings.facts()) == settings


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SpecError, match=r"(?s)--cropped.*did you mean 'detect'"):
        Settings(cropped="detected")
    with pytest.raises(SpecError, match="no face is looked for"):
        Settings(cropped="whole", detector="lethal_detector:KIND")
