"""Corpora whose videos are folders of frames: names, published counts, lists, and what is not as it should be."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from fasray.errors import DataError
from fasray.faces import corpora
from fasray.faces.corpora.findings import count_by_split
from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.extraction.sequences import picture_files

FRAMED = ("casia-surf", "cefa", "wmca", "hifimask", "suhifimask", "uniattackdata")


def named(name):
    corpus = corpora.get(name)
    assert isinstance(corpus, NamedCorpus)
    return corpus


def parsed(name, paths):
    """Return the videos of paths, all of which have to be understood."""
    videos = [named(name).parse(path) for path in paths]
    assert None not in videos
    return videos


def tree(root: Path, paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return str(root)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        (
            "casia-surf",
            "Training/fake_part/CLKJ_AS0005/04_en_b.rssdk/color",
            ("SURF-AS0005", "train", "print", "eyes_nose_curved", "realsense", ""),
        ),
        (
            "casia-surf",
            "Data/Testing/real_part/CLKJ_CS0110/real.rssdk/color",
            ("SURF-CS0110", "test", "live", "", "realsense", ""),
        ),
        ("cefa", "Ethnicity/AF/AF-223/1_223_1_1_1/color", ("CeFA-AF223", "dev", "live", "", "rssdk", "indoor")),
        ("cefa", "Ethnicity/EA/EA-300/3_300_3_2_2/color", ("CeFA-EA300", "test", "print", "cloth", "bag", "outdoor")),
        (
            "cefa",
            "Ethnicity/CA/CA-012-198006250024/2_012_3_1_4/color",
            ("CeFA-CA012", "train", "replay", "screen", "bag", "indoor"),
        ),
        (
            "cefa",
            "Mask/3D-Mask/073/1_073_1_0_2_2_3/color",
            ("CeFA-3D073", "test", "mask", "mask_3d", "d435i", "outdoor-along"),
        ),
        (
            "cefa",
            "Mask/Silicone-Mask/001/2_001_1_1_2_1_4/color",
            ("CeFA-Silicone001", "test", "mask", "mask_silicone", "d435i", "indoor-side"),
        ),
        (
            "wmca",
            "preprocessed-face-station_RGB/face-station/31.01.18/514_01_035_1_05.hdf5",
            ("WMCA-514", "test", "partial", "glasses_funny_eyes", "", "session1"),
        ),
        ("wmca", "R_CDIT/018_02_000_3_10", ("WMCA-018", "dev", "replay", "photo_on_screen", "", "session2")),
        ("wmca", "R_CDIT/002_04_010_2_82", ("WMCA-002", "train", "mask", "mask_silicone", "", "session4")),
        ("hifimask", "Data/1_05_0_2_6_1", ("HiFiMask-05", "dev", "live", "", "iphone11", "green-top")),
        ("hifimask", "3_48_3_5_0_8", ("HiFiMask-48", "test", "mask", "resin", "hjim", "shadow-none")),
        (
            "suhifimask",
            "Data/G05_S30_C3_E03_T20220227113320490/id_4/120_43_0.jpg",
            ("SuHiFiMask-043", "dev", "live", "", "camera3", "scene30"),
        ),
        (
            "suhifimask",
            "G01_S10_C1_E02_T20220118144805668/id_-1/30_7_8.jpg",
            ("SuHiFiMask-007", "train", "other", "attack8", "camera1", "scene10"),
        ),
        (
            "uniattackdata",
            "live/central-asia/CA-557/real.rssdk/color",
            ("UniAttackData-CA557", "train", "live", "", "", ""),
        ),
        (
            "uniattackdata",
            "Data/spoof/east-asia/EA-321/screen-rs/color",
            ("UniAttackData-EA321", "train", "replay", "screen", "", ""),
        ),
        (
            "uniattackdata",
            "adv-attacks/fgtm/ai_fgtm_africa-112x112/AF-108",
            ("UniAttackData-AF108", "train", "other", "adv_fgtm", "", ""),
        ),
        (
            "uniattackdata",
            "FaceDancer/east-asia/AF-275-To-EA-249/real.rssdk/color",
            ("UniAttackData-EA249", "train", "other", "FaceDancer", "", ""),
        ),
        (
            "uniattackdata",
            "DaGAN/africa_faces/AF-441-To-CA-330",
            ("UniAttackData-AF441", "train", "other", "DaGAN", "", ""),
        ),
    ],
)
def test_a_name_is_read(name, path, expected):
    video = named(name).parse(path)
    found = (video.subject, video.split, video.attack_type, video.instrument, video.camera, video.session)
    assert found == expected
    assert not path.startswith("Data/") or "/Data/" not in video.video


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("casia-surf", "Training/fake_part/CLKJ_AS0005/01_e_s.rssdk/color"),  # an attack of the other parts
        ("casia-surf", "Val/real_part/CLKJ_AS0005/01_e_s.rssdk/color"),
        ("casia-surf", "Training/real_part/CLKJ_AS0005/real.rssdk/depth"),
        ("cefa", "Ethnicity/AF/AF-223/2_223_1_1_1/color"),  # another group's number
        ("cefa", "Ethnicity/AF/CA-223/1_223_1_1_1/color"),
        ("cefa", "Ethnicity/AF/AF-223/1_224_1_1_1/color"),
        ("cefa", "Ethnicity/AF/AF-500/1_500_1_1_1/color"),
        ("cefa", "Mask/3D-Mask/073/2_073_1_0_2_2_3/color"),
        ("wmca", "31.01.18/514_01_035_1_99.hdf5"),  # no such instrument
        ("wmca", "31.01.18/001_01_035_0_00.hdf5"),  # a live video that somebody presents
        ("wmca", "31.01.18/600_01_000_0_00.hdf5"),  # no such client
        ("hifimask", "1_09_0_2_6_1"),  # no such subject
        ("hifimask", "2_05_0_2_6_1"),  # another complexion's subject
        ("hifimask", "1_05_0_4_6_1"),  # lights are indoors
        ("hifimask", "1_05_0_1_1_7"),
        ("suhifimask", "G05_S41_C3_E03_T20220227113320490/id_4/120_43_0.jpg"),
        ("suhifimask", "G05_S30_C3_E03_T20220227113320490/id_4/120_143_0.jpg"),
        ("suhifimask", "G05_S30_C3_E03_T20220227113320490/id_4"),
        ("uniattackdata", "live/africa/CA-557/real.rssdk/color"),  # another group's folder
        ("uniattackdata", "live/africa/AF-600/real.rssdk/color"),
        ("uniattackdata", "adv-attacks/fgtm/alma_africa-112x112/AF-108"),
    ],
)
def test_what_breaks_a_rule_is_not_understood(name, path):
    assert named(name).parse(path) is None


def test_hifimask_has_the_videos_that_were_announced():
    places = [(scene, light) for scene in "1236" for light in "123456"] + [("4", "0"), ("5", "0")]
    people = sorted({video.path[:4] for video in corpora.get("hifimask").examples()})
    names = itertools.product(people, "0123", places, "1234568")
    paths = (f"{who}_{kind}_{scene}_{light}_{camera}" for who, kind, (scene, light), camera in names)
    videos = parsed("hifimask", paths)
    assert Counter(video.label for video in videos) == {1: 13650, 0: 40950}
    assert len({video.video for video in videos}) == 54600
    splits = {(video.split, video.subject) for video in videos}
    assert Counter(split for split, _ in splits) == {"train": 45, "dev": 6, "test": 24}


def test_cefa_has_the_people_and_splits_of_the_published_protocols():
    videos = corpora.get("cefa").official()
    assert count_by_split(videos) == {"train": (600, 1800), "dev": (300, 900), "test": (600, 1800)}
    groups = Counter((video.ethnicity, video.split) for video in videos if video.label)
    assert groups == {(g, s): n for g in ("AF", "CA", "EA") for s, n in (("train", 200), ("dev", 100), ("test", 200))}
    assert corpora.get("cefa").published()["test"] == (600, 2923)


def test_uniattackdata_has_every_attack_of_a_subject():
    places = {"africa": "AF", "central-asia": "CA", "east-asia": "EA"}
    paths = [
        path
        for place, group in places.items()
        for number in range(600)
        for path in (
            f"live/{place}/{group}-{number:03d}/real.rssdk/color",
            *(
                f"spoof/{place}/{group}-{number:03d}/{kind}/color"
                for kind in ("cloth-indoor", "cloth-outdoor", "screen-rs")
            ),
        )
    ]
    videos = parsed("uniattackdata", paths)
    assert Counter(video.attack_type for video in videos) == {"live": 1800, "print": 3600, "replay": 1800}


def test_wmca_counts_are_those_of_grandtest():
    published = corpora.get("wmca").published()
    assert [sum(counts) for counts in zip(*published.values(), strict=True)] == [347, 1332]


def frames(video, count=2):
    return [f"{video.path}/{number:04d}.jpg" for number in range(count)]


def test_a_video_is_found_by_its_frames_and_the_lists_say_what_is_missing(tmp_path):
    videos = corpora.get("casia-surf").examples()
    paths = [path for video in videos[1:] for path in frames(video)]
    stray = "Training/real_part/CLKJ_AS1/real.rssdk/color/0001.jpg"
    tree(tmp_path, [f"Data/{path}" for path in (*paths, stray, "Training/notes.doc")])
    tree(tmp_path, [f"Data/{video.path.replace('color', 'depth')}/0001.jpg" for video in videos])
    protocol = tmp_path / "protocol"
    protocol.mkdir()
    lines = [f"CASIA_SURF/Data/{video.path} {1 - video.label}\n" for video in videos]
    (protocol / "CASIA_SURF@p1_video_train.txt").write_text("".join(lines))
    (protocol / "CASIA_SURF@p1_image_train.txt").write_text("")
    survey = corpora.get("casia-surf").survey(str(tmp_path))
    assert [video.path for video in survey.videos] == sorted(f"Data/{video.path}" for video in videos[1:])
    assert not any("Data" in video.video for video in survey.videos)
    found = survey.findings
    assert found.missing == (f"Data/{videos[0].path}",)
    assert found.misnamed == ()
    assert found.extra == ("Data/Training/notes.doc", "Data/Training/real_part/CLKJ_AS1/real.rssdk/color")
    assert "600 live and 1791 attack videos are published" in "\n".join(found.lines())


def test_a_misnamed_folder_is_named_once_with_the_name_that_it_should_have(tmp_path):
    videos = corpora.get("cefa").official()[:8]
    wrong = videos[3].path.replace("/color", " (1)/color")
    tree(tmp_path, [path for video in videos if video != videos[3] for path in frames(video)])
    tree(tmp_path, [f"{wrong}/{number:04d}.jpg" for number in range(5)])
    found = corpora.get("cefa").check(str(tmp_path))
    assert [(item.path, item.nearest) for item in found.misnamed] == [(wrong, videos[3].path)]
    assert found.extra == ()


def test_cefa_has_age_and_sex_from_its_files_or_its_folders(tmp_path):
    people = [
        "Ethnicity/AF/AF-000/1_000_1_1_1/color/0001.jpg",
        "Ethnicity/AF/AF-001/1_001_1_1_1/color/0001.jpg",
        "Ethnicity/EA/EA-012-198006250024/3_012_1_1_1/color/0001.jpg",
    ]
    tree(tmp_path, people)
    (tmp_path / "AF_Age_Gender.txt").write_text("AF-000 1999 F\r\nAF-001  \nAF-002 16 M\n")
    survey = corpora.get("cefa").survey(str(tmp_path))
    assert [(v.subject, v.age_group, v.sex, v.ethnicity) for v in survey.videos] == [
        ("CeFA-AF000", "20-29", "F", "AF"),
        ("CeFA-AF001", "", "", "AF"),
        ("CeFA-EA012", "30-39", "F", "EA"),
    ]
    assert survey.findings.extra == ()


def test_uniattackdata_takes_splits_from_protocol_1(tmp_path):
    examples = corpora.get("uniattackdata").examples()
    live = [video for video in examples if video.label]
    tree(tmp_path, [f"Data/{video.path}/0001.jpg" for video in examples])
    (tmp_path / "protocol").mkdir()
    for part, some in (("train", live[::3]), ("dev", live[1::3]), ("test", live[2::3])):
        text = "".join(f"UniAttackData/Data/{video.path} 0\n" for video in some)
        (tmp_path / "protocol" / f"UniAttackData@p1_video_{part}.txt").write_text(text)
    survey = corpora.get("uniattackdata").survey(str(tmp_path))
    split = {video.subject: part for part, some in zip(("train", "dev", "test"), (live[::3], live[1::3], live[2::3]),
             strict=True) for video in some}  # fmt: skip
    assert {video.subject: video.split for video in survey.videos} == split
    counted = {count.split: count.live for count in survey.findings.counts}
    assert counted == {"train": len(live[::3]), "dev": len(live[1::3]), "test": len(live[2::3])}
    assert survey.findings.missing == ()


def test_frames_of_suhifimask_that_contradict_each_other_are_reported_and_not_used(tmp_path):
    folder = "G05_S30_C3_E03_T20220227113320490/id_4"
    tree(tmp_path, [f"{folder}/{name}.jpg" for name in ("10_43_0", "100_43_0", "20_43_0", "30_43_2", "30_44_0")])
    survey = corpora.get("suhifimask").survey(str(tmp_path))
    (video,) = survey.videos
    assert (video.path, video.subject, video.label) == (folder, "SuHiFiMask-043", 1)
    assert picture_files(str(tmp_path), video) == tuple(f"{folder}/{number}_43_0.jpg" for number in (10, 20, 100))
    assert survey.findings.extra == (f"{folder}/30_43_2.jpg", f"{folder}/30_44_0.jpg")


def test_a_picture_that_is_no_frame_is_reported_and_not_used(tmp_path):
    folder = "Data/Training/real_part/CLKJ_AS0005/real.rssdk/color"
    tree(tmp_path, [f"{folder}/{name}" for name in ("0001.jpg", "0011.jpg", "overview.jpg")])
    survey = corpora.get("casia-surf").survey(str(tmp_path))
    (video,) = survey.videos
    assert picture_files(str(tmp_path), video) == (f"{folder}/0001.jpg", f"{folder}/0011.jpg")
    assert survey.findings.extra == (f"{folder}/overview.jpg",)


def test_what_the_lists_of_suhifimask_have_and_the_copy_has_not_is_missing(tmp_path):
    folder = "Data/G05_S30_C3_E03_T20220227113320490"
    tree(tmp_path, [f"{folder}/id_4/10_43_0.jpg"])
    (tmp_path / "protocol").mkdir()
    lines = "".join(f"CASIA_SuHiFiMask/{folder}/{part},{label}\n" for part, label in (("id_4", 0), ("id_5", 3)))
    (tmp_path / "protocol" / "CASIA_SuHiFiMask@p1_video_dev.txt").write_text(lines + "  \n")
    assert corpora.get("suhifimask").check(str(tmp_path)).missing == (f"{folder}/id_5",)


def test_entries_of_lists_that_name_no_video_are_noted(tmp_path):
    tree(tmp_path, ["1_05_0_2_6_1/0000.png"])
    (tmp_path / "protocol").mkdir()
    lines = (
        "CASIA_HiFiMask/Data/1_05_0_2_6_1 0\nCASIA_HiFiMask/Data/1_05_0_2_6_2 0\nCASIA_HiFiMask/Data/1_99_0_2_6_2 0\n"
    )
    (tmp_path / "protocol" / "CASIA_HiFiMask@p1_video_dev.txt").write_text(lines)
    found = corpora.get("hifimask").check(str(tmp_path))
    assert found.missing == ("1_05_0_2_6_2",)
    assert found.notes[-1] == "1 entries of the lists in protocol/ are not understood, the first: 1_99_0_2_6_2"


def test_wmca_is_understood_as_video_file_and_as_folder_of_pictures(tmp_path):
    tree(tmp_path, ["12.02.18/005_03_000_0_01.avi", "R_CDIT/002_01_003_2_81/0001.jpg", "documentation/a.csv"])
    tree(tmp_path, ["R_CDIT/002_01_003_2_81/0002.jpg", "preprocessed-face-station_CDIT/12.02.18/005_03_000_0_01.hdf5"])
    survey = corpora.get("wmca").survey(str(tmp_path))
    assert [video.video for video in survey.videos] == ["WMCA/005_03_000_0_01", "WMCA/002_01_003_2_81"]
    assert survey.findings.extra == ()


@pytest.mark.parametrize("name", FRAMED)
def test_examples_are_distinct_and_each_person_is_in_one_split(name):
    videos = corpora.get(name).examples()
    assert {video.label for video in videos} == {0, 1}
    assert len({video.video for video in videos}) == len(videos)
    splits = {(video.subject, video.split) for video in videos}
    assert len(splits) == len({subject for subject, _ in splits})


def test_a_folder_of_another_corpus_is_refused_with_an_example(tmp_path):
    tree(tmp_path, ["Train_files/1_1_01_1.avi"])
    for name in FRAMED:
        with pytest.raises(DataError) as error:
            corpora.get(name).survey(str(tmp_path))
        assert corpora.get(name).examples()[0].path in error.value.remedy
    deeper = tree(tmp_path, ["data/CASIA/Ethnicity/AF/AF-000/1_000_1_1_1/color/0001.jpg"])
    with pytest.raises(DataError) as error:
        corpora.get("cefa").survey(deeper)
    assert error.value.remedy.endswith("; here that is data/CASIA")
