"""Any other set is usable through a CSV file, and its mistakes are told by line."""

import pytest

from fasray import protocols
from fasray.errors import DataError
from fasray.faces import corpora
from fasray.faces.corpora.source_video import SourceVideo
from fasray.faces.extraction.sequences import picture_files
from fasray.faces.face_index import FaceIndex

HEADER = "path,label,domain,subject,attack_type,split,first_frame,last_frame,rotate"


def write(folder, *lines, header=HEADER):
    (folder / "manifest.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    for line in lines:
        path = folder / line.split(",")[0]
        if path.parent.is_relative_to(folder) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return str(folder)


def test_rows_become_videos(tmp_path):
    root = write(tmp_path, "b/2.mp4,attack,lab,ann,replay,test,10,19,90", "a/1.mp4,live,lab,bob,,,,,")
    survey = corpora.get("manifest").survey(root)
    assert survey.videos == (
        SourceVideo("a/1.mp4", "live", "", "lab", "lab-bob", "lab/a/1", "", "", "train"),
        SourceVideo(
            "b/2.mp4", "replay", "", "lab", "lab-ann", "lab/b/2", "", "", "test", rotate_untagged=90, frames=(10, 20)
        ),
    )
    assert survey.findings.whole


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_than_commas_are_read(tmp_path, separator):
    root = write(tmp_path, "a/1.mp4,live,lab,bob,,,,,")
    videos = corpora.get("manifest").survey(root).videos
    table = tmp_path / "manifest.csv"
    table.write_text(table.read_text().replace(",", separator))
    assert corpora.get("manifest").survey(root).videos == videos


def test_the_file_itself_may_be_named(tmp_path):
    write(tmp_path, "1.mp4,live,lab,bob,,,,,")
    (tmp_path / "manifest.csv").rename(tmp_path / "mine.csv")
    survey = corpora.get("manifest").survey(str(tmp_path / "mine.csv"))
    assert (survey.root, len(survey.videos)) == (str(tmp_path), 1)


def test_a_folder_of_pictures_is_a_video(tmp_path):
    for folder in ("clip", f"{NFD}.1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
    (tmp_path / "manifest.csv").write_text(f"{HEADER}\nclip,live,lab,ann,,,,,\n{NFC}.1,live,lab,bob,,,,,\n")
    survey = corpora.get("manifest").survey(str(tmp_path))
    assert [picture_files(survey.root, video) for video in survey.videos] == [(f"{NFD}.1/1.png",), ("clip/1.png",)]
    assert survey.findings.whole


def test_files_that_are_not_there_are_named(tmp_path):
    root = write(tmp_path, "1.mp4,live,lab,bob,,,,,", "2.mp4,live,lab,bob,,,,,")
    (tmp_path / "2.mp4").unlink()
    assert corpora.get("manifest").check(root).missing == ("2.mp4",)
    (tmp_path / "1.mp4").unlink()
    with pytest.raises(DataError, match="none of the files"):
        corpora.get("manifest").check(root)


NFC, NFD = "Jos\u00e9", "Jose\u0301"


def test_one_person_in_two_unicode_forms_is_one(tmp_path):
    lines = [f"1.mp4,live,lab,{NFC},,train,,,", f"2.mp4,live,lab,{NFD},,test,,,"]
    with pytest.raises(DataError, match="is in split 'test', in line 2 in 'train'"):
        corpora.get("manifest").survey(write(tmp_path, *lines))
    columns = {name: ["a", "b"] for name in ("domain", "attack_type", "instrument", "video", "camera", "session")}
    index = FaceIndex.of(columns | {"label": [1, 1], "frame": [0, 0], "split": ["train"] * 2, "subject": [NFC, NFD]})
    assert index.subject.tolist() == [NFC, NFC], "also in sets that were prepared before"


def test_a_file_that_is_there_is_found_or_the_reason_is_named(tmp_path):
    for name in (f"v/{NFD}.mp4", "v/.cache/a.mp4", "v/B.MP4", "v/c.mov", "w/d.mp4", "v/caf\udce9.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = (f"v/{NFC}.mp4", "v/.cache/a.mp4", "v/b.mp4", "v/c.mp4", "v/d.mp4", "v/caf\u00e9.mp4", "v/e.mp4")
    table = [HEADER, *(f"{path},live,lab,ann,,,,," for path in listed)]
    (tmp_path / "manifest.csv").write_text("\n".join(table), encoding="utf-8")
    survey = corpora.get("manifest").survey(str(tmp_path))
    assert [video.path for video in survey.videos] == ["v/.cache/a.mp4", f"v/{NFD}.mp4"]
    assert survey.videos[1].video == f"lab/v/{NFC}"
    assert survey.findings.lines() == [
        "missing: v/e.mp4",
        "misnamed: v/B.MP4 (should it be v/b.mp4?)",
        "misnamed: v/c.mov (should it be v/c.mp4?)",
        "misnamed: v/caf\\xe9.mp4 (should it be v/caf\u00e9.mp4?)",
        "misnamed: w/d.mp4 (should it be v/d.mp4?)",
    ]
    (tmp_path / "manifest.csv").write_text(f"{HEADER}\nv/b.mp4,live,lab,ann,,,,,\n")
    with pytest.raises(DataError, match=r"(?s)none of the files.*there is v/B.MP4"):
        corpora.get("manifest").survey(str(tmp_path))


def test_two_domains_never_share_a_person_by_the_way_that_names_are_joined(tmp_path):
    people = [("lab", "2-ann"), ("lab-2", "ann"), ("lab", "2/ann"), ("lab", "ann"), ("lab-2", "/ann"), ("lab", "/ann")]
    lines = [f"{number}.mp4,live,{domain},{name},,,,," for number, (domain, name) in enumerate(people)]
    videos = corpora.get("manifest").entries(write(tmp_path, *lines))
    assert len({video.subject for video in videos}) == len(people)
    assert [video.subject for video in videos][3] == "lab-ann", "most names stay what they were"


def test_new_domains_are_at_once_those_of_protocols(tmp_path):
    lines = [
        f"{domain}/{number}-{kind}.mp4,{kind},{domain},p{number},{'print' if kind == 'attack' else ''},,,,"
        for domain in ("lab", "street", "x-1")
        for number in range(5)
        for kind in ("live", "attack")
    ]
    videos = corpora.get("manifest").entries(write(tmp_path, *lines))
    columns = ("label", "domain", "attack_type", "instrument", "subject", "video", "camera", "session", "split")
    table = FaceIndex.of({c: [getattr(v, c) for v in videos] for c in columns} | {"frame": [0] * len(videos)})
    roles = protocols.parse("lab&x-1->street").assign(table)
    assert set(table.domain[roles.target]) == {"street"}
    assert set(table.domain[roles.train]) == {"lab", "x-1"}


def test_what_a_manifest_knows_of_people_comes_along_and_the_rest_is_unknown(tmp_path):
    (tmp_path / "manifest.csv").write_text(
        "path,label,domain,subject,sex,age_group,modality\n1.mp4,live,lab,ann,female,,ir\n2.mp4,live,lab,bob,,,\n"
    )
    for name in ("1.mp4", "2.mp4"):
        (tmp_path / name).touch()
    ann, bob = corpora.get("manifest").entries(str(tmp_path))
    assert (ann.ethnicity, ann.sex, ann.age_group, ann.modality) == ("", "female", "", "ir")
    assert ann.facts() == {**bob.facts(), **{name: getattr(ann, name) for name in ("path", "subject", "video")},
                           "sex": "female", "modality": "ir"}  # fmt: skip
    assert not {"ethnicity", "sex", "age_group", "modality"} & set(bob.facts()), (
        "as facts were before there were groups"
    )


def test_every_mistake_is_told_with_its_line(tmp_path):
    root = write(
        tmp_path,
        "1.mp4,live,lab,bob,,,,,",
        "1.mp4,live,lab,bob,,,,,",
        "/2.mp4,live,lab,bob,,,,,",
        "../3.mp4,live,lab,bob,,,,,",
        "4.mp4,real,lab,bob,,,,,",
        "5.mp4,attack,lab,bob,,,,,",
        "6.mp4,attack,lab,bob,prnt,,,,",
        "7.mp4,live,lab,,,,,,",
        "8.mp4,live,a b,bob,,,,,",
        "9.mp4,live,lab,bob,,validation,,,",
        "10.mp4,live,lab,bob,,test,,,",
        "11.mp4,live,lab,eve,,,9,3,",
        "12.mp4,live,lab,eve,,,,,45",
        "13.mp4,live,lab,eve,print,,,,",
        "14.mp4,live",
        "15.mp4,live,lab,eve,,,,,,surplus",
        "1.avi,live,lab,bob,,,,,",
    )
    with pytest.raises(DataError, match="16 mistakes") as error:
        corpora.get("manifest").survey(root)
    told = error.value.what.splitlines()[1:]
    expected = [
        "line 3: path '1.mp4' is already in line 2",
        "line 4: path '/2.mp4' is not relative",
        "line 5: path '../3.mp4' is not relative",
        "line 6: label 'real': write live or attack",
        "line 7: attack_type is empty",
        "line 8: attack_type 'prnt': did you mean 'print'?",
        "line 9: subject is empty",
        "line 10: domain 'a b' is not a valid name",
        "line 11: split 'validation': choose one of: dev, test, train",
        "line 12: subject 'bob' is in split 'test', in line 2 in 'train'",
        "line 13: first_frame '9' and last_frame '3'",
        "line 14: rotate '45'",
        "line 15: live with attack_type 'print'",
        "line 16: has fewer fields",
        "line 17: has more fields",
        "line 18: video 'lab/1' is already in line 2",
    ]
    assert len(told) == len(expected)
    assert [line.strip().startswith(text) for line, text in zip(told, expected, strict=True)] == [True] * 16


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("path,label,domain,subjekt", "unknown column 'subjekt'"),
        ("path,label,domain", "column 'subject' is missing"),
        ("path,label,domain,subject,path", "twice"),
    ],
)
def test_a_wrong_header_is_told(tmp_path, header, said):
    with pytest.raises(DataError, match=said):
        corpora.get("manifest").survey(write(tmp_path, header=header))


def test_no_file_an_empty_file_and_no_text_are_told(tmp_path):
    manifest = corpora.get("manifest")
    with pytest.raises(DataError, match="no such file"):
        manifest.survey(str(tmp_path))
    with pytest.raises(DataError, match="names no video"):
        manifest.survey(write(tmp_path))
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        manifest.survey(str(tmp_path))
