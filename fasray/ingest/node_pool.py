"""Opens the pool of a node; on a node that joined late, the process that first needs the pool fills it.

The process reads the shards itself, without Ray: while trials hold every CPU, no Ray task could. Other processes of the
node wait for it, so each image is decoded once on each node.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fasray import storage
from fasray.cores import usable_cores
from fasray.errors import DataError
from fasray.faces.loading.pool import FacePool, pool_folder, pool_key, writing_pools
from fasray.faces.sets.manifest import Manifest, read_manifest
from fasray.faces.sets.reading import check_shards, open_shard, read_index
from fasray.ingest.decode import COLUMNS, PoolFill, decode

_BATCH_ROWS = 64
_MOST_THREADS = 16
"""More threads would hold more decoded faces in memory and gain little."""
_Decoded = tuple[str, dict[str, NDArray[Any]]]


def open_or_fill_pool(key: str, uri: str, filled: Callable[[FacePool], None] = lambda pool: None) -> FacePool:
    """Open this node's pool; if it has none, or a damaged one, fill it from the shards.

    Args:
        key: of the pool, see :func:`fasray.faces.loading.pool.pool_key`.
        uri: folder of the shards; empty: a missing pool is an error.
        filled: called with the pool if it was filled here.

    Raises:
        DataError: a shard is missing, damaged or of another set than the pool's key says, or the disk has no space or
            cannot be written.
        StorageError: the store does not answer.
    """
    folder = pool_folder(key)
    if not uri:
        return FacePool.open(folder)
    with contextlib.suppress(DataError):
        return FacePool.open(folder)
    with writing_pools(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = storage.lock_file(folder.parent / f".{folder.name}.lock")
    with lock:
        with contextlib.suppress(DataError):  # another process was first
            return FacePool.open(folder)
        pool = _fill(key, uri)
    filled(pool)
    return pool


def _fill(key: str, uri: str) -> FacePool:
    manifest = read_manifest(uri)
    found = pool_key(manifest.hash, manifest.image_size)
    if found != key:
        raise DataError(
            f"the face set has changed since the run began: its pool would be {found}, not {key}",
            where=uri,
            remedy="restore the set, or start a new run",
        )
    check_shards(uri, manifest)
    filling = PoolFill(manifest, read_index(uri, manifest))
    try:
        for shard, batch in _decoded(uri, manifest):
            filling.store(batch, np.full(len(batch["state"]), shard))
        return filling.finish()
    except BaseException:
        filling.abandon()
        raise


def _decoded(uri: str, manifest: Manifest) -> Iterator[_Decoded]:
    """Yield the shards' names and decoded batches in order; threads decode a few batches ahead."""
    threads = min(usable_cores(), _MOST_THREADS)
    waiting: deque[tuple[str, Future[dict[str, NDArray[Any]]]]] = deque()
    with ThreadPoolExecutor(threads) as executor:
        for shard, batch in _batches(uri, manifest):
            waiting.append((shard, executor.submit(decode, batch, manifest.image_size)))
            if len(waiting) > threads:
                first, decoding = waiting.popleft()
                yield first, decoding.result()
        for first, decoding in waiting:
            yield first, decoding.result()


def _batches(uri: str, manifest: Manifest) -> Iterator[tuple[str, pa.RecordBatch]]:
    for shard in manifest.shards:
        with open_shard(uri, shard) as file:
            for table in file.row_groups(COLUMNS):
                for batch in table.to_batches(_BATCH_ROWS):
                    yield shard.name, batch
