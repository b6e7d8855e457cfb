"""What each corpus' names mean, and the traps they hold."""

import json

import pytest

from fasray.errors import DataError
from fasray.faces import corpora
from fasray.faces.corpora.named import NamedCorpus
from fasray.protocols.registry import DOMAIN_TITLES


def named(name):
    corpus = corpora.get(name)
    assert isinstance(corpus, NamedCorpus)
    return corpus


def facts(name, path):
    video = named(name).parse(path)
    return None if video is None else (video.subject, video.split, video.attack_type, video.instrument, video.camera)


@pytest.mark.parametrize(
    ("name", "path", "expected"),
    [
        ("oulu-npu", "Train_files/3_2_07_1.avi", ("O007", "train", "live", "", "phone3")),
        ("oulu-npu", "Dev_files/6_3_35_3.avi", ("O035", "dev", "print", "print2", "phone6")),
        ("oulu-npu", "Test_files/1_1_55_4.avi", ("O055", "test", "replay", "replay1", "phone1")),
        ("casia-fasd", "train_release/1/1.avi", ("C001", "train", "live", "", "normal")),
        ("casia-fasd", "train_release/20/4.avi", ("C020", "train", "print", "warped", "low")),
        ("casia-fasd", "test_release/1/HR_3.avi", ("C021", "test", "print", "cut", "high")),
        ("casia-fasd", "test_release/30/8.avi", ("C050", "test", "replay", "tablet", "low")),
        (
            "replay-attack",
            "devel/attack/hand/attack_mobile_client111_session01_mobile_photo_adverse.mov",
            ("I111", "dev", "replay", "mobile_photo_hand", "webcam"),
        ),
        (
            "replay-attack",
            "test/attack/fixed/attack_print_client115_session01_highdef_photo_controlled.mov",
            ("I115", "test", "print", "print_photo_fixed", "webcam"),
        ),
        ("msu-mfsd", "real/real_client002_laptop_SD_scene01.mov", ("M002", "train", "live", "", "laptop")),
        (
            "msu-mfsd",
            "attack/attack_client051_android_SD_printed_photo_scene01.mp4",
            ("M051", "test", "print", "printed_photo", "android"),
        ),
        ("rose-youtu", "train/2/G_NT_5s_wg_E_2_1.mp4", ("Y002", "train", "live", "", "iphone5s")),
        ("rose-youtu", "test/_15/Vm_T_ZTE_g_E_15_7.mp4", ("Y015", "test", "replay", "mac_screen", "zte")),
        ("rose-youtu", "test/15/Mu_T_HW_g_E_15_90.mp4", ("Y015", "test", "mask", "paper_upper", "huawei")),
        ("siw", "Train/live/003/003-1-1-1-1.mov", ("S003", "train", "live", "", "canon_t6")),
        ("siw", "Test/spoof/001/001-2-3-4-2.mov", ("S001", "test", "replay", "samsung_s8", "logitech_c920")),
        ("siw-mv2", "Live/Live_10.mov", ("SiW-Mv2-Live_10", "test", "live", "", "")),
        ("siw-mv2", "Live/Live_888.mp4", ("SiW-Mv2-Live_888", "test", "live", "", "")),
        ("siw-mv2", "Spoof/Mannequin/Mask_Mann_7.MOV", ("SiW-Mv2-Mask_Mann_7", "test", "mask", "Mask_Mann", "")),
        ("siw-mv2", "Spoof/Print/Paper_4.avi", ("SiW-Mv2-Paper_4", "train", "print", "Paper", "")),
        ("hkbu-mars", "real/03/07_06_03.avi", ("HKBU-03", "train", "live", "", "camera7")),
        ("hkbu-mars", "HKBU_MARs_V2/attack/09/04_02_9.avi", ("HKBU-09", "train", "mask", "mask_3d", "camera4")),
        ("3dmad", "session03/Data/08_03_05.hdf5", ("3DMAD-08", "dev", "mask", "mask_3d", "kinect")),
        ("3dmad", "17_01_01.avi", ("3DMAD-17", "test", "live", "", "kinect")),
    ],
)
def test_a_name_is_read(name, path, expected):
    assert facts(name, path) == expected


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("oulu-npu", "Train_files/1_1_21_1.avi"),  # a dev subject among the training files
        ("oulu-npu", "Train_files/7_1_01_1.avi"),
        ("oulu-npu", "Train_files/1_1_1_1.avi"),
        ("casia-fasd", "train_release/21/1.avi"),
        ("casia-fasd", "test_release/01/1.avi"),
        ("replay-attack", "train/real/client003_session01_webcam_authenticate_adverse_1.mov"),  # a devel client
        ("replay-attack", "train/attack/hand/attack_print_client001_session01_highdef_video_adverse.mov"),
        ("msu-mfsd", "real/real_client004_android_SD_scene01.mp4"),  # never published
        ("msu-mfsd", "real/real_client002_laptop_SD_scene01.mp4"),
        ("rose-youtu", "train/2/G_NT_5s_wg_E_3_1.mp4"),  # another subject's file
        ("rose-youtu", "2/G_NT_5s_wg_E_2_1.mp4"),  # no split
        ("rose-youtu", "train/2/X_NT_5s_wg_E_2_1.mp4"),
        ("siw", "Train/live/001/001-1-1-1-1.mov"),  # a test subject
        ("siw", "Test/live/001/001-1-2-1-1.mov"),  # a print among live videos
        ("siw", "Test/spoof/001/001-1-2-3-1.mov"),  # there are two print media
        ("siw", "Train/live/003/003-1-1-1-1_60.mov"),  # a frame window of another tool
        ("siw", "Train/live/166/166-1-1-1-1.mov"),
        ("siw-mv2", "Live/Live_104.mov"),  # there is no such number
        ("siw-mv2", "Live/Live_892.mp4"),
        ("siw-mv2", "Spoof/Mannequin/Mask_Half_7.mov"),  # another folder's stem
        ("siw-mv2", "Spoof/Silicone/Mask_Silicone_18.mov"),
        ("siw-mv2", "Live/Live_010.mov"),
        ("hkbu-mars", "attack/09/04_02_09.avi"),
        ("hkbu-mars", "real/03/07_06_04.avi"),  # another subject's file
        ("hkbu-mars", "real/13/07_06_13.avi"),
        ("3dmad", "session01/Data/08_03_05.hdf5"),  # another session's folder
        ("3dmad", "18_01_01.avi"),
    ],
)
def test_what_breaks_a_rule_is_not_understood(name, path):
    assert named(name).parse(path) is None


def test_casia_fasd_test_folders_are_other_people_than_train_folders():
    casia = corpora.get("casia-fasd")
    people = {split: {v.subject for v in casia.official() if v.split == split} for split in ("train", "test")}
    assert not people["train"] & people["test"]
    assert (len(people["train"]), len(people["test"])) == (20, 30)


def test_photos_on_a_display_are_replay_attacks():
    videos = corpora.get("replay-attack").official()
    shown = {video.attack_type for video in videos if "_photo_" in video.path and "attack_print" not in video.path}
    printed = {video.attack_type for video in videos if "attack_print" in video.path}
    assert (shown, printed) == ({"replay"}, {"print"})


def test_six_clips_of_msu_mfsd_are_upside_down():
    turned = {v.path for v in corpora.get("msu-mfsd").official() if v.rotate_untagged}
    assert turned == {f"real/real_client{number:03d}_android_SD_scene01.mp4" for number in (3, 5, 6, 7, 8, 9)}


def test_rose_youtu_was_filmed_in_portrait_but_for_replays():
    rose = named("rose-youtu")
    turns = [
        rose.parse(f"train/2/{kind}_NT_{device}_g_E_2_1.mp4").rotate_untagged
        for kind in ("G", "Vl")
        for device in ("IP", "HW")
    ]
    assert turns == [270, 90, 0, 180]


def test_siw_stems_with_a_suffix_are_the_same_kind_of_video():
    video = named("siw").parse("Test/live/153/153-2-1-1-2.m.mov")
    assert (video.video, video.session, video.attack_type) == ("S/Test/live/153/153-2-1-1-2", "2-normal", "live")


def test_letters_are_those_of_the_protocols():
    letters = {corpora.get(name).domain for name in corpora.names()} - {""}
    assert len(letters) == 16
    assert set(DOMAIN_TITLES) <= letters


def test_counts_without_a_public_list_are_told_as_notes(tmp_path):
    folder = tmp_path / "Train" / "live" / "003"
    folder.mkdir(parents=True)
    (folder / "003-1-1-1-1.mov").touch()
    (folder / "unknown.mov").touch()
    found = corpora.get("siw").check(str(tmp_path))
    assert found.extra == ("Train/live/003/unknown.mov",)
    assert "split train: 1 live and 0 attack videos; public lists have 714 and 1702" in found.notes


def labels(kind: int, attack: int) -> list[int]:
    return [0] * 40 + [kind, 3 if attack else 0, 1 if attack else 0, attack]


@pytest.fixture
def celeba(tmp_path):
    train = {
        "Data/train/1/live/000001.jpg": labels(0, 0),
        "Data/train/1/spoof/000002.png": labels(8, 1),
        "Data/train/2/spoof/000003.jpg": labels(4, 1),
        "Data/train/2/live/000004.jpg": labels(2, 1),  # stands under live, is labelled an attack
        "Data/train/2/spoof/000005.jpg": labels(11, 1),  # no such kind
        "Data/train/2/spoof/000006.jpg": labels(3, 1),  # not there
    }
    test = {"Data/test/9/live/000007.jpg": labels(0, 0)}
    for split, table in (("train", train), ("test", test)):
        for path in table:
            if "000006" not in path:
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).touch()
        (tmp_path / "metas" / "intra_test").mkdir(parents=True, exist_ok=True)
        (tmp_path / "metas" / "intra_test" / f"{split}_label.json").write_text(json.dumps(table))
    (tmp_path / "Data/train/1/live/000001_BB.txt").touch()
    (tmp_path / "Data/train/1/live/000099.jpg").touch()
    return tmp_path


def test_celeba_spoof_is_told_by_its_label_files(celeba):
    survey = corpora.get("celeba-spoof").survey(str(celeba))
    assert [(v.subject, v.split, v.attack_type, v.instrument, v.session) for v in survey.videos] == [
        ("CA00009", "test", "live", "", ""),
        ("CA00001", "train", "live", "", ""),
        ("CA00001", "train", "replay", "pad", "indoor-back"),
        ("CA00002", "train", "mask", "paper_face", "indoor-back"),
    ]
    found = survey.findings
    assert found.missing == ("Data/train/2/spoof/000006.jpg",)
    assert [item.path for item in found.misnamed] + list(found.extra) == ["Data/train/1/live/000099.jpg"]
    assert found.notes == (
        "left out, folder and label disagree: Data/train/2/live/000004.jpg",
        "left out, its labels are not understood: Data/train/2/spoof/000005.jpg",
    )


@pytest.mark.parametrize(("text", "said"), [(None, "missing"), ("{", "cannot be read"), ("[]", "not an object")])
def test_celeba_spoof_without_its_label_file_is_refused(celeba, text, said):
    path = celeba / "metas" / "intra_test" / "test_label.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(DataError, match=said):
        corpora.get("celeba-spoof").survey(str(celeba))


def test_pictures_in_a_folder_with_the_name_of_a_video_are_its_frames(tmp_path):
    names = {
        "oulu-npu": ("Train_files/1_1_01_1/2.png", "Train_files/1_1_01_1/10.png", "Train_files/1_1_01_2.avi/1.jpg"),
        "msu-mfsd": ("scene01/real/real_client006_android_SD_scene01/0001.jpg",),
        "casia-fasd": ("train_release/1/HR_1/0.jpg", "train_release/1/0.jpg", "train_release/1/2/0.jpg"),
    }
    for name, paths in names.items():
        root = tmp_path / name
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    oulu = named("oulu-npu").survey(str(tmp_path / "oulu-npu"))
    assert [video.path for video in oulu.videos] == ["Train_files/1_1_01_1.avi", "Train_files/1_1_01_2.avi"]
    assert oulu.videos[0].pictures == names["oulu-npu"][:2]
    assert len(oulu.findings.missing) == 4950 - 2
    (upright,) = named("msu-mfsd").survey(str(tmp_path / "msu-mfsd")).videos
    assert (upright.rotate_untagged, named("msu-mfsd").parse(upright.path).rotate_untagged) == (0, 180)
    (tmp_path / "casia-fasd/train_release/1/2.avi").touch()
    casia = named("casia-fasd").survey(str(tmp_path / "casia-fasd"))
    assert [(video.path, len(video.pictures)) for video in casia.videos] == [
        ("train_release/1/2.avi", 0),
        ("train_release/1/HR_1.avi", 1),
    ]
    assert [item.path for item in casia.findings.misnamed] + list(casia.findings.extra) == [
        "train_release/1/0.jpg",
        "train_release/1/2/0.jpg",
    ], "the file comes first, and what is in no video's folder is named"
