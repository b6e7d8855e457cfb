"""A folder with every published file name is found whole; what is missing, extra or misnamed is named."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fasray import protocols
from fasray.errors import DataError, SpecError
from fasray.faces import corpora
from fasray.faces.face_index import FaceIndex

WITH_LISTS = ("oulu-npu", "casia-fasd", "replay-attack", "msu-mfsd", "siw-mv2", "hkbu-mars", "3dmad")
PUBLISHED = {
    "oulu-npu": {"train": (360, 1440), "dev": (270, 1080), "test": (360, 1440)},
    "casia-fasd": {"train": (60, 180), "test": (90, 270)},
    "replay-attack": {"train": (60, 300), "dev": (60, 300), "test": (80, 400)},
    "msu-mfsd": {"train": (30, 90), "test": (40, 120)},
    "siw-mv2": {"train": (524, 553), "test": (261, 362)},
    "hkbu-mars": {"train": (504, 504)},
    "3dmad": {"train": (70, 35), "dev": (50, 25), "test": (50, 25)},
}
"""Live and attack videos by split, from the papers."""
OULU_PROTOCOLS = {
    "oulu-npu-1": ((240, 960), (180, 720), (120, 480)),
    "oulu-npu-2": ((360, 720), (270, 540), (360, 720)),
    **{f"oulu-npu-3.{k}": ((300, 1200), (225, 900), (60, 240)) for k in range(1, 7)},
    **{f"oulu-npu-4.{k}": ((200, 400), (150, 300), (20, 40)) for k in range(1, 7)},
}
"""Live and attack videos of train, dev and test, from the paper's table."""


def tree(root: Path, paths: list[str]) -> Path:
    """Make empty files."""
    for folder in {str(Path(path).parent) for path in paths}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path in paths:
        (root / path).touch()
    return root


def everything(name: str) -> list[str]:
    videos = corpora.get(name).official()
    return [path for video in videos for path in (video.path, *video.companions)]


@pytest.mark.parametrize("name", WITH_LISTS)
def test_a_whole_copy_has_the_published_totals(name, tmp_path):
    survey = corpora.get(name).survey(str(tree(tmp_path, everything(name))))
    found = survey.findings
    assert {c.split: (c.live, c.attack) for c in found.counts} == PUBLISHED[name]
    assert (found.whole, found.lines()) == (True, [])
    assert len(survey.videos) == sum(map(sum, PUBLISHED[name].values()))
    assert [video.path for video in survey.videos] == sorted(video.path for video in survey.videos)


@pytest.mark.parametrize("name", WITH_LISTS)
def test_every_video_and_person_has_a_name_of_its_own_and_one_split(name):
    videos = corpora.get(name).official()
    assert len({video.video for video in videos}) == len(videos)
    splits = {(video.subject, video.split) for video in videos}
    assert len(splits) == len({subject for subject, _ in splits})


def test_no_two_corpora_share_a_person_or_a_video():
    everyone: Counter[Any] = Counter()
    films: Counter[Any] = Counter()
    for name in WITH_LISTS:
        videos = corpora.get(name).official()
        everyone.update({video.subject for video in videos})
        films.update(video.video for video in videos)
    assert set(everyone.values()) == set(films.values()) == {1}
    assert len(everyone) == 55 + 50 + 50 + 35 + 1700 + 12 + 17


@pytest.mark.parametrize("protocol", OULU_PROTOCOLS)
def test_oulu_npu_protocols_have_the_published_totals(protocol):
    videos = corpora.get("oulu-npu").official()
    columns = ("label", "domain", "attack_type", "instrument", "subject", "video", "camera", "session", "split")
    table = FaceIndex.of({c: [getattr(v, c) for v in videos] for c in columns} | {"frame": [0] * len(videos)})
    roles = protocols.parse(protocol).assign(table)
    counts = [
        (int((table.label[rows] == 1).sum()), int((table.label[rows] == 0).sum()))
        for rows in (roles.train, roles.source_dev, roles.target)
    ]
    assert tuple(counts) == OULU_PROTOCOLS[protocol]
    assert not np.intersect1d(table.subject[roles.train], table.subject[roles.target]).size


@pytest.mark.parametrize(
    ("name", "gone", "renamed", "to", "stray"),
    [
        ("oulu-npu", "Dev_files/3_2_30_4.avi", "Train_files/1_1_01_1.avi", "Train_files/1_1_01_1.mp4", "notes.txt"),
        ("oulu-npu", "Test_files/6_3_55_5.avi", "Test_files/1_1_36_1.avi", "Train_files/1_1_36_1.avi", "a/b.avi"),
        ("casia-fasd", "test_release/30/HR_4.avi", "train_release/1/HR_1.avi", "train_release/1/hr_1.avi", "x.avi"),
        (
            "replay-attack",
            "devel/real/client003_session01_webcam_authenticate_adverse_2.mov",
            "test/attack/hand/attack_print_client009_session01_highdef_photo_adverse.mov",
            "test/attack/hand/attack_print_client009_session01_highdef_photo_adverse (1).mov",
            "train/9.mov",
        ),
        (
            "msu-mfsd",
            "real/real_client001_laptop_SD_scene01.mov",
            "attack/attack_client055_android_SD_ipad_video_scene01.mp4",
            "attack/attack_client055_android_SD_ipad_video_scene01.mov",
            "real/real_client004_android_SD_scene01.mp4",
        ),
        (
            "siw-mv2",
            "Live/Live_3.mov",
            "Spoof/Silicone/Mask_Silicone_4.mov",
            "Silicone/Mask_Silicone_4.mov",
            "Live/a.b",
        ),
        ("hkbu-mars", "real/01/01_01_01.avi", "attack/09/04_02_9.avi", "attack/09/04_02_09.avi", "real/x.avi"),
        (
            "3dmad",
            "session01/Data/02_01_03.hdf5",
            "session03/Data/17_03_01.hdf5",
            "session03/Data/17_03_01.mat",
            "x.h5",
        ),
    ],
)
def test_missing_extra_and_misnamed_files_are_named(name, gone, renamed, to, stray, tmp_path):
    paths = [video.path for video in corpora.get(name).official() if video.path not in (gone, renamed)]
    found = corpora.get(name).check(str(tree(tmp_path, [*paths, to, stray])))
    assert found.missing == (gone,)
    assert [(item.path, item.nearest) for item in found.misnamed] == [(to, renamed)]
    assert found.extra == (stray,)
    assert not found.whole
    lines = "\n".join(found.lines())
    assert f"missing: {gone}" in lines
    assert f"misnamed: {to} (should it be {renamed}?)" in lines
    assert f"extra: {stray}" in lines
    assert "are published" in lines
    assert "1 missing, 1 misnamed, 1 extra" in found.summary()


def test_a_partial_copy_is_told_file_by_file(tmp_path):
    paths = [path for path in everything("casia-fasd") if path.startswith("train_release/7/")]
    found = corpora.get("casia-fasd").check(str(tree(tmp_path, paths)))
    assert len(found.missing) == 600 - 12
    assert "test_release/30/8.avi" in found.missing


def test_a_video_with_another_ending_or_as_pictures_is_not_missing(tmp_path):
    tree(tmp_path, ["Spoof/Replay/Replay_1.mp4", "Spoof/Print/Paper_1/0.png", "Live/Live_1/7.png", "Live/Live_2.mov"])
    survey = corpora.get("siw-mv2").survey(str(tmp_path))
    assert [video.video for video in survey.videos] == [
        f"SiW-Mv2/{name}" for name in ("Live_1", "Live_2", "Paper_1", "Replay_1")
    ]
    assert len(survey.findings.missing) == 1700 - 4
    assert survey.findings.extra == ()


def test_missing_eye_positions_are_told_but_a_copy_without_them_is_whole(tmp_path):
    paths = [video.path for video in corpora.get("oulu-npu").official()]
    found = corpora.get("oulu-npu").check(str(tree(tmp_path, paths)))
    assert len(found.missing_companions) == 4950
    assert found.whole


def test_lists_litter_and_hidden_files_are_nothing_to_tell(tmp_path):
    paths = [*everything("msu-mfsd"), "train_sub_list.txt", "readme.txt", ".DS_Store", "real/._x.mp4", "Thumbs.db"]
    assert corpora.get("msu-mfsd").check(str(tree(tmp_path, paths))).lines() == []
    enroll = "enroll/train/client001_session01_webcam_enroll_adverse.mov"
    boxes = "face-locations/train/real/client001_session01_webcam_authenticate_adverse_1.face"
    paths = [*everything("replay-attack"), enroll, boxes]
    assert corpora.get("replay-attack").check(str(tree(tmp_path / "r", paths))).lines() == []


def test_msu_mfsd_may_lie_one_folder_deeper_and_keeps_its_video_names(tmp_path):
    flat = corpora.get("msu-mfsd").entries(str(tree(tmp_path / "flat", everything("msu-mfsd"))))
    deeper = [f"scene01/{path}" for path in everything("msu-mfsd")]
    survey = corpora.get("msu-mfsd").survey(str(tree(tmp_path / "deep", deeper)))
    assert survey.findings.whole
    assert [video.video for video in survey.videos] == [video.video for video in flat]
    (tmp_path / "deep" / deeper[0]).unlink()
    assert corpora.get("msu-mfsd").check(str(tmp_path / "deep")).missing == (deeper[0],)


def test_links_to_folders_are_followed_once(tmp_path):
    root = tree(tmp_path / "root", everything("msu-mfsd"))
    real = (root / "real").rename(tmp_path / "elsewhere")
    (root / "real").symlink_to(real)
    (real / "loop").symlink_to(root)
    assert corpora.get("msu-mfsd").check(str(root)).whole


def test_another_folder_is_refused_with_an_example(tmp_path):
    tree(tmp_path, ["some/film.avi"])
    with pytest.raises(DataError, match="no file here is a video of CASIA-FASD") as error:
        corpora.get("casia-fasd").survey(str(tmp_path))
    assert "test_release/1/1.avi" in error.value.remedy
    with pytest.raises(DataError, match="no such folder"):
        corpora.get("casia-fasd").survey(str(tmp_path / "nothing"))


def test_a_corpus_in_a_folder_of_the_one_that_was_named_is_pointed_at(tmp_path):
    tree(tmp_path, ["data/oulu/Train_files/1_1_01_1.avi"])
    with pytest.raises(DataError) as error:
        corpora.get("oulu-npu").survey(str(tmp_path))
    assert error.value.remedy.endswith("; here that is data/oulu")


def test_a_wrong_name_is_answered_with_the_nearest_corpus():
    with pytest.raises(SpecError, match="oulu-npu"):
        corpora.get("oulu")
    assert corpora.names()[:4] == list(WITH_LISTS[:4])


def test_every_corpus_is_in_the_documentation():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "prepare-a-corpus.md"
    text = page.read_text(encoding="utf-8")
    assert [name for name in corpora.names() if f"| `{name}` | {corpora.get(name).domain or 'any'} |" not in text] == []
