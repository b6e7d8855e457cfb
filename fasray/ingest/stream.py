"""Streamed faces: for data larger than a node's disk, read by Ray Data row group by row group, held only until used.

Each worker has one iterator, which follows the worker's read schedule (:mod:`fasray.faces.loading.read_schedule`): one
Ray Data task reads a row group with a single ranged request, checks it against the manifest's checksum, and decodes the
rows that the worker takes. The worker holds the rows that it does not need yet. Whatever the order in which tasks end,
the schedule alone decides which rows make up a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import DataContext, Dataset, ExecutionResources

from fasray import ray_private, storage
from fasray.errors import DataError, FasrayError, StorageError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import Excluded, Faces, Pixels
from fasray.faces.loading.read_schedule import RowGroupRead
from fasray.faces.loading.row_groups import Rows, locations, row_group_of
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE
from fasray.faces.sets.manifest import Manifest, RowGroup, read_manifest
from fasray.faces.sets.reading import check_shards, fetch_row_group, read_index
from fasray.ingest.decode import COLUMNS, decode, reason
from fasray.ingest.ray_data import silence

_WINDOW = 256
"""Reads of one Ray Data execution: starting the next execution takes time, planning very many reads takes memory."""
_BLOCKS_AHEAD = 4
"""Decoded row groups that may wait in the object store, for each CPU that decodes."""


class FaceStream:
    """All faces of a set, for a worker that announces which it will pick.

    Args:
        uri: folder of the shards.
        manifest: their manifest.
        index: their index.
        cpus: Ray Data tasks at once.
    """

    def __init__(self, uri: str, manifest: Manifest, index: FaceIndex, cpus: int = 1) -> None:
        self.index, self.image_size = index, manifest.image_size
        self.excluded: tuple[Excluded, ...] = ()
        self.valid = np.ones(len(index), dtype=np.bool_)
        self.row_group: Rows | None = row_group_of(manifest)
        self._locations, self._largest = locations(manifest), _most_rows(manifest)
        self._uri, self._cpus = uri, cpus
        self._coming: Iterator[Mapping[str, NDArray[Any]]] = iter(())
        self._held: dict[tuple[int, bool], list[tuple[Pixels, ...]]] = {}
        """Pixels by row, and whether with maps."""
        self._maps: tuple[str, ...] = ()

    @classmethod
    def open(cls, uri: str, manifest_hash: str, cpus: int = 1) -> FaceStream:
        """Read the manifest and the index of the set at ``uri``.

        Raises:
            DataError: a shard is missing or damaged, or the set is not the one of that hash.
            StorageError: the store does not answer.
        """
        manifest = read_manifest(uri)
        if manifest.hash != manifest_hash:
            raise DataError(
                "the face set has changed since the run began",
                where=uri,
                remedy="restore the set, or start a new run",
            )
        check_shards(uri, manifest)
        return cls(uri, manifest, read_index(uri, manifest), cpus)

    @property
    def waiting(self) -> int:
        """Rows that are decoded here and not used yet."""
        return sum(map(len, self._held.values()))

    def set_read_order(self, reads: Iterator[RowGroupRead], *, depth: bool, parsing: bool) -> None:
        """Announce which rows will be picked, in order; an earlier announcement is dropped."""
        self.close()
        self._maps = tuple(name for name, wanted in (("depth", depth), ("parsing", parsing)) if wanted)
        self._coming = self._decoded(reads)

    def pick(self, rows: Rows, *, depth: bool = False, parsing: bool = False) -> Faces:
        """Return the pixels of ``rows``, in their order, and release them.

        Raises:
            DataError: a row group is not what the manifest says, or an image of it cannot be decoded.
            StorageError: the store does not answer.
            ValueError: the rows were not announced.
        """
        taken = [self._take((row, depth or parsing)) for row in np.asarray(rows).tolist()]
        maps = [np.stack(column) for column in list(zip(*taken, strict=True))[1:]]
        found = dict(zip(self._maps, maps, strict=False))
        return Faces(
            images=np.stack([row[0] for row in taken]) if taken else np.empty((0, *_shape(self.image_size)), np.uint8),
            depth=found["depth"] if depth else None,
            parsing=found["parsing"] if parsing else None,
        )

    def close(self) -> None:
        """Stop reading, and drop what is held."""
        coming, self._coming, self._held = self._coming, iter(()), {}
        if isinstance(coming, Generator):
            coming.close()

    def _take(self, wanted: tuple[int, bool]) -> tuple[Pixels, ...]:
        while wanted not in self._held:
            arrived = next(self._coming, None)
            if arrived is None:
                raise ValueError(f"row {wanted[0]} was not announced")
            self._hold(arrived)
        waiting = self._held[wanted]
        pixels = waiting.pop()
        if not waiting:
            del self._held[wanted]
        return pixels

    def _hold(self, arrived: Mapping[str, NDArray[Any]]) -> None:
        """Copy each row out of the object store, so that it can be released alone."""
        names = [name for name in ("image", *self._maps) if name in arrived]
        for place, row in enumerate(arrived["row"].tolist()):
            pixels = tuple(np.array(arrived[name][place], dtype=np.uint8) for name in names)
            self._held.setdefault((row, len(pixels) > 1), []).append(pixels)

    def _decoded(self, reads: Iterator[RowGroupRead]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Yield the rows of every read, in order."""
        for window in iter(lambda: list(itertools.islice(reads, _WINDOW)), []):
            for reference in ray_private.iter_block_refs(self._dataset(window)):
                block = ray_private.block_to_numpy(ray.get(reference))
                if "error" in block:
                    raise _raised(block)
                yield block

    def _dataset(self, window: list[RowGroupRead]) -> Dataset:
        """Return a Ray Data dataset of some reads, one block each, in order."""
        context = silence(DataContext.get_current().copy())
        options = context.execution_options
        options.preserve_order = True
        rows = min(max(len(read.rows) for read in window), self._largest)
        block = rows * (int(np.prod(_shape(self.image_size))) + DEPTH_SIZE**2 + PARSING_SIZE**2)
        options.resource_limits = ExecutionResources(
            cpu=self._cpus, object_store_memory=_BLOCKS_AHEAD * (self._cpus + 1) * block
        )
        items = [self._item(read) for read in window]
        with DataContext.current(context):
            return ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
                _Read(self._uri, self.image_size),
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=1,
                concurrency=self._cpus,
            )

    def _item(self, read: RowGroupRead) -> dict[str, Any]:
        location = self._locations[read.row_group]
        return {
            **asdict(location),
            "group": location.group.model_dump(),
            "rows": read.rows.tolist(),
            "maps": list(self._maps) if read.to_train else [],
        }


class _Read:
    """Reads and decodes the rows of a read: a function of Ray Data tasks.

    Args:
        uri: folder of the shards.
        size: side of the stored crops, pixels.
    """

    def __init__(self, uri: str, size: int) -> None:
        self._uri, self._size = uri, size

    def __call__(self, items: pa.Table) -> dict[str, NDArray[Any]]:
        """Return ``row``, ``image`` and the maps that are wanted; what is wrong with the data goes back as a value."""
        (item,) = items.to_pylist()
        try:
            return self._rows(item)
        except FasrayError as error:
            kind = "data" if isinstance(error, DataError) else "storage"
            message = {"error": error.what, "where": error.where, "remedy": error.remedy, "kind": kind}
            return {name: np.array([text or ""]) for name, text in message.items()}

    def _rows(self, item: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        where = storage.join(self._uri, item["shard"])
        rows = np.array(item["rows"], dtype=np.int64)
        table = fetch_row_group(self._uri, item["shard"], item["number"], RowGroup(**item["group"]), COLUMNS)
        decoded = decode(table.take(rows - item["first"]), self._size)
        for place in np.flatnonzero(decoded["state"]):
            raise DataError(
                f"frame {decoded['frame'][place]} of video {decoded['video'][place]}: "
                f"{reason(int(decoded['state'][place]))}",
                where=where,
                remedy="a stream cannot leave faces out: prepare the set again, or use `ingest: pool`, which can",
            )
        return {"row": rows, **{name: decoded[name] for name in ("image", *item["maps"])}}


def _raised(block: Mapping[str, NDArray[Any]]) -> FasrayError:
    what, where, remedy, kind = (str(block[name][0]) for name in ("error", "where", "remedy", "kind"))
    return (DataError if kind == "data" else StorageError)(what, where=where, remedy=remedy)


def _most_rows(manifest: Manifest) -> int:
    return max(group.rows for shard in manifest.shards for group in shard.row_groups)


def _shape(size: int) -> tuple[int, int, int]:
    return size, size, 3
