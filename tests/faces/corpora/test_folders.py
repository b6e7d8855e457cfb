"""Any tree of faces is read by patterns: what a path says, what nobody knows, and what no pattern fits."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from fasray.errors import DataError, SpecError
from fasray.faces.corpora import SourceVideo, Survey
from fasray.faces.corpora.folders import FolderRules, Folders
from fasray.faces.corpora.path_pattern import PathPattern
from fasray.faces.extraction.extract import Settings
from fasray.ingest.chunks import make_plan


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def survey(root: Path, *patterns: str, **more: Any) -> Survey:
    return Folders(FolderRules(patterns, **more)).survey(str(root))


def said(videos: tuple[SourceVideo, ...]) -> list[tuple[str, str, str]]:
    return [(video.path, video.attack_type, video.subject) for video in videos]


def test_every_field_becomes_what_the_record_has(tmp_path: Path) -> None:
    path = "lab/devel/fake/print/a4/ann/s1/phone/ir-asian-f-old/clip_7.png"
    fields = "{domain}/{split}/{label}/{attack_type}/{instrument}/{subject}/{session}/{camera}"
    pattern = f"{fields}/{{modality}}-{{ethnicity}}-{{sex}}-{{age_group}}/{{video}}_{{frame}}.png"
    (video,) = survey(tree(tmp_path, path), pattern, letters={"lab": "L"}).videos
    assert video == SourceVideo(
        path=path.replace("_7", "_*"), attack_type="print", instrument="a4", domain="L", subject="L-ann",
        video="L/clip", camera="phone", session="s1", split="dev", ethnicity="asian", sex="f", age_group="old",
        modality="ir", pictures=(path,),
    )  # fmt: skip


def test_what_is_not_said_is_unknown_and_a_video_has_the_name_of_its_path(tmp_path: Path) -> None:
    tree(tmp_path, "real/1.mp4", "spoof/1.MP4")
    found = survey(tmp_path, "{label}/*.mp4", domain="X")
    assert said(found.videos) == [
        ("real/1.mp4", "live", "X/real/1"),
        ("spoof/1.MP4", "other", "X/spoof/1"),
    ]
    assert [video.split for video in found.videos] == ["train"] * 2
    assert [video.video for video in found.videos] == ["X/real/1", "X/spoof/1"]
    assert found.findings.notes == ("no {subject} in a pattern: each of its videos counts as a person of its own",)


@pytest.mark.parametrize(
    ("word", "means"),
    [
        *((word, "live") for word in ("live", "Real", "genuine", "bona_fide", "BonaFide", "clients", "1")),
        *((word, "other") for word in ("attack", "Spoof", "fake", "imposter", "0")),
        *((word, word.lower().rstrip("s")) for word in ("print", "Replay", "masks", "partial", "makeup")),
    ],
)
def test_words_of_labels_are_known(tmp_path: Path, word: str, means: str) -> None:
    (video,) = survey(tree(tmp_path, f"{word}/ann.png"), "{label}/{subject}.png", domain="X").videos
    assert video.attack_type == means


def test_words_of_ones_own_come_first_and_unknown_ones_are_all_named(tmp_path: Path) -> None:
    tree(tmp_path, "1/a.png", "0/b.png", "photo/c.png", "photo/d.png", "video/e.png")
    with pytest.raises(
        SpecError, match=r"(?s)2 words are not known.*'photo': 2 files, photo/c.png.*'video'.*photo=live"
    ):
        survey(tmp_path, "{label}/{subject}.png", domain="X")
    labels = {"1": "attack", "0": "live", "photo": "print", "VIDEO": "replay", "nobody": "live"}
    found = survey(tmp_path, "{label}/{subject}.png", domain="X", labels=labels)
    assert [video.attack_type for video in found.videos] == ["live", "other", "print", "print", "replay"]
    assert found.findings.notes == ("--label nobody: no file has this word",)


def test_label_and_attack_type_must_agree(tmp_path: Path) -> None:
    tree(tmp_path, "attack/print/a.png", "live/normal/a.png", "attack/masks/b.png")
    pattern = "{label}/{attack_type}/{subject}.png"
    assert [video.attack_type for video in survey(tmp_path, pattern, domain="X").videos] == ["mask", "print", "live"]
    tree(tmp_path, "live/print/c.png")
    with pytest.raises(DataError, match="live/print/c.png: the label is 'live' and the attack type 'print'"):
        survey(tmp_path, pattern, domain="X")
    with pytest.raises(DataError, match="live/normal/a.png: the label is '' and the attack type ''"):
        survey(tmp_path, "{label:(?:spoof)?}live/*/{subject}.png", domain="X")


def test_what_no_pattern_fits_is_listed(tmp_path: Path) -> None:
    tree(tmp_path, "live/a_1.png", "live/a.png", "live/a_1.txt", "readme.txt", "caf\udce9_1.png", ".hidden_1.png")
    found = survey(tmp_path, "{label}/{subject}_*", "{label=live}{subject}_*.png", domain="X")
    assert [video.path for video in found.videos] == ["live/a_1.png"]
    assert found.findings.extra == ("caf\\xe9_1.png", "live/a.png", "live/a_1.txt", "readme.txt")
    assert found.findings.summary() == "folders: 1 videos; 4 extra"
    with pytest.raises(DataError, match=r"(?s)no pattern fits any of 5 files.*live/a.png"):
        survey(tmp_path, "{label}/{subject}_*.mp4", domain="X")


def test_several_patterns_read_one_tree(tmp_path: Path) -> None:
    tree(tmp_path, "stills/ann.png", "clips/x/bob.mp4")
    found = survey(
        tmp_path, "{label=live}stills/{subject}.png", "{attack_type=replay}clips/**/{subject}.mp4", domain="X"
    )
    assert said(found.videos) == [("clips/x/bob.mp4", "replay", "X-bob"), ("stills/ann.png", "live", "X-ann")]
    with pytest.raises(DataError, match=r"(?s)both fit clips/x/bob.mp4 and say different things.*narrower"):
        survey(tmp_path, "{label=live}**/{subject}.mp4", "{label=spoof}clips/**/{subject}.mp4", domain="X")


def test_a_pattern_that_fits_in_two_ways_is_refused_until_it_says_more(tmp_path: Path) -> None:
    tree(tmp_path, "live/ann_lee_1.png")
    with pytest.raises(
        DataError, match=r"(?s)live/ann_lee_1.png in two ways: subject may be 'ann' or 'ann_lee'.*\[\^_\]"
    ):
        survey(tmp_path, "{label}/{subject}_*.png", domain="X")
    for form, subject in (("[^_]+", "ann"), (r".+(?=_\d)", "ann_lee")):
        (video,) = survey(tmp_path, f"{{label}}/{{subject:{form}}}_*.png", domain="X").videos
        assert video.subject == f"X-{subject}"


def test_frames_of_a_video_are_one_video_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [f"live/ann/{clip}/{number}.png" for clip in ("1", "2") for number in (0, 10, 9)]
    tree(tmp_path, *names)
    for pattern in ("{label}/{subject}/*/{frame}.png", "{label}/{subject}/{video}/{frame}.png"):
        found = survey(tmp_path, pattern, domain="X").videos
        assert [video.path for video in found] == ["live/ann/1/*.png", "live/ann/2/*.png"]
        assert found[0].pictures == tuple(f"live/ann/1/{number}.png" for number in (0, 9, 10))
    tree(tmp_path, "flat/live_ann_c1_001.jpg", "flat/live_ann_c1_002.jpg", "flat/live_ann_c2_001.jpg")
    found = survey(tmp_path, "flat/{label}_{subject}_{video}_{frame}.jpg", domain="X").videos
    assert [(video.video, len(video.pictures)) for video in found] == [("X/c1", 2), ("X/c2", 1)]
    unnumbered = survey(tmp_path, "{label}/{subject}/{video}/*.png", domain="X").videos
    assert unnumbered[0].pictures == tuple(f"live/ann/1/{number}.png" for number in (0, 9, 10))


@pytest.mark.parametrize(
    ("names", "pattern", "message"),
    [
        (
            ("live/ann/7.png", "live/bob/7.png"), "{label}/{subject}/{video}.png",
            r"video '7' has two values of subject: 'X-ann' in live/ann/7.png and 'X-bob' in live/bob/7.png",
        ),
        (("live/a.png", "live/a.mp4"), "{label}/{video}.*", "video 'a' has two files: live/a.png and live/a.mp4"),
        (
            ("live/c/1.png", "live/c/01.png"), "{label}/{video}/{frame}.png",
            "live/c/01.png, live/c/1.png: video 'c' has two files of frame 1",
        ),
        (("live/c/1.mp4",), "{label}/{video}/{frame}.mp4", "live/c/1.mp4 has the number of a frame and is no picture"),
        (
            ("train/live/1.png", "test/live/1.png"), "{split}/{label}/{subject}.png",
            r"subject 'X-1' is in two splits: test \(test/live/1.png\) and train \(train/live/1.png\)",
        ),
    ],
)  # fmt: skip
def test_one_video_or_person_with_two_values_is_refused_with_both_files(
    tmp_path: Path, names: tuple[str, ...], pattern: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        survey(tree(tmp_path, *names), pattern, domain="X")


def test_two_files_of_one_name_are_never_taken_for_frames(tmp_path: Path) -> None:
    tree(tmp_path, "live/ann.png", "live/ann.jpg")
    adapter = Folders(FolderRules(("{label}/{subject}.*",), domain="X"))
    assert [video.pictures for video in adapter.survey(str(tmp_path)).videos] == [(), ()]
    with pytest.raises(DataError, match="video 'X/live/ann' has two files: live/ann.jpg and live/ann.png"):
        make_plan(adapter, str(tmp_path), Settings())


def test_names_are_the_same_in_both_unicode_forms(tmp_path: Path) -> None:
    composed = "Bürger/échte_1.png"
    tree(tmp_path, unicodedata.normalize("NFD", composed))
    (video,) = survey(tmp_path, "{subject}/{label=live}échte_{frame}.png", domain="X").videos
    assert (video.subject, video.video) == ("X-Bürger", "X/Bürger/échte_*")
    assert (tmp_path / video.pictures[0]).exists()


def test_links_are_followed_once_and_never_double_a_file(tmp_path: Path) -> None:
    root, store = tmp_path / "tree", tmp_path / "store"
    tree(store, "ann.png", "bob.png")
    tree(root, "live/eve.png")
    (root / "attack").symlink_to(store)
    (root / "again").symlink_to(root / "live")
    (root / "zweit").symlink_to(store)
    (root / "live/loop").symlink_to(root)
    (root / "live/aaa.png").symlink_to(root / "live/eve.png")
    (root / "live/out.png").symlink_to(tree(tmp_path / "more", "x.png") / "x.png")
    found = survey(root, "{label}/{subject}.png", domain="X")
    assert [video.path for video in found.videos] == [
        "attack/ann.png",
        "attack/bob.png",
        "live/eve.png",
        "live/out.png",
    ]
    assert found.findings.notes == (
        "not entered: again is the folder live",
        "not entered: live/loop is the folder .",
        "not entered: zweit is the folder attack",
        "not used: live/aaa.png is a link to live/eve.png",
    )


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{lable}/*", r"(?s)unknown field \{lable\}.*did you mean 'label'"),
        ("{label/*", "brace without its partner"),
        ("/data/{label}/*", "not a pattern of paths"),
        ("{label}\\*", "not a pattern of paths"),
        ("{label:(a|b)}/*", "has a group"),
        ("{label:[}/*", "not a regular expression"),
        ("{subject}/*", "does not say what is live"),
        ("{label}/{domain}/*", "says the domain already"),
    ],
)
def test_a_wrong_pattern_is_refused_with_the_reason(pattern: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Folders(FolderRules((pattern,), domain="X"))


def test_domains_and_splits_that_are_none_are_named(tmp_path: Path) -> None:
    tree(tmp_path, "My Lab/fold3/live/a.png")
    with pytest.raises(SpecError, match=r"(?s)'My Lab': 1 files.*--letter 'My Lab=X'"):
        survey(tmp_path, "{domain}/*/{label}/{subject}.png")
    with pytest.raises(SpecError, match=r"(?s)'fold3': 1 files, My Lab/fold3/live/a.png.*train, dev and test"):
        survey(tmp_path, "{domain}/{split}/{label}/{subject}.png", letters={"My Lab": "L"})


def test_a_star_is_within_a_folder_and_two_are_through_folders() -> None:
    assert PathPattern("*/{label}.png").read("a/b/live.png") is None
    for path in ("live.png", "a/live.png", "a/b/live.png"):
        reading = PathPattern("**/{label}.png").read(path)
        assert reading is not None
        assert reading.values == {"label": "live"}
    assert PathPattern("{subject}/{subject}_{frame}.png").read("ann/bob_1.png") is None
