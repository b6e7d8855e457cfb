"""One Ray Data pass from the shards into a memory-mapped pool on every node.

The pass reads the Parquet shards, decodes each image once and streams the blocks to one zero-CPU actor per node, which
copies them into its pool. The object store only carries blocks on their way: references are dropped as soon as every
node has written a block, and none is left when the pass ends.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.data.block import BlockAccessor
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fasray import storage
from fasray.errors import DataError, FasrayError
from fasray.faces import jpeg
from fasray.faces.bank import Excluded, FaceBank, PoolWriter, pool_folder, pool_key
from fasray.faces.index import FaceIndex
from fasray.faces.manifest import Manifest
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE

_COLUMNS = ["image", "depth", "parsing", "video", "frame", "sha256", "path"]
_BLOCK_ROWS = 256
_IN_FLIGHT = 2
_GOOD, _NOT_AN_IMAGE, _OTHER_SIZE, _OTHER_BYTES = range(4)
_REASONS = {
    _NOT_AN_IMAGE: "the image cannot be decoded",
    _OTHER_SIZE: "the image is not of the size that the manifest states",
    _OTHER_BYTES: "the image bytes are not those that the record's sha256 states",
}


@dataclass(frozen=True)
class PoolFacts:
    """What the pool of one node holds."""

    node: str
    rows: int
    decoded: int
    """Images decoded for this pool by this pass; 0 if the pool was there already."""
    excluded: tuple[Excluded, ...]


def fill_pools(
    uri: str, manifest: Manifest, index: FaceIndex, on_rows: Callable[[int], None] = lambda rows: None
) -> list[PoolFacts]:
    """Give every node of the running Ray cluster a pool of the shards under ``uri``.

    Nodes that have it already are left alone; if all have, nothing is read.

    Args:
        uri: folder of the shards.
        manifest: their manifest.
        index: their index, in the manifest's shard order.
        on_rows: called with the number of rows that have arrived in every pool so far.

    Raises:
        DataError: a shard cannot be read, rows are missing, or a node has no room.
    """
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    caches = {node: _start_cache(node, manifest, index) for node in nodes}
    try:
        return _fill(uri, manifest, caches, on_rows)
    finally:
        for cache in caches.values():
            ray.kill(cache)


def _fill(uri: str, manifest: Manifest, caches: dict[str, Any], on_rows: Callable[[int], None]) -> list[PoolFacts]:
    wanting = [node for node, cache in caches.items() if not ray.get(cache.begin.remote())]
    if wanting:
        rows, pending = 0, []
        for block in _blocks(uri, manifest):
            pending.append([caches[node].write.remote(block) for node in wanting])
            del block
            if len(pending) > _IN_FLIGHT:
                rows += _written(pending.pop(0))
                on_rows(rows)
        while pending:
            rows += _written(pending.pop(0))
            on_rows(rows)
    return [_unwrapped(cache.finish.remote()) for cache in caches.values()]


def _written(writes: Sequence[Any]) -> int:
    """Wait until every node has written a block and return its rows."""
    return int([_unwrapped(write) for write in writes][0])


def _unwrapped(reference: Any) -> Any:
    """Return a remote result; our own errors come back as they were raised."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, FasrayError):
            raise error.cause from None
        raise


def _blocks(uri: str, manifest: Manifest) -> Any:
    """Yield references to decoded blocks, in whatever order they come."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    paths, filesystem = _paths(uri, manifest)
    decode = _Decode(manifest.image_size)
    dataset = (
        ray.data.read_parquet(paths, filesystem=filesystem, partitioning=None, include_paths=True)
        .select_columns(_COLUMNS)
        .map_batches(decode, batch_size=_BLOCK_ROWS, batch_format="pyarrow")
    )
    try:
        for bundle in dataset.iter_internal_ref_bundles():
            for entry in bundle.blocks:
                yield entry.ref
    except ray.exceptions.RayError as error:
        raise DataError(
            f"the shards cannot be read: {_last_line(error)}", where=uri, remedy="check them: `fasray data verify`"
        ) from error


def _paths(uri: str, manifest: Manifest) -> tuple[list[str], PyFileSystem]:
    """Return the shards' paths and the file system they are on, with the endpoint and credentials that fsspec found."""
    filesystem, folder = storage.filesystem(uri)
    paths = [storage.join(folder, shard.name) for shard in manifest.shards]
    sizes = storage.sizes(uri)
    for shard in manifest.shards:
        if shard.name not in sizes:
            raise DataError("a shard of the manifest is missing", where=storage.join(uri, shard.name))
        if sizes[shard.name] != shard.bytes:
            raise DataError(
                "this shard is not as long as the manifest says",
                where=storage.join(uri, shard.name),
                remedy="check the set: `fasray data verify`",
            )
    return paths, PyFileSystem(FSSpecHandler(filesystem))


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _Decode:
    """Decode a batch of records into uint8 arrays; a bad image becomes zeros and a reason.

    Args:
        size: side of the stored crops, pixels.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, batch: pa.Table) -> dict[str, NDArray[Any]]:
        cv2.setNumThreads(1)
        images = np.zeros((len(batch), self._size, self._size, 3), np.uint8)
        state = np.zeros(len(batch), np.uint8)
        encoded = zip(batch["image"].to_pylist(), batch["sha256"].to_pylist(), strict=True)
        for row, (data, digest) in enumerate(encoded):
            image = jpeg.decode(data)
            if image is None:
                state[row] = _NOT_AN_IMAGE
            elif hashlib.sha256(data).hexdigest() != digest:
                state[row] = _OTHER_BYTES
            elif image.shape != images.shape[1:]:
                state[row] = _OTHER_SIZE
            else:
                images[row] = image
        return {
            "image": images,
            "depth": _stacked(batch["depth"], DEPTH_SIZE),
            "parsing": _stacked(batch["parsing"], PARSING_SIZE),
            "video": np.array(batch["video"].to_pylist()),
            "frame": np.array(batch["frame"].to_pylist(), dtype=np.int32),
            "shard": np.array([path.rsplit("/", 1)[-1] for path in batch["path"].to_pylist()]),
            "state": state,
        }


def _stacked(column: pa.ChunkedArray, size: int) -> NDArray[np.uint8]:
    """Turn a column of fixed-length bytes into [n, size, size] uint8."""
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), size, size)


class _Cache:
    """Fills the pool of the node that it runs on.

    Args:
        manifest: the shards' manifest.
        index: their index.
    """

    def __init__(self, manifest: Manifest, index: FaceIndex) -> None:
        self._manifest, self._index = manifest, index
        self._folder = pool_folder(pool_key(manifest.hash, manifest.image_size))
        self._writer: PoolWriter | None = None
        self._rows: dict[tuple[str, int], int] = {}

    def begin(self) -> bool:
        """Return whether the node has the pool already; if not, start it."""
        if self._folder.exists():
            try:
                bank = FaceBank.open(self._folder)
            except DataError:
                bank = None
            if bank is not None and len(bank) == len(self._index):
                return True
        size, rows = self._manifest.image_size, len(self._index)
        self._writer = PoolWriter.create(self._folder, rows, size, self._index, self._manifest.hash)
        keys = zip(self._index.video.tolist(), self._index.frame.tolist(), strict=True)
        self._rows = {key: row for row, key in enumerate(keys)}
        return False

    def write(self, block: Any) -> int:
        """Copy a decoded block into the pool and return its number of rows."""
        assert self._writer is not None  # noqa: S101 - begin() said that the pool is wanted
        batch = BlockAccessor.for_block(block).to_numpy()
        keys = zip(batch["video"].tolist(), batch["frame"].tolist(), strict=True)
        rows = np.array([self._rows.get(key, -1) for key in keys], dtype=np.int64)
        if (rows < 0).any():
            unknown = int(np.flatnonzero(rows < 0)[0])
            raise DataError(
                f"frame {batch['frame'][unknown]} of video {batch['video'][unknown]} is not in the index",
                where=str(batch["shard"][unknown]),
                remedy="the shards were changed while they were read: start again",
            )
        good = batch["state"] == _GOOD
        self._writer.write(rows[good], *(np.ascontiguousarray(batch[name][good]) for name in _PIXELS))
        for bad in np.flatnonzero(~good):
            self._writer.exclude(int(rows[bad]), _REASONS[int(batch["state"][bad])], shard=str(batch["shard"][bad]))
        return len(rows)

    def finish(self) -> PoolFacts:
        """Make the pool final and say what it holds."""
        decoded = self._writer.decoded if self._writer else 0
        bank = self._writer.finish() if self._writer else FaceBank.open(self._folder)
        return PoolFacts(ray.get_runtime_context().get_node_id(), len(bank), decoded, tuple(bank.excluded))


_PIXELS = ("image", "depth", "parsing")


def _start_cache(node: str, manifest: Manifest, index: FaceIndex) -> Any:
    pinned = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(_Cache).options(num_cpus=0, scheduling_strategy=pinned).remote(manifest, index)
