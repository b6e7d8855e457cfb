"""Whatever happens to the files of a face set, verify names it."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.sets.manifest import MANIFEST_NAME, read_manifest
from fasray.faces.sets.reading import Defect
from fasray.faces.sets.shards import write_shards
from fasray.faces.sets.verify import verify
from fasray.faces.synthetic.card import CARD_NAME


def rewrite(source, target, change):
    """Write the rows of a set anew after ``change(rows)``, small row groups, with a manifest that fits them."""
    manifest = read_manifest(str(source))
    rows = [row for shard in manifest.shards for row in pq.read_table(source / shard.name).to_pylist()]
    change(rows)
    write_shards(rows, str(target), {}, image_size=manifest.image_size, rows_per_group=40)
    return verify(str(target))


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def assert_flips_are_found(source: Path, folder: Path, count: int) -> None:
    shutil.copytree(source, folder)
    manifest = read_manifest(str(source))
    sizes = [shard.bytes for shard in manifest.shards]
    rng = np.random.default_rng(count)
    for _ in range(count):
        shard = manifest.shards[int(rng.choice(len(sizes), p=np.array(sizes) / sum(sizes)))]
        bit = int(rng.integers(shard.bytes * 8))
        flip(folder / shard.name, bit)
        place = [
            number
            for number, group in enumerate(shard.row_groups)
            if group.offset <= bit // 8 < group.offset + group.bytes
        ]
        found = verify(str(folder))
        assert [(f.file, f.row_group) for f in found] == [(shard.name, place[0] if place else None)]
        flip(folder / shard.name, bit)
    assert verify(str(folder)) == []


def several_shards(made_once, folder):
    manifest = read_manifest(str(made_once))
    rows = [row for shard in manifest.shards for row in pq.read_table(made_once / shard.name).to_pylist()]
    write_shards(rows, str(folder), {}, image_size=manifest.image_size, rows_per_shard=60, rows_per_group=16)
    return folder


def test_a_fresh_set_is_sound(made_once):
    calls = []
    assert verify(str(made_once), lambda done, total: calls.append((done, total))) == []
    assert calls == [(1, 1)]


def test_25_flipped_bits_are_found_where_they_are(made_once, tmp_path):
    assert_flips_are_found(several_shards(made_once, tmp_path / "many"), tmp_path / "flipped", 25)


@pytest.mark.chaos
def test_200_flipped_bits_are_found_where_they_are(made_once, tmp_path):
    assert_flips_are_found(several_shards(made_once, tmp_path / "many"), tmp_path / "flipped", 200)


def test_any_flipped_bit_of_the_manifest_is_found(face_set):
    path = face_set / MANIFEST_NAME
    rng = np.random.default_rng(1)
    for bit in rng.integers(path.stat().st_size * 8, size=60).tolist():
        flip(path, bit)
        assert [finding.file for finding in verify(str(face_set))] == [MANIFEST_NAME]
        flip(path, bit)


def test_truncated_missing_and_extra_shards_are_found(made_once, tmp_path):
    folder = several_shards(made_once, tmp_path / "many")
    names = [shard.name for shard in read_manifest(str(folder)).shards]
    data = (folder / names[0]).read_bytes()
    (folder / names[0]).write_bytes(data[:-100])
    (folder / names[1]).unlink()
    (folder / "shard-00077.parquet").write_bytes(data)
    (folder / "notes.txt").write_text("no shard, no matter")
    found = {finding.file: finding.what for finding in verify(str(folder))}
    assert set(found) == {names[0], names[1], "shard-00077.parquet"}
    assert "truncated" in found[names[0]]
    assert "missing" in found[names[1]]
    assert "not in the manifest" in found["shard-00077.parquet"]


def test_an_empty_shard_is_found(face_set):
    name = read_manifest(str(face_set)).shards[0].name
    (face_set / name).write_bytes(b"")
    assert [finding.file for finding in verify(str(face_set))] == [name]


def test_a_missing_manifest_is_found_and_an_empty_folder_is_no_set(face_set, tmp_path):
    (face_set / MANIFEST_NAME).unlink()
    assert [finding.file for finding in verify(str(face_set))] == [MANIFEST_NAME]
    with pytest.raises(DataError, match="no face set here"):
        verify(str(tmp_path / "nothing"))


def test_the_manifest_of_another_set_is_found(made_once, face_set, tmp_path):
    other = several_shards(made_once, tmp_path / "other")
    shutil.copy(other / MANIFEST_NAME, face_set / MANIFEST_NAME)
    assert read_manifest(str(face_set)).shards[0].name in {finding.file for finding in verify(str(face_set))}


def test_a_changed_or_missing_card_is_found(face_set):
    path = face_set / CARD_NAME
    path.write_text(path.read_text().replace("no evidence", "evidence"))
    assert [finding.file for finding in verify(str(face_set))] == [CARD_NAME]
    path.unlink()
    assert [finding.file for finding in verify(str(face_set))] == [CARD_NAME]


def test_a_jpeg_that_does_not_decode_is_found_by_record(made_once, tmp_path):
    def damage(rows):
        rows[45]["image"] = rows[45]["image"][:200]
        rows[45]["sha256"] = hashlib.sha256(rows[45]["image"]).hexdigest()

    found = rewrite(made_once, tmp_path / "new", damage)
    assert [(finding.row_group, finding.what.split(": ")[1]) for finding in found] == [
        (1, "the image is not a whole JPEG")
    ]
    assert "frame" in found[0].what


def test_an_exchanged_or_odd_sized_image_is_found(made_once, tmp_path):
    def damage(rows):
        rows[0]["image"] = rows[1]["image"]
        small = jpeg.encode(np.zeros((20, 20, 3), np.uint8))
        rows[2] |= {"image": small, "sha256": hashlib.sha256(small).hexdigest()}

    found = rewrite(made_once, tmp_path / "new", damage)
    assert ["sha256" in found[0].what, "20x20" in found[1].what, len(found)] == [True, True, 2]


def test_a_subject_in_two_splits_is_found(made_once, tmp_path):
    def damage(rows):
        for row in rows:
            if row["video"] == "O001-s1-live":
                row["split"] = "test"

    found = rewrite(made_once, tmp_path / "new", damage)
    assert [finding.what for finding in found] == ["subject 'O001' of domain O is in splits 'test' and 'train'"]


def test_people_and_pictures_that_domains_share_are_found_only_by_a_deep_look(made_once, tmp_path):
    def damage(rows):
        copied = next(row for row in rows if row["video"] == "O002-s1-live")
        (place,) = [row for row in rows if row["video"] == "I002-s1-live" and row["frame"] == 1]
        place |= {name: copied[name] for name in ("image", "sha256")}
        for row in rows:
            if row["subject"] == "I003":
                row["subject"] = "O003"

    assert rewrite(made_once, tmp_path / "new", damage) == []
    found = [finding.what for finding in verify(str(tmp_path / "new"), deep=True)]
    assert found[0] == "subject 'O003' is in domains I, O"
    assert found[1].startswith("videos 'O002-s1-live' (O, dev) and 'I002-s1-live' (I, dev) look the same: frame 0 and")
    assert len(found) == 2


def test_a_sound_set_is_sound_on_a_deep_look(made_once):
    assert verify(str(made_once), deep=True) == []


def test_depth_of_an_attack_and_unknown_parsing_are_found(made_once, tmp_path):
    def damage(rows):
        spoof = next(row for row in rows if row["label"] == 0)
        spoof["depth"] = bytes(1023) + b"\x01"
        rows[0]["parsing"] = bytes([99]) * 4096

    found = rewrite(made_once, tmp_path / "new", damage)
    assert {finding.what.split(": ")[1] for finding in found} == {
        "unknown parsing class",
        "an attack with depth or parsing that is not zero",
    }


def test_a_finding_reads_as_one_line():
    finding = Defect("shard-00000.parquet", 3, "bytes changed")
    assert str(finding) == "shard-00000.parquet row group 3: bytes changed"
    assert str(dataclasses.replace(finding, row_group=None)) == "shard-00000.parquet: bytes changed"
