"""Writing Parquet face shards: the same records give the same bytes, and every record is checked."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fasray import storage
from fasray.errors import DataError
from fasray.faces.record import (
    ATTACK_TYPES,
    INDEX_COLUMNS,
    LIVE,
    OPTIONAL_COLUMNS,
    RECORD_SCHEMA,
    SPLITS,
    SPOOF,
    schema_with,
    values_known,
    with_unknown,
)
from fasray.faces.sets import manifest as manifests
from fasray.faces.sets.manifest import Document, Manifest, RowGroup, Shard

ROWS_PER_SHARD = 1024
ROWS_PER_GROUP = 128
"""A row group is what a streaming reader shuffles by: small enough to mix, large enough to read at full speed."""

_NEVER_EMPTY = ("domain", "subject", "video")
_UNKNOWN = dict.fromkeys(OPTIONAL_COLUMNS, "")


def write_shards(
    records: Iterable[Mapping[str, Any] | pa.RecordBatch],
    uri: str,
    card: dict[str, Any],
    *,
    image_size: int,
    documents: Mapping[str, bytes] | None = None,
    rows_per_shard: int = ROWS_PER_SHARD,
    rows_per_group: int = ROWS_PER_GROUP,
) -> Manifest:
    """Write face records, in the order given, as Parquet shards, and their manifest last.

    At most one shard is held in memory. What an interrupted earlier attempt left behind is replaced.

    Args:
        records: rows by column name or record batches, as ``RECORD_SCHEMA`` has them; optional columns may be missing.
        uri: folder or ``s3://`` prefix to write to.
        card: how the set was prepared, JSON values.
        image_size: side of the square crops, pixels.
        documents: readable files to put next to the shards, by name.
        rows_per_shard: rows of every shard but the last.
        rows_per_group: rows of every Parquet row group but the last of a shard.

    Raises:
        DataError: a finished set already exists at ``uri``, there are no records, or a record breaks a rule of
            ``check_columns`` (named by shard and row).
    """
    storage.check_access(uri)
    if storage.exists(storage.join(uri, manifests.MANIFEST_NAME)):
        raise DataError("a face set already exists here", where=uri, remedy="choose another place, or delete it first")
    seen: set[tuple[str, int]] = set()
    shards: list[Shard] = []
    for number, table in enumerate(_tables(records, rows_per_shard)):
        shards.append(write_shard(uri, shard_name(number), table, seen, rows_per_group=rows_per_group))
    return finish_set(uri, shards, card, image_size=image_size, documents=documents)


def write_shard(
    uri: str, name: str, table: pa.Table, seen: set[tuple[str, int]], *, rows_per_group: int = ROWS_PER_GROUP
) -> Shard:
    """Check one shard's table and write it whole; a shard of that name is replaced.

    Args:
        uri: folder or ``s3://`` prefix.
        name: of the shard.
        table: rows of ``RECORD_SCHEMA``.
        seen: see ``check_columns``.
        rows_per_group: rows of every Parquet row group but the last.

    Raises:
        DataError: a record breaks a rule of ``check_columns``.
    """
    check_columns(table, name, seen)
    known = values_known(table)
    data = _parquet_bytes(table.select(schema_with(known).names), rows_per_group)
    storage.write_bytes(storage.join(uri, name), data)
    return _describe(name, data, known)


def finish_set(
    uri: str,
    shards: Iterable[Shard],
    card: dict[str, Any],
    *,
    image_size: int,
    documents: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Make a face set of shards that are written: remove what else was begun, write documents, then the manifest.

    Raises:
        DataError: there are no shards.
    """
    shards = tuple(shards)
    if not shards:
        raise DataError("there are no face records to write", where=uri, remedy="check what the records are made from")
    named = {shard.name for shard in shards}
    for name in storage.listing(uri):
        if is_shard_name(name) and name not in named:
            storage.remove(storage.join(uri, name))
    storage.remove_leftovers(uri)
    papers = []
    for name, data in sorted((documents or {}).items()):
        storage.write_bytes(storage.join(uri, name), data)
        papers.append(Document(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest()))
    manifest = manifests.make_manifest(image_size, shards, tuple(papers), card)
    storage.write_bytes(storage.join(uri, manifests.MANIFEST_NAME), manifest.to_bytes())
    return manifest


def shard_name(number: int) -> str:
    """Return the name of the shard of that number."""
    return f"shard-{number:05d}.parquet"


def is_shard_name(name: str) -> bool:
    """Return whether a file of this name would be a shard."""
    return name.endswith(".parquet")


def check_columns(table: pa.Table, shard: str, seen: set[tuple[str, int]]) -> None:
    """Check the index columns of one shard.

    Rules: nothing null; ``label`` is 0 or 1 and 1 exactly for attack type ``live``; attack types and splits are known
    words; domain, subject and video are not empty; frames count from 0; ``(video, frame)`` occurs once.

    Args:
        table: one shard, at least its index columns.
        shard: its name, for the message.
        seen: keys of the shards before; those of this one are added.

    Raises:
        DataError: naming the shard and the first offending row.
    """
    for name in INDEX_COLUMNS:
        if table.column(name).null_count:
            _refuse(shard, int(np.argmax(table.column(name).is_null().to_numpy())), f"{name} is null")
    column = {name: np.asarray(table.column(name).to_pylist()) for name in INDEX_COLUMNS}
    for name in _NEVER_EMPTY:
        _check(shard, column[name] != "", f"{name} is empty")
    _check_words(shard, "attack_type", column["attack_type"], ATTACK_TYPES)
    _check_words(shard, "split", column["split"], SPLITS)
    _check(shard, np.isin(column["label"], (LIVE, SPOOF)), f"label is neither {LIVE} (live) nor {SPOOF} (spoof)")
    agree = (column["label"] == LIVE) == (column["attack_type"] == "live")
    _check(shard, agree, "label and attack_type disagree about live and spoof")
    _check(shard, column["frame"] >= 0, "frame is negative")
    for row, key in enumerate(zip(column["video"].tolist(), column["frame"].tolist(), strict=True)):
        if key in seen:
            _refuse(shard, row, f"video {key[0]!r} has frame {key[1]} twice")
        seen.add(key)


def _check_words(shard: str, name: str, values: np.ndarray[Any, Any], known: tuple[str, ...]) -> None:
    bad = ~np.isin(values, known)
    if bad.any():
        row = int(np.argmax(bad))
        _refuse(shard, row, f"{name} {str(values[row])!r} is not one of {', '.join(known)}")


def _check(shard: str, good: np.ndarray[Any, Any], what: str) -> None:
    if not good.all():
        _refuse(shard, int(np.argmin(good)), what)


def _refuse(shard: str, row: int, what: str) -> None:
    raise DataError(what, where=f"{shard} row {row}", remedy="correct the record and prepare the face set again")


def _tables(records: Iterable[Mapping[str, Any] | pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """Cut a stream of rows or batches into tables of ``rows`` rows."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in _batches(records):
        waiting.append(batch)
        count += batch.num_rows
        while count >= rows:
            table = pa.Table.from_batches(waiting, RECORD_SCHEMA)
            yield table.slice(0, rows).combine_chunks()
            waiting = table.slice(rows).to_batches()
            count -= rows
    if count:
        yield pa.Table.from_batches(waiting, RECORD_SCHEMA).combine_chunks()


def _batches(records: Iterable[Mapping[str, Any] | pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for number, record in enumerate(records):
        try:
            if isinstance(record, pa.RecordBatch):
                whole = with_unknown(pa.Table.from_batches([record])).select(RECORD_SCHEMA.names)
                yield from whole.cast(RECORD_SCHEMA).to_batches()
            else:
                _check_keys(record)
                yield pa.RecordBatch.from_pylist([{**_UNKNOWN, **record}], schema=RECORD_SCHEMA)
        except (pa.ArrowException, KeyError) as error:
            what = f"the record does not fit the schema: {error}"
            raise DataError(what, where=f"record {number}", remedy="see fasray.faces.record.RECORD_SCHEMA") from error


def _check_keys(record: Mapping[str, Any]) -> None:
    """Unknown and missing keys raise KeyError; Arrow would drop or null them."""
    wrong = set(record) ^ set(RECORD_SCHEMA.names)
    wrong -= {field.name for field in RECORD_SCHEMA if field.nullable} | set(OPTIONAL_COLUMNS)
    if wrong:
        raise KeyError(f"unknown or missing columns {sorted(wrong)}")


def _leaves(schema: pa.Schema) -> list[str]:
    """Return the Parquet column paths of the schema (lists have a nested leaf)."""
    nested = pa.types.is_fixed_size_list
    return [f"{f.name}.list.element" if nested(f.type) else f.name for f in schema]


def _parquet_bytes(table: pa.Table, rows_per_group: int) -> bytes:
    """Return the Parquet file of a table; JPEG bytes stay as they are, all other columns are ZSTD."""
    sink, index = io.BytesIO(), [name for name in INDEX_COLUMNS if name in table.column_names]
    pq.write_table(
        table,
        sink,
        row_group_size=rows_per_group,
        compression={leaf: "NONE" if leaf == "image" else "ZSTD" for leaf in _leaves(table.schema)},
        use_dictionary=[name for name in index if name != "frame"],
        write_statistics=index,
        write_page_checksum=True,
    )
    return sink.getvalue()


def _describe(name: str, data: bytes, optional: tuple[str, ...]) -> Shard:
    footer = pq.read_metadata(io.BytesIO(data))
    groups = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        chunks = [group.column(i) for i in range(group.num_columns)]
        starts = [c.dictionary_page_offset if c.has_dictionary_page else c.data_page_offset for c in chunks]
        begin = min(starts)
        end = max(start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True))
        crc = zlib.crc32(data[begin:end])
        groups.append(RowGroup(rows=group.num_rows, offset=begin, bytes=end - begin, crc32=crc))
    digest = hashlib.sha256(data).hexdigest()
    return Shard(
        name=name, rows=footer.num_rows, bytes=len(data), sha256=digest, row_groups=tuple(groups), optional=optional
    )
