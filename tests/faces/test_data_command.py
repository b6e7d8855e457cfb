"""``fasray data`` from a user's side, and what it counts and draws."""

import json
import subprocess
import sys

import cv2
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fasray.cli.data import data
from fasray.cli.tables import make_console, make_table
from fasray.errors import DataError, FasrayError, SpecError
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.overview import contact_sheet, stats
from fasray.faces.sets.shards import write_shards


def call(*words):
    result = CliRunner().invoke(data, [str(word) for word in words])
    if isinstance(result.exception, FasrayError):
        raise result.exception
    return result


def test_synth_makes_a_set_that_verify_finds_sound(tmp_path):
    options = ("--subjects", 1, "--domains", "O", "--image-size", 32, "--processes", 1, "--seed", 5, "--dial", 0.5)
    made = call("synth", tmp_path / "set", *options, "--attacks", "print, mask")
    assert made.exit_code == 0
    assert "24 faces in 1 shards" in made.output
    settings = read_manifest(str(tmp_path / "set")).card["settings"]
    assert (settings["seed"], settings["dial"], settings["attacks"]) == (5, 0.5, ["print", "mask"])
    checked = call("verify", tmp_path / "set")
    assert (checked.exit_code, checked.output) == (0, f"{tmp_path / 'set'}: sound\n")


def test_verify_prints_one_line_a_finding_and_ends_with_exit_code_3(face_set):
    shard = read_manifest(str(face_set)).shards[0].name
    (face_set / shard).write_bytes((face_set / shard).read_bytes()[:-1])
    (face_set / "CARD.md").unlink()
    result = CliRunner().invoke(data, ["verify", str(face_set)])
    assert [line.split(":")[0] for line in result.output.splitlines()] == ["CARD.md", shard]
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 3
    assert "2 findings" in str(result.exception)


def test_stats_count_subjects_videos_and_frames(made_once):
    found = stats(str(made_once))
    assert (found.subjects, found.videos, found.frames) == (6, 54, 144)
    assert found.cameras == 4
    assert sum(count.frames for count in found.counts) == 144
    test_live = [c for c in found.counts if (c.domain, c.split, c.attack_type) == ("I", "test", "live")]
    assert [(c.subjects, c.videos, c.frames) for c in test_live] == [(1, 3, 12)]


def test_stats_as_table_and_json_say_the_same(made_once):
    table = call("stats", made_once).output
    assert "6 subjects, 54 videos, 144 frames of 48 px, 4 cameras" in table
    assert table.splitlines()[1].split() == ["O", "train", "live", "1", "3", "12"]
    values = json.loads(call("stats", made_once, "--format", "json").output)
    assert values["counts"][0] == {
        "domain": "O", "split": "train", "attack_type": "live", "subjects": 1, "videos": 3, "frames": 12,
    }  # fmt: skip
    assert values["frames"] == 144


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_preview_writes_a_picture_of_every_domain_and_attack(made_once, tmp_path, ending):
    made = tmp_path / f"sheet-\udce9.{ending}"  # no UTF-8
    assert call("preview", made_once, "-o", made, "--columns", 3).exit_code == 0
    path = made.rename(tmp_path / f"sheet.{ending}")
    picture = cv2.imread(str(path))
    assert picture.shape == (2 * 3 * (48 + 14), 3 * (3 * 48 + 4), 3)
    faces = [picture[row * 62 + 14 : (row + 1) * 62, :48] for row in range(6)]
    assert all(face.std() > 15 for face in faces)


def test_preview_shows_depth_and_parsing_of_live_faces_only(made_once):
    sheet = contact_sheet(str(made_once), columns=1)
    for row, live in enumerate((True, False, False) * 2):
        labels = sheet[row * 62 + 14 : (row + 1) * 62, 48:144]
        assert bool(labels.any()) is live


def detected(made_once, folder):
    """The set with landmarks, as a preparation makes it."""
    manifest = read_manifest(str(made_once))
    rows = [row for shard in manifest.shards for row in pq.read_table(made_once / shard.name).to_pylist()]
    for row in rows:
        row["landmarks5"] = [12.0, 20.0, 36.0, 20.0, 24.0, 28.0, 16.0, 36.0, 32.0, 36.0]
    told = {"split": "train", "attack_type": "live", "videos": 9, "unreadable": 1, "without_face": 2, "frames": 60}
    part = {
        "kind": "prepared",
        "crop": {"margin": 1.5},
        "plan": {"corpus": "oulu-npu"},
        "counts": [told | {"misses": 4}],
    }
    card = {"kind": "merged", "crop": part["crop"], "sets": [{"domains": ["O"], "hash": "", "card": part}]}
    write_shards(rows, str(folder), card, image_size=manifest.image_size)
    return str(folder)


def test_preview_marks_what_the_detector_found(made_once, tmp_path):
    plain = contact_sheet(str(made_once), columns=1)
    marked = contact_sheet(detected(made_once, tmp_path / "set"), columns=1)
    face, same = marked[14:62, :48], plain[14:62, :48]
    assert face[20, 12].tolist() == face[36, 32].tolist() == [255, 255, 0]
    assert face[8, 20].tolist() == face[20, 39].tolist() == [0, 255, 0]
    assert (face[0] == same[0]).all()
    assert (marked[14:62, 48:144] == plain[14:62, 48:144]).all()


def test_stats_tell_what_a_preparation_lost(made_once, tmp_path):
    uri = detected(made_once, tmp_path / "set")
    lost = "of 9 videos 1 unreadable, 2 without a face; of 60 frames 4 without a face"
    assert call("stats", uri).output.splitlines()[-2:] == [f"oulu-npu: {lost}", f"  train live: {lost}"]
    (part,) = json.loads(call("stats", uri, "--format", "json").output)["preparation"]
    assert (part["corpus"], part["unreadable"], part["misses"]) == ("oulu-npu", 1, 4)


def test_preview_refuses_a_place_or_ending_it_cannot_write(made_once, tmp_path):
    for path in (tmp_path / "sheet.nonsense", tmp_path / "no" / "folder.png"):
        with pytest.raises(DataError, match="picture"):
            call("preview", made_once, "-o", path)


@pytest.mark.parametrize("command", ["verify", "stats"])
def test_a_missing_set_is_named_with_a_remedy(tmp_path, command):
    with pytest.raises(DataError, match="fasray data synth"):
        call(command, tmp_path / "nothing")


def test_the_command_group_loads_nothing_heavy():
    code = "import sys, fasray.cli.data; print(sorted({'torch','ray','cv2','pyarrow','numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_long_names_that_begin_alike_stay_apart_in_a_pipe(capsys):
    names = [f"{'laboratory-of-many-words-' * 12}{number}" for number in range(2)]
    table = make_table("domain", numbers=("subjects",))
    for name in names:
        table.add_row(name, "1")
    make_console().print(table)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == names


def test_corpora_are_listed_and_each_is_described():
    listed = call("corpora").output
    lines = {line.split()[0]: line.split() for line in listed.splitlines()}
    assert lines["siw-mv2"][-2:] == ["785", "915"]
    assert lines["casia-surf"][-2:] == ["1000", "2991"]
    assert lines["celeba-spoof"][3] == "images"
    described = call("corpora", "cefa").output
    assert "Ethnicity/R/R-NNN" in described
    assert "`" not in described
    with pytest.raises(SpecError, match="no corpus 'cef'"):
        call("corpora", "cef")
