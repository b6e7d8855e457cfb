"""Reading shards. Every reader opens them here, so that every kind of damage is the same DataError.

The error names the file and, where it is known, the row group; it says what is wrong and what to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import mmap
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import pyarrow as pa
import pyarrow.parquet as pq

from fasray import storage
from fasray.errors import DataError
from fasray.faces.face_index import FaceIndex
from fasray.faces.record import INDEX_COLUMNS, OPTIONAL_COLUMNS, schema_with, with_unknown
from fasray.faces.sets.manifest import Document, Manifest, RowGroup, Shard, read_manifest
from fasray.faces.sets.shards import check_columns
from fasray.storage.parquet import DAMAGE


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong with a face set: the file, its row group if known, and what."""

    file: str
    row_group: int | None
    what: str

    def __str__(self) -> str:
        place = self.file if self.row_group is None else f"{self.file} row group {self.row_group}"
        return f"{place}: {self.what}"


class ShardFile:
    """An open shard, from :func:`open_shard`.

    Args:
        parquet: the file.
        uri: of the set.
        shard: its entry in the manifest.
    """

    def __init__(self, parquet: pq.ParquetFile, uri: str, shard: Shard) -> None:
        self._parquet, self._uri, self._shard = parquet, uri, shard

    def row_groups(self, columns: Iterable[str]) -> Iterator[pa.Table]:
        """Yield some columns of every row group, in order; DataError as :meth:`read_row_group`."""
        for number in range(len(self._shard.row_groups)):
            yield self.read_row_group(number, columns)

    def read_row_group(self, number: int, columns: Iterable[str] | None = None) -> pa.Table:
        """Return some or all columns of a row group, their page checksums verified; DataError if it is damaged."""
        with _naming_damage(self._uri, self._shard.name, number):
            return _completed(partial(self._parquet.read_row_group, number), columns, self._shard)

    def read(self, columns: Iterable[str]) -> pa.Table:
        """Return some columns of the whole shard, their page checksums verified; DataError if it is damaged."""
        with _naming_damage(self._uri, self._shard.name):
            return _completed(self._parquet.read, columns, self._shard)


@contextlib.contextmanager
def open_shard(uri: str, shard: Shard, data: bytes | None = None) -> Iterator[ShardFile]:
    """Open a shard for reading.

    Args:
        uri: of the set.
        shard: its entry in the manifest.
        data: its bytes, if they were read before.

    Raises:
        DataError: the shard is missing or unreadable, or has other rows or columns than it should.
        StorageError: the store does not answer, or access is denied.
    """
    with contextlib.ExitStack() as opened:
        with _naming_damage(uri, shard.name):
            source = storage.open_read(storage.join(uri, shard.name)) if data is None else io.BytesIO(data)
            opened.enter_context(source)
            parquet = opened.enter_context(pq.ParquetFile(source, pre_buffer=True, page_checksum_verification=True))
        if not parquet.schema_arrow.equals(schema_with(shard.optional)):
            raise _damage("the columns are not those of a face record", uri, shard.name)
        if parquet.metadata.num_rows != shard.rows:
            raise _damage(f"{parquet.metadata.num_rows} rows, the manifest says {shard.rows}", uri, shard.name)
        if parquet.num_row_groups != len(shard.row_groups):
            what = f"{parquet.num_row_groups} row groups, the manifest says {len(shard.row_groups)}"
            raise _damage(what, uri, shard.name)
        yield ShardFile(parquet, uri, shard)


def read_columns(uri: str, shard: Shard, columns: Iterable[str]) -> pa.Table:
    """Return some columns of one shard; DataError as :func:`open_shard`."""
    with open_shard(uri, shard) as file:
        return file.read(columns)


def read_index(uri: str, manifest: Manifest | None = None) -> FaceIndex:
    """Return the index columns of all shards in manifest order; the pixels are not read.

    Args:
        uri: of the set.
        manifest: of the set; None: it is read, too.

    Raises:
        DataError: a shard is missing or damaged, or a record breaks a rule of ``check_columns`` (named by shard and
            row).
    """
    manifest = manifest or read_manifest(uri)
    seen: set[tuple[str, int]] = set()
    tables = storage.map_concurrently(lambda shard: read_columns(uri, shard, INDEX_COLUMNS), manifest.shards, uri)
    for shard, table in zip(manifest.shards, tables, strict=True):
        check_columns(table, shard.name, seen)
    merged = pa.concat_tables(tables)
    return FaceIndex.of({name: merged.column(name).to_pylist() for name in INDEX_COLUMNS})


def fetch_row_group(uri: str, shard: str, number: int, group: RowGroup, columns: Iterable[str]) -> pa.Table:
    """Return some columns of one row group, with a single ranged request for its bytes.

    Args:
        uri: of the set.
        shard: name of the shard.
        number: of the row group in its shard.
        group: its entry in the manifest, which its bytes must match.
        columns: names.

    Raises:
        DataError: the row group is missing or damaged.
        StorageError: the store does not answer, or access is denied.
    """
    where = storage.join(uri, shard)
    with _naming_damage(uri, shard, number):
        with storage.open_read(where) as file:
            file.seek(group.offset)
            data = file.read(group.bytes)
        if zlib.crc32(data) != group.crc32:
            raise _damage(_CHANGED, uri, shard, number)
        file_part = mmap.mmap(-1, group.offset + group.bytes)  # pages before the offset are never touched
        file_part[group.offset :] = data
        with pq.ParquetFile(pa.BufferReader(pa.py_buffer(file_part)), metadata=_footer(where)) as parquet:
            return parquet.read_row_group(number, columns=list(columns), use_threads=False)


def read_whole(uri: str, file: Shard | Document) -> bytes:
    """Return the bytes of a shard or document if they are those that the manifest was written for.

    Raises:
        DataError: they are not, or the file is missing.
        StorageError: the store does not answer, or access is denied.
    """
    data = storage.read_bytes(storage.join(uri, file.name))
    for defect in byte_defects(file, data):
        raise _damage(defect.what, uri, defect.file, defect.row_group)
    return data


def byte_defects(file: Shard | Document, data: bytes) -> list[Defect]:
    """Return how the bytes of a shard or document differ from what the manifest says; changes by row group."""
    if len(data) != file.bytes:
        state = "truncated" if len(data) < file.bytes else "too long"
        return [Defect(file.name, None, f"{state}: {len(data)} bytes, the manifest says {file.bytes}")]
    if hashlib.sha256(data).hexdigest() == file.sha256:
        return []
    if isinstance(file, Document):
        return [Defect(file.name, None, "the file was changed: its sha256 is not the manifest's")]
    found = [
        Defect(file.name, number, _CHANGED)
        for number, group in enumerate(file.row_groups)
        if zlib.crc32(data[group.offset : group.offset + group.bytes]) != group.crc32
    ]
    return found or [Defect(file.name, None, "bytes of the Parquet header or footer changed")]


def check_shards(uri: str, manifest: Manifest) -> None:
    """Make sure that every shard of the manifest is there at its full length.

    Raises:
        DataError: one is not.
        StorageError: the store does not answer, or access is denied.
    """
    sizes = storage.sizes(uri)
    for shard in manifest.shards:
        if shard.name not in sizes:
            raise _damage("the shard is missing", uri, shard.name)
        if sizes[shard.name] != shard.bytes:
            raise _damage(f"{sizes[shard.name]} bytes, the manifest says {shard.bytes}", uri, shard.name)


def _completed(read: Callable[..., pa.Table], columns: Iterable[str] | None, shard: Shard) -> pa.Table:
    """Return the columns asked for, or all; optional ones that the shard does not have are empty."""
    if columns is None:
        return with_unknown(read())
    wanted = list(columns)
    present = [name for name in wanted if name in shard.optional or name not in OPTIONAL_COLUMNS]
    table = read(present)
    return table if present == wanted else with_unknown(table).select(wanted)


_CHANGED = "bytes changed: the checksum does not match the manifest's"


def _damage(what: str, uri: str, shard: str, row_group: int | None = None) -> DataError:
    where = storage.join(uri, shard) + ("" if row_group is None else f" row group {row_group}")
    return DataError(what, where=where, remedy=f"run 'fasray data verify {uri}' and restore what it names")


@contextlib.contextmanager
def _naming_damage(uri: str, shard: str, row_group: int | None = None) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise _damage(f"cannot be read: {error}", uri, shard, row_group) from error


@lru_cache(maxsize=256)
def _footer(where: str) -> pq.FileMetaData:
    with storage.open_read(where) as file:
        return pq.read_metadata(file)
