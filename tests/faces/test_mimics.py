"""Mimics: generated videos that a real preparation can be tried on."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fasray.cli.data import data
from fasray.errors import DataError, SpecError
from fasray.faces import corpora, mimics
from fasray.faces.corpora.generated import NOTE_NAME
from fasray.faces.detection import MESH468, detector_kind, read_models
from fasray.faces.mimics import MimicSettings
from fasray.faces.record import PARSING_CLASSES

WRITTEN = ("oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd")
"""Corpora whose cast is written down."""
DRAWN = ("celeba-spoof", "siw-mv2", "casia-surf", "cefa", "wmca", "hifimask", "suhifimask", "3dmad", "uniattackdata")
"""Corpora whose cast follows from their examples: stills, folders of frames, videos."""
SMALL = MimicSettings("msu-mfsd", subjects=2, frames=2, size=(128, 96))


def digest(root: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return total.hexdigest()


def decode(path: Path) -> list[np.ndarray]:
    film = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
    while True:
        there, frame = film.read()
        if not there:
            return frames
        frames.append(frame)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A mimic of MSU-MFSD with two subjects; read only."""
    folder = tmp_path_factory.mktemp("mimic") / "msu"
    mimics.write(str(folder), SMALL, processes=1)
    return folder


@pytest.mark.parametrize(
    ("corpus", "subjects", "counts"),
    [
        ("oulu-npu", 4, {"train": (36, 144), "dev": (18, 72), "test": (18, 72)}),
        ("oulu-npu", 55, {"train": (360, 1440), "dev": (270, 1080), "test": (360, 1440)}),
        ("casia-fasd", 5, {"train": (6, 18), "test": (9, 27)}),
        ("replay-attack", 10, {"train": (12, 60), "dev": (12, 60), "test": (16, 80)}),
        ("msu-mfsd", 35, {"train": (30, 90), "test": (40, 120)}),
    ],
)
def test_videos_are_the_official_ones_of_the_chosen_subjects(corpus, subjects, counts):
    videos = MimicSettings(corpus, subjects=subjects).videos()
    found: dict[str, tuple[int, int]] = {}
    for video in videos:
        live, attack = found.get(video.split, (0, 0))
        found[video.split] = (live + video.label, attack + 1 - video.label)
    assert found == counts
    assert set(videos) <= set(corpora.get(corpus).official())


def test_a_mimic_is_a_whole_copy_for_its_adapter(small):
    survey = corpora.get("msu-mfsd").survey(str(small))
    assert survey.findings.whole
    assert "no evidence" in survey.findings.notes[0]
    assert survey.videos == SMALL.videos()
    for video in survey.videos:
        frames = decode(small / video.path)
        assert [frame.shape for frame in frames] == [(96, 128, 3)] * 2
    (small / survey.videos[3].path).rename(small / "away")
    assert corpora.get("msu-mfsd").check(str(small)).missing == (survey.videos[3].path,)
    (small / "away").rename(small / survey.videos[3].path)


def test_every_corpus_with_examples_has_a_mimic():
    assert set(mimics.names()) == {*WRITTEN, *DRAWN, "hkbu-mars"}


@pytest.mark.parametrize(
    "corpus",
    [name if name in ("celeba-spoof", "cefa") else pytest.param(name, marks=pytest.mark.slow) for name in DRAWN],
)
def test_mimics_of_stills_and_frames_are_whole_copies(corpus, tmp_path):
    settings = MimicSettings(corpus, subjects=5, frames=2, size=(96, 96))
    made = mimics.write(str(tmp_path / "m"), settings, processes=1)
    survey = corpora.get(corpus).survey(str(tmp_path / "m"))
    assert {video.path for video in survey.videos} == {video.path for video in settings.videos()}
    assert (survey.findings.whole, survey.findings.generated) == (True, True)
    assert made.frames == len(survey.videos) * (1 if corpus == "celeba-spoof" else 2)
    assert {video.label for video in survey.videos} == {0, 1}
    paths = [path.relative_to(tmp_path / "m").as_posix() for path in (tmp_path / "m").rglob("*.*g")]
    pictures = sum(path.startswith(f"{video.path}/") for video in survey.videos for path in paths)
    assert pictures in (0, made.frames)


def test_worn_attacks_have_no_depth_and_look_unlike_the_face():
    settings = MimicSettings("cefa", subjects=3, frames=1, size=(128, 96))
    live = next(video for video in settings.videos() if video.label)
    (mask,) = (video for video in corpora.get("hifimask").examples() if video.path == "1_01_3_1_1_1")
    worn = mimics.film(MimicSettings("hifimask", subjects=3, frames=1, size=(128, 96)), mask)
    assert not worn.depth.any()
    assert not worn.parts.any()
    assert mimics.film(settings, live).depth.any()


def test_kinds_of_people_have_their_first_before_a_second_comes():
    kinds = {video.instrument for video in MimicSettings("siw-mv2", subjects=30).videos()}
    assert len(kinds) == 15
    groups = {video.ethnicity for video in MimicSettings("cefa", subjects=9).videos()}
    assert groups == {"AF", "CA", "EA"}


def test_its_note_says_what_it_is(small):
    note = (small / NOTE_NAME).read_text()
    assert "no evidence about real face anti-spoofing" in note
    assert "seed 2026" in note


def test_two_processes_write_the_same_bytes_as_one(small, tmp_path):
    calls = []
    made = mimics.write(str(tmp_path / "two"), SMALL, processes=2, progress=lambda *call: calls.append(call))
    assert digest(tmp_path / "two") == digest(small)
    assert (made.subjects, made.videos, made.frames) == (2, 16, 32)
    assert calls == [(8, 16), (16, 16)]


def test_another_seed_gives_other_people(small):
    video = SMALL.videos()[0]
    one, other = (mimics.film(MimicSettings("msu-mfsd", 2, 1, seed, (128, 96)), video) for seed in (2026, 7))
    assert np.abs(one.frames.astype(int) - other.frames).mean() > 10


@pytest.mark.parametrize("corpus", ["oulu-npu", "msu-mfsd"])
def test_files_hold_the_frames_whose_depth_is_known(corpus, tmp_path):
    settings = MimicSettings(corpus, subjects=3, frames=2, size=(160, 120))
    video = next(video for video in settings.videos() if video.label == 1)
    clip = mimics.film(settings, video)
    assert clip.frames.shape == (2, 120, 160, 3)
    assert clip.depth.shape == clip.parts.shape == (2, 120, 160)
    mimics.write_video(str(tmp_path), settings, video)
    for stored, exact in zip(decode(tmp_path / video.path), clip.frames, strict=True):
        upright = stored[::-1, ::-1] if video.rotate_untagged else stored
        assert cv2.PSNR(np.ascontiguousarray(upright[..., ::-1]), exact) > 27


def test_clips_that_the_corpus_has_upside_down_are_upside_down(tmp_path):
    settings = MimicSettings("msu-mfsd", subjects=4, frames=1, size=(128, 96))
    (turned,) = (video for video in settings.videos() if video.rotate_untagged)
    assert turned.path == "real/real_client003_android_SD_scene01.mp4"
    mimics.write_video(str(tmp_path), settings, turned)
    stored = decode(tmp_path / turned.path)[0][..., ::-1]
    upright = mimics.film(settings, turned).frames[0]
    assert cv2.PSNR(np.ascontiguousarray(stored[::-1, ::-1]), upright) > 27
    assert cv2.PSNR(np.ascontiguousarray(stored), upright) < 20


def test_labels_are_of_the_face_and_attacks_have_none():
    settings = MimicSettings("replay-attack", subjects=3, frames=3, size=(160, 120))
    videos = settings.videos()
    kinds = {video.attack_type: mimics.film(settings, video) for video in videos[::7]}
    assert set(kinds) == {"live", "print", "replay"}
    assert not any(kinds[kind].depth.any() or kinds[kind].parts.any() for kind in ("print", "replay"))
    live = kinds["live"]
    for depth, parts, eyes in zip(live.depth, live.parts, live.eyes, strict=True):
        assert 0.08 < (depth > 0).mean() < 0.6
        assert depth.max() <= 1
        around = [parts[round(y) - 2 : round(y) + 3, round(x) - 3 : round(x) + 4] for x, y in eyes.tolist()]
        assert all((window == PARSING_CLASSES.index("eye")).any() for window in around)
        assert eyes[0, 0] < eyes[1, 0]


def test_frames_move_and_people_keep_their_looks():
    settings = MimicSettings("casia-fasd", subjects=2, frames=4, size=(160, 120))
    for attack in ("live", "print", "replay"):
        video = next(video for video in settings.videos() if video.attack_type == attack)
        frames = mimics.film(settings, video).frames.astype(int)
        steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
        assert (steps > 0.5).all()
        assert (steps < 25).all()


def test_oulu_npu_has_eye_positions_beside_its_videos(tmp_path):
    settings = MimicSettings("oulu-npu", subjects=3, frames=2, size=(128, 96))
    video = settings.videos()[0]
    mimics.write_video(str(tmp_path), settings, video)
    rows = np.loadtxt(tmp_path / video.companions[0], delimiter=",", dtype=int)
    assert rows.shape == (2, 5)
    np.testing.assert_array_equal(rows[:, 0], [0, 1])
    np.testing.assert_allclose(rows[:, 1:], mimics.film(settings, video).eyes.reshape(2, 4), atol=0.51)


@pytest.fixture(scope="module")
def detector():
    kind = detector_kind(MESH468.name)
    return kind.build(read_models(kind.files))


def found(detector, corpus, kind, every):
    settings = MimicSettings(corpus, subjects=4, frames=1)
    hits = [
        detector.find(np.ascontiguousarray(mimics.film(settings, video).frames[0][..., ::-1])) is not None
        for video in [video for video in settings.videos() if video.attack_type == kind][::every]
    ]
    return sum(hits) / len(hits), len(hits)


@pytest.mark.parametrize("corpus", WRITTEN)
def test_the_real_detector_finds_the_living(detector, corpus):
    share, frames = found(detector, corpus, "live", 5 if corpus == "oulu-npu" else 1)
    assert frames >= 8
    assert share >= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("corpus", WRITTEN)
def test_the_real_detector_finds_all_kinds_of_presentation(detector, corpus):
    assert found(detector, corpus, "live", 1)[0] >= 0.97
    for kind in ("print", "replay"):
        assert found(detector, corpus, kind, 2)[0] >= 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"corpus": "oulu"}, "no mimic of 'oulu'"),
        ({"corpus": "siw"}, "no mimic"),
        ({"subjects": 2}, "2 subjects"),
        ({"subjects": 56}, "56 subjects"),
        ({"frames": 0}, "0 frames"),
        ({"dial": 2.0}, "out of range"),
        ({"size": (321, 240)}, "321x240"),
        ({"size": (32, 32)}, "32x32"),
    ],
)
def test_settings_that_nothing_can_be_made_from_are_refused(change, said):
    with pytest.raises(SpecError, match=said):
        MimicSettings(**({"corpus": "oulu-npu"} | change))


def test_places_that_cannot_be_written_to_are_told(tmp_path):
    (tmp_path / "file").touch()
    for place in ("s3://bucket/videos", str(tmp_path / "file" / "below"), str(tmp_path / "caf\udce9")):
        with pytest.raises(DataError, match="local folder|cannot write here|not UTF-8"):
            mimics.write(place, SMALL, processes=1)


def test_synth_as_writes_a_mimic_and_refuses_what_it_would_ignore(tmp_path):
    options = ["--as", "casia-fasd", "--subjects", "2", "--frames", "1", "--size", "96x96", "--processes", "1"]
    result = CliRunner().invoke(data, ["synth", str(tmp_path / "c"), *options])
    assert result.exit_code == 0
    assert "24 generated videos of 2 subjects as casia-fasd" in result.output
    again = CliRunner().invoke(data, ["synth", str(tmp_path / "c"), *options])
    assert isinstance(again.exception, DataError)
    assert "not empty" in str(again.exception)
    for words in (["--as", "casia-fasd", "--domains", "O"], ["--frames", "3"], ["--as", "casia-fasd", "--size", "big"]):
        refused = CliRunner().invoke(data, ["synth", str(tmp_path / "d"), *words])
        assert isinstance(refused.exception, SpecError)
    assert not (tmp_path / "d").exists()
