"""Streamed faces: for data larger than a node's disk, read by Ray Data row group by row group, held only until used.

Each worker has one iterator, which follows the worker's read schedule (:mod:`fasray.faces.loading.read_schedule`): one
Ray Data task reads a row group with a single ranged request, checks it against the manifest's checksum, and decodes the
rows that the worker takes. The worker holds the rows that it does not need yet. Whatever the order in which tasks end,
the schedule alone decides which rows make up a batch.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import DataContext, ExecutionResources

from fasray import storage
from fasray.errors import DataError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import Excluded, Faces
from fasray.faces.loading.read_schedule import RowGroupRead
from fasray.faces.loading.row_groups import Rows, locations, row_group_of
from fasray.faces.loading.windows import Pixels, Windows
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE
from fasray.faces.sets.manifest import Manifest, read_manifest
from fasray.faces.sets.reading import check_shards, read_index
from fasray.ingest.decode import REASONS, decode
from fasray.ingest.ray_data import Block, Item, block_columns, quiet_context, row_group_blocks, row_group_item

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
        self._locations = locations(manifest)
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

    def pick(self, rows: Rows, *, depth: bool = False, parsing: bool = False, windows: Windows | None = None) -> Faces:
        """Return the pixels of ``rows``, in their order, and release them.

        Raises:
            DataError: a row group is not what the manifest says, or an image of it cannot be decoded.
            StorageError: the store does not answer.
            ValueError: the rows were not announced.
        """
        taken = [self._take((row, depth or parsing)) for row in np.asarray(rows).tolist()]
        maps = [np.stack(column) for column in list(zip(*taken, strict=True))[1:]]
        found = dict(zip(self._maps, maps, strict=False))
        none = np.empty((0, self.image_size, self.image_size, 3), np.uint8)
        images = np.stack([row[0] for row in taken]) if taken else none
        return Faces(
            images=images if windows is None else windows.of(images, np.arange(len(images))),
            depth=found["depth"] if depth else None,
            parsing=found["parsing"] if parsing else None,
        )

    def close(self) -> None:
        """Stop reading, and drop what is held."""
        coming, self._coming, self._held = self._coming, iter(()), {}
        if isinstance(coming, Generator):
            with contextlib.suppress(ValueError):  # a thread is still waiting in it, and ends with the process
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
            items = [
                row_group_item(
                    self._locations[read.row_group],
                    wanted=read.rows.tolist(),
                    maps=list(self._maps) if read.to_train else [],
                )
                for read in window
            ]
            decode = partial(_decode_rows, self._uri, self.image_size)
            options = {"num_cpus": 1, "concurrency": self._cpus}
            for reference in row_group_blocks(self._uri, items, decode, self._context(window), **options):
                yield block_columns(ray.get(reference))

    def _context(self, window: list[RowGroupRead]) -> DataContext:
        """Return the settings of one Ray Data execution: order is preserved, and memory is bounded."""
        context = quiet_context()
        options = context.execution_options
        options.preserve_order = True
        largest = max(location.group.rows for location in self._locations)
        rows = min(max(len(read.rows) for read in window), largest)
        block = rows * (3 * self.image_size**2 + DEPTH_SIZE**2 + PARSING_SIZE**2)
        options.resource_limits = ExecutionResources(
            cpu=self._cpus, object_store_memory=_BLOCKS_AHEAD * (self._cpus + 1) * block
        )
        return context


def _decode_rows(uri: str, size: int, table: pa.Table, item: Item) -> Block:
    """Return ``row``, ``image`` and the maps of the rows that an item wants."""
    rows = np.array(item["wanted"], dtype=np.int64)
    decoded = decode(table.take(rows - item["first"]), size)
    for place in np.flatnonzero(decoded["state"]):
        raise DataError(
            f"frame {decoded['frame'][place]} of video {decoded['video'][place]}: "
            f"{REASONS[int(decoded['state'][place])]}",
            where=storage.join(uri, item["shard"]),
            remedy="a stream cannot leave faces out: prepare the set again, or use `ingest: pool`, which can",
        )
    return {"row": rows, **{name: decoded[name] for name in ("image", *item["maps"])}}
