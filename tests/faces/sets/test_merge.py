"""Sets of single corpora become one set for protocols over their domains."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fasray.cli import cli
from fasray.cli.data import data
from fasray.errors import DataError
from fasray.faces.sets.manifest import MANIFEST_NAME, is_generated, read_manifest
from fasray.faces.sets.merge import merge
from fasray.faces.sets.reading import read_index
from fasray.faces.sets.shards import write_shards
from fasray.faces.sets.verify import verify
from fasray.faces.synthetic import generate
from fasray.inference.preparation import Preparation


@pytest.fixture(scope="module")
def singles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("singles")
    for name in "OC":
        generate(str(folder / name), subjects=2, domains=name, image_size=32, processes=1)
    return folder


def rewritten(source, target, change, image_size=32, card=None):
    shard = read_manifest(str(source)).shards[0]
    rows = pq.read_table(source / shard.name).to_pylist()
    for row in rows:
        change(row)
    write_shards(rows, str(target), card or {}, image_size=image_size)
    return str(target)


def test_a_merged_set_has_the_rows_of_all_in_order(singles, tmp_path):
    calls = []
    manifest = merge([str(singles / "C"), str(singles / "O")], str(tmp_path / "m"), lambda *call: calls.append(call))
    index = read_index(str(tmp_path / "m"))
    parts = [read_index(str(singles / name)) for name in "CO"]
    assert index.video.tolist() == parts[0].video.tolist() + parts[1].video.tolist()
    assert manifest.rows == len(index)
    assert calls == [(1, 2), (2, 2)]
    assert verify(str(tmp_path / "m"), deep=True) == []
    assert [part["domains"] for part in manifest.card["sets"]] == [["C"], ["O"]]
    assert {document.name for document in manifest.documents} == {"1-C-CARD.md", "2-O-CARD.md"}
    assert is_generated(manifest.card)


def test_a_set_is_generated_if_all_of_it_is():
    mimic, real = {"kind": "prepared", "generated": True}, {"kind": "prepared", "generated": False}
    assert is_generated(mimic)
    assert is_generated({"kind": "merged", "sets": [{"card": mimic}, {"card": {"kind": "synthetic"}}]})
    assert not is_generated({"kind": "merged", "sets": [{"card": mimic}, {"card": real}]})
    assert not is_generated(real)
    assert not is_generated({})


def prepared(margin=1.35, frames=2, **more):
    settings = {
        "frames": frames,
        "every": None,
        "image_size": 32,
        "quality": 95,
        "margin": margin,
        "detector": "mesh468",
    }
    rule = f"{frames} evenly spaced"
    return {
        "kind": "prepared",
        "plan": {"corpus": "manifest", "settings": settings | more},
        "crop": {"margin": margin, "rotation": "none", "frame_rule": rule},
        "counts": [],
    }


def test_sets_that_were_prepared_differently_are_refused_or_joined_with_a_note(singles, tmp_path):
    alike = [rewritten(singles / name, tmp_path / name, lambda row: None, card=prepared()) for name in "OC"]
    other = rewritten(singles / "C", tmp_path / "other", lambda row: None, card=prepared(3.5, 10, quality=30))
    assert "differences" not in merge(alike, str(tmp_path / "alike")).card
    cut = rewritten(singles / "C", tmp_path / "cut", lambda row: None, card=prepared(cropped="whole"))
    drawn = str(singles / "C")
    for uris, said in (
        (
            [alike[0], other],
            r"margin 1.35 \(O\), 3.5 \(C\); frames 2 evenly spaced \(O\), 10 evenly spaced \(C\); images",
        ),
        ([alike[0], cut], r"faces found in whole pictures \(O\), that came cut out \(C\)\n"),
        ([alike[0], drawn], r"margin 1.35 \(O\), 1.3 \(C\); .*; detector mesh468 \w+ \(O\), none \(C\)"),
    ):
        with pytest.raises(DataError, match=f"the sets were prepared differently: {said}"):
            merge(uris, str(tmp_path / "out"))
    arguments = ["merge", alike[0], other, str(tmp_path / "out"), "--allow-different-preparation"]
    ran = CliRunner().invoke(data, arguments, catch_exceptions=False)
    assert "note: prepared differently: margin 1.35 (O), 3.5 (C)" in ran.stderr
    assert read_manifest(str(tmp_path / "out")).card["differences"][0] == "margin 1.35 (O), 3.5 (C)"
    assert "note: prepared differently: margin" in CliRunner().invoke(data, ["stats", str(tmp_path / "out")]).stdout
    listed = CliRunner().invoke(data, ["stats", str(tmp_path / "out"), "--format", "json"]).stdout
    assert json.loads(listed)["differences"][0] == "margin 1.35 (O), 3.5 (C)"
    assert "note: prepared differently" in CliRunner().invoke(data, ["verify", "--deep", str(tmp_path / "out")]).stderr
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(f"data: {tmp_path / 'out'}\nname: differ\nprotocols: [O->C]\nmethods: {{erm: {{space: {{}}}}}}\n")
    planned = CliRunner().invoke(cli, ["plan", str(sweep), "--no-gpus"], catch_exceptions=False).stdout
    assert "note: The domains were prepared differently, and results over them measure that, too: margin" in planned
    renamed = ("domain", "video", "subject")
    third = rewritten(
        singles / "C", tmp_path / "x", lambda row: row.update({n: "X" + row[n] for n in renamed}), card=prepared()
    )
    nested = merge([str(tmp_path / "out"), third], str(tmp_path / "again"), allow_different=True)
    assert nested.card["differences"][0] == "margin 1.35 (O XC), 3.5 (C)"
    assert len(Preparation.of(nested.card, 32).settings) == 2


def test_one_person_of_two_releases_is_not_two(singles, tmp_path):
    def named(name, joined):
        return lambda row: row.update(
            domain="x-1", video=f"{name}{row['video']}", subject=f"x-1{joined}{row['subject']}"
        )

    old = rewritten(singles / "O", tmp_path / "old", named("a", "-"))
    new = rewritten(singles / "O", tmp_path / "new", named("b", "/"))
    with pytest.raises(DataError, match=r"subject 'x-1/O001' is 'x-1-O001' in another set"):
        merge([old, new], str(tmp_path / "out"))


def test_the_same_sets_merge_to_the_same_hash_and_stay_as_they_are(singles, tmp_path):
    before = read_manifest(str(singles / "O")).hash
    uris = [str(singles / "O"), str(singles / "C")]
    assert merge(uris, str(tmp_path / "a")).hash == merge(uris, str(tmp_path / "b")).hash
    assert read_manifest(str(singles / "O")).hash == before


def test_what_cannot_be_joined_is_refused(singles, tmp_path):
    one = str(singles / "O")
    twice = shutil.copytree(singles / "O", tmp_path / "twice")
    large = rewritten(singles / "C", tmp_path / "large", lambda row: None, image_size=64)
    moved = rewritten(singles / "O", tmp_path / "moved", lambda row: row.update(domain="X", video="X" + row["video"]))
    for uris, said in (
        ([one], "at least two sets"),
        ([one, str(twice)], "is also in"),
        ([one, one], "is also in"),
        ([one, large], "64 px"),
        ([one, moved], "subject 'O001' is in domain X"),
        ([one, str(tmp_path / "nothing")], "no face set here"),
    ):
        with pytest.raises(DataError, match=said):
            merge(uris, str(tmp_path / "out"))
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()
    with pytest.raises(DataError, match="already exists here"):
        merge([one, str(singles / "C")], one)


def test_a_damaged_shard_is_not_copied(singles, tmp_path):
    copy = shutil.copytree(singles / "C", tmp_path / "copy")
    shard = copy / read_manifest(str(copy)).shards[0].name
    raw = bytearray(shard.read_bytes())
    raw[raw.index(b"\xff\xd8\xff") + 700] ^= 1  # within a JPEG, which the index does not read
    shard.write_bytes(raw)
    with pytest.raises(DataError, match="row group 0: bytes changed"):
        merge([str(singles / "O"), str(copy)], str(tmp_path / "out"))
    assert not (tmp_path / "out" / MANIFEST_NAME).exists()


def test_the_command_joins_sets(singles, tmp_path):
    result = CliRunner().invoke(data, ["merge", str(singles / "O"), str(singles / "C"), str(tmp_path / "oc")])
    assert result.exit_code == 0
    assert "96 faces in 2 shards" in result.output
