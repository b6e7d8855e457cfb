"""Shards and their manifest: same records, same bytes; a broken record or set is refused by name."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fasray import storage
from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.record import INDEX_COLUMNS, OPTIONAL_COLUMNS, RECORD_SCHEMA, schema_with
from fasray.faces.sets.manifest import MANIFEST_NAME, read_manifest
from fasray.faces.sets.merge import merge
from fasray.faces.sets.reading import read_index
from fasray.faces.sets.shards import write_shards
from fasray.faces.sets.verify import verify

SIZE = 16


def record(number, **changes):
    image = jpeg.encode(np.full((SIZE, SIZE, 3), number % 251, np.uint8))
    live = number % 3 == 0
    row = {
        "image": image,
        "label": int(live),
        "domain": "O",
        "attack_type": "live" if live else "print",
        "instrument": "" if live else "print1",
        "subject": f"s{number // 6}",
        "video": f"v{number // 3}-{live}",
        "frame": number % 3,
        "camera": "phone1",
        "session": "1",
        "split": "train",
        "depth": bytes([7 if live else 0]) * 32 * 32,
        "parsing": bytes([1 if live else 0]) * 64 * 64,
        "landmarks5": None,
        "crop_matrix": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "detection_score": 0.5,
        "source_path": f"v{number}",
        "sha256": hashlib.sha256(image).hexdigest(),
        "label_source": "exact",
        **dict.fromkeys(OPTIONAL_COLUMNS, ""),
    }
    return row | changes


def write(folder, rows, **options):
    return write_shards(rows, str(folder), {"made by": "a test"}, image_size=SIZE, **options)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_records_give_the_same_bytes(tmp_path):
    rows = [record(n) for n in range(30)]
    write(tmp_path / "rows", rows, rows_per_shard=11, rows_per_group=4)
    batches = pa.Table.from_pylist(rows, schema=RECORD_SCHEMA).to_batches(max_chunksize=7)
    write(tmp_path / "batches", batches, rows_per_shard=11, rows_per_group=4)
    assert files(tmp_path / "rows") == files(tmp_path / "batches")
    assert len(files(tmp_path / "rows")) == 4


def test_the_index_is_read_in_the_order_written(tmp_path):
    rows = [record(n) for n in range(30)]
    manifest = write(tmp_path, rows, rows_per_shard=11)
    index = read_index(str(tmp_path))
    for name in INDEX_COLUMNS:
        assert getattr(index, name).tolist() == [row[name] for row in rows]
    assert [shard.rows for shard in manifest.shards] == [11, 11, 8]
    assert manifest == read_manifest(str(tmp_path))


def groups_of(number):
    return {"sex": "female" if number % 2 else "", "ethnicity": "africa", "age_group": "", "modality": "rgb"}


def test_optional_columns_are_stored_only_where_one_has_a_value_and_read_everywhere(tmp_path):
    plain = [record(n) for n in range(6)]
    grouped = [record(n, **groups_of(n)) for n in range(6, 12)]
    manifest = write(tmp_path / "set", [*plain, *grouped], rows_per_shard=6)
    assert (manifest.format_version, [shard.optional for shard in manifest.shards]) == (
        2,
        [(), ("ethnicity", "sex", "modality")],
    )
    assert pq.read_schema(tmp_path / "set" / "shard-00000.parquet").equals(schema_with(()))
    index = read_index(str(tmp_path / "set"))
    for name in OPTIONAL_COLUMNS:
        assert getattr(index, name).tolist() == [row[name] for row in (*plain, *grouped)]
    assert verify(str(tmp_path / "set")) == []
    assert index.known_columns().keys() == set(INDEX_COLUMNS) - {"age_group"}


def test_a_set_without_groups_is_of_the_first_version_with_the_bytes_of_records_that_lack_the_columns(tmp_path):
    rows = [record(n) for n in range(6)]
    manifest = write(tmp_path / "set", rows)
    without = [{name: value for name, value in row.items() if name not in OPTIONAL_COLUMNS} for row in rows]
    write(tmp_path / "lacking", without)
    write(tmp_path / "batches", pa.Table.from_pylist(without, schema=schema_with(())).to_batches())
    assert files(tmp_path / "set") == files(tmp_path / "lacking") == files(tmp_path / "batches")
    text = (tmp_path / "set" / MANIFEST_NAME).read_text()
    assert manifest.format_version == 1
    assert "optional" not in text


def test_merged_sets_keep_who_has_groups(tmp_path):
    plain = [record(n, domain="C", subject=f"C{n}", video=f"C{n}", split="test") for n in range(6)]
    write(tmp_path / "plain", plain)
    write(tmp_path / "groups", [record(n, **groups_of(n)) for n in range(6)])
    manifest = merge([str(tmp_path / "plain"), str(tmp_path / "groups")], str(tmp_path / "both"))
    assert manifest.format_version == 2
    assert verify(str(tmp_path / "both")) == []
    assert read_index(str(tmp_path / "both")).ethnicity.tolist() == [""] * 6 + ["africa"] * 6


def test_a_person_of_two_ethnicities_is_named(tmp_path):
    rows = [record(n) for n in range(6)]
    rows[0] |= {"ethnicity": "africa"}
    write(tmp_path / "one", rows)
    assert verify(str(tmp_path / "one")) == []
    rows[4] |= {"ethnicity": "east asia"}
    write(tmp_path / "two", rows)
    assert [defect.what for defect in verify(str(tmp_path / "two"))] == [
        "subject 's0' of domain O has ethnicity 'africa' and 'east asia'"
    ]


def test_a_set_of_a_later_release_is_refused_by_its_version(tmp_path):
    write(tmp_path, [record(n) for n in range(6)])
    path = tmp_path / MANIFEST_NAME
    later = json.loads(path.read_text())
    path.write_text(json.dumps(later | {"format_version": 3}))
    with pytest.raises(DataError, match="format version 3, this release reads 1 to 2"):
        read_manifest(str(tmp_path))


def test_sets_live_on_any_store(tmp_path):
    rows = [record(n) for n in range(12)]
    there = write_shards(rows, "memory://bucket/set", {"made by": "a test"}, image_size=SIZE)
    here = write(tmp_path, rows)
    assert there == here
    assert read_index("memory://bucket/set").video.tolist() == read_index(str(tmp_path)).video.tolist()


def test_images_are_stored_as_they_are_and_pages_have_checksums(tmp_path):
    manifest = write(tmp_path, [record(n) for n in range(20)], rows_per_group=8)
    path = tmp_path / manifest.shards[0].name
    group = pq.read_metadata(path).row_group(0)
    codecs = {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}
    assert codecs.pop("image") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}
    data = bytearray(path.read_bytes())
    image = record(9)["image"]
    data[data.index(image) + len(image) // 2] ^= 1
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(pa.BufferReader(bytes(data)), page_checksum_verification=True)


def test_the_manifest_hash_covers_bytes_and_card(tmp_path):
    rows = [record(n) for n in range(6)]
    one = write(tmp_path / "a", rows)
    other_card = write_shards(rows, str(tmp_path / "b"), {"made by": "somebody"}, image_size=SIZE)
    other_row = write(tmp_path / "c", [*rows[:5], record(5, source_path="elsewhere")])
    assert len({one.hash, other_card.hash, other_row.hash}) == 3


def test_a_folder_without_manifest_is_not_a_set(tmp_path):
    write(tmp_path, [record(n) for n in range(6)])
    (tmp_path / MANIFEST_NAME).unlink()
    with pytest.raises(DataError, match=r"manifest\.json is missing.*\n.*fasray data synth"):
        read_index(str(tmp_path))


def test_an_interrupted_attempt_is_replaced(tmp_path):
    write(tmp_path / "set", [record(n) for n in range(30)], rows_per_shard=5)
    (tmp_path / "set" / MANIFEST_NAME).unlink()
    write(tmp_path / "set", [record(n) for n in range(6)])
    write(tmp_path / "clean", [record(n) for n in range(6)])
    assert files(tmp_path / "set") == files(tmp_path / "clean")


def test_a_finished_set_is_not_overwritten(tmp_path):
    write(tmp_path, [record(n) for n in range(6)])
    before = files(tmp_path)
    with pytest.raises(DataError, match="already exists here"):
        write(tmp_path, [record(n) for n in range(7)])
    assert files(tmp_path) == before


def test_no_records_are_no_set(tmp_path):
    with pytest.raises(DataError, match="no face records"):
        write(tmp_path, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "label is neither"),
        ({"label": 1}, "label and attack_type disagree"),
        ({"attack_type": "puppet"}, "attack_type 'puppet' is not one of"),
        ({"split": "val"}, "split 'val' is not one of"),
        ({"subject": ""}, "subject is empty"),
        ({"subject": None}, "subject is null"),
        ({"frame": -1}, "frame is negative"),
        ({"video": "v0-True", "frame": 0}, "'v0-True' has frame 0 twice"),
    ],
)
def test_a_bad_record_is_refused_by_shard_and_row(tmp_path, change, message):
    rows = [record(n) for n in range(8)]
    rows[7] |= change
    with pytest.raises(DataError, match=message) as caught:
        write(tmp_path, rows, rows_per_shard=5)
    assert caught.value.where == "shard-00001.parquet row 2"
    assert not storage.exists(str(tmp_path / MANIFEST_NAME))


def test_reading_checks_records_again(tmp_path):
    rows = [record(n) for n in range(8)]
    manifest = write(tmp_path, rows)
    rows[3] |= {"split": "val"}
    pq.write_table(pa.Table.from_pylist(rows, schema=schema_with(())), tmp_path / manifest.shards[0].name)
    with pytest.raises(DataError, match="split 'val'") as caught:
        read_index(str(tmp_path))
    assert caught.value.where == "shard-00000.parquet row 3"


def test_a_missing_or_unknown_column_is_refused(tmp_path):
    lacking = record(0)
    del lacking["split"]
    with pytest.raises(DataError, match="split"):
        write(tmp_path, [lacking])
    with pytest.raises(DataError, match="colour"):
        write(tmp_path, [record(0, colour="red")])


def test_an_edited_manifest_is_refused(tmp_path):
    write(tmp_path, [record(n) for n in range(6)])
    path = tmp_path / MANIFEST_NAME
    text = path.read_text()
    edited = json.loads(text)
    edited["rows"] = 5
    for content in (json.dumps(edited), text.replace(" ", "\t", 1), text[:-20]):
        path.write_text(content)
        with pytest.raises(DataError, match="manifest"):
            read_manifest(str(tmp_path))


def test_jpeg_keeps_colour_and_refuses_what_is_cut_short():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = (200, 40, 90)
    data = jpeg.encode(image)
    assert np.abs(jpeg.decode(data).astype(int) - image).max() < 12
    assert jpeg.decode(data[: len(data) // 2]) is None
    assert jpeg.decode(b"") is None
    assert jpeg.decode(b"\xff\xd8 no picture \xff\xd9") is None
