"""One Ray Data pass from the shards into a memory-mapped pool on every node.

The pass reads the Parquet shards, decodes each image once and streams the blocks to one zero-CPU actor per node, which
copies them into its pool. The object store only carries blocks on their way: references are dropped as soon as every
node has written a block, and none is left when the pass ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fasray import storage
from fasray.errors import DataError, RunFailedError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import Excluded, FacePool, pool_folder, pool_key
from fasray.faces.loading.row_groups import locations
from fasray.faces.sets.manifest import Manifest
from fasray.faces.sets.reading import check_shards
from fasray.ingest.decode import PoolFill, decode
from fasray.ingest.node_pool import open_or_fill_pool
from fasray.ingest.ray_data import (
    Block,
    Item,
    block_columns,
    last_line,
    quiet_context,
    row_group_blocks,
    row_group_item,
    unwrapped,
)
from fasray.runs.own_code import Code, check_same_code, own_code

_IN_FLIGHT = 2


@dataclass(frozen=True)
class PoolFacts:
    """What the pool of one node holds."""

    node: str
    rows: int
    decoded: int
    """Images decoded for this pool by this pass; 0 if the pool was there already."""
    excluded: tuple[Excluded, ...]


def fill_pools(
    uri: str,
    manifest: Manifest,
    index: FaceIndex,
    on_rows: Callable[[int], None] = lambda rows: None,
    worker: Mapping[str, float] | None = None,
) -> list[PoolFacts]:
    """Give every node of the running Ray cluster a pool of the shards under ``uri``.

    Nodes that have it already are skipped; if all have, nothing is read. Where no node yet can hold a worker, one is
    requested, and fills its pool by itself; so does every node that joins later, when its first trial starts there
    (:func:`fasray.ingest.node_pool.open_or_fill_pool`).

    Args:
        uri: folder of the shards.
        manifest: their manifest.
        index: their index, in the manifest's shard order.
        on_rows: called with the number of rows that every pool has so far.
        worker: resources of a trial's worker, as Ray names them; nodes too small for one get no pool.

    Raises:
        OtherCodeError: a node's code is not the driver's.
        DataError: a shard is missing or damaged, rows are missing, or a node has no space.
        StorageError: the store does not answer.
        RunFailedError: workers kept dying.
    """
    uri = storage.absolute(uri)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and _holds(node["Resources"], worker or {})]
    if not nodes:
        check_shards(uri, manifest)
        return [_fill_on_a_new_node(uri, manifest, worker or {})]
    caches = {node: _start_cache(node, manifest, index) for node in nodes}
    try:
        return _fill(uri, manifest, caches, on_rows)
    finally:
        for cache in caches.values():
            ray.kill(cache)


def _holds(node: Mapping[str, float], worker: Mapping[str, float]) -> bool:
    return all(node.get(name, 0.0) >= wanted for name, wanted in worker.items())


def _fill_on_a_new_node(uri: str, manifest: Manifest, worker: Mapping[str, float]) -> PoolFacts:
    """Let the first node that can hold a worker fill its pool; the request makes an autoscaler start one."""
    key = pool_key(manifest.hash, manifest.image_size)
    task = ray.remote(_own_facts).options(num_cpus=worker.get("CPU", 0), num_gpus=worker.get("GPU", 0))
    facts: PoolFacts = unwrapped(task.remote(key, uri))
    return facts


def _own_facts(key: str, uri: str) -> PoolFacts:
    """Return what the pool of this node holds; it is filled first if it is missing."""
    decoded: list[int] = []
    pool = open_or_fill_pool(key, uri, lambda filled: decoded.append(filled.decoded))
    return _facts(pool, sum(decoded))


def _facts(pool: FacePool, decoded: int) -> PoolFacts:
    return PoolFacts(ray.get_runtime_context().get_node_id(), len(pool), decoded, tuple(pool.excluded))


def _fill(uri: str, manifest: Manifest, caches: dict[str, Any], on_rows: Callable[[int], None]) -> list[PoolFacts]:
    wanting = [node for node, cache in caches.items() if not unwrapped(cache.begin.remote())]
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
    return [unwrapped(cache.finish.remote()) for cache in caches.values()]


def _written(writes: Sequence[Any]) -> int:
    """Wait until every node has written a block and return its rows."""
    return int([unwrapped(write) for write in writes][0])


def _blocks(uri: str, manifest: Manifest) -> Iterator[Any]:
    """Yield references to decoded blocks, in order of completion."""
    check_shards(uri, manifest)
    items = [row_group_item(location) for location in locations(manifest)]
    decode = partial(_decode_all, manifest.image_size)
    try:
        yield from row_group_blocks(uri, items, decode, quiet_context())
    except ray.exceptions.RayError as error:
        raise RunFailedError(f"the pass over the shards failed: {last_line(error)}", where=uri) from error


def _decode_all(size: int, table: pa.Table, item: Item) -> Block:
    """Return all rows of a row group with the name of their shard; bad images are marked."""
    return {**decode(table, size), "shard": np.full(len(table), item["shard"])}


class _Cache:
    """Fills the pool of the node that it runs on.

    Args:
        manifest: the shards' manifest.
        index: their index.
        code: that the driver runs.
    """

    def __init__(self, manifest: Manifest, index: FaceIndex, code: Code) -> None:
        self._manifest, self._index, self._code = manifest, index, code
        self._filling: PoolFill | None = None

    def begin(self) -> bool:
        """Return whether the node has the pool already; if not, begin to fill it.

        Raises:
            OtherCodeError: this process runs other code than the driver.
            DataError: the node has no space, or the folder of its pools cannot be written.
            SpecError: its variable names no folder.
        """
        check_same_code(self._code)
        self._folder = pool_folder(pool_key(self._manifest.hash, self._manifest.image_size))
        with contextlib.suppress(DataError):  # none there, or a damaged one
            FacePool.open(self._folder)
            return True
        self._filling = PoolFill(self._manifest, self._index)
        return False

    def write(self, block: Any) -> int:
        """Copy a decoded block into the pool and return its number of rows."""
        assert self._filling is not None  # noqa: S101 - begin() said that the pool is wanted
        batch = block_columns(block)
        return self._filling.store(batch, batch["shard"])

    def finish(self) -> PoolFacts:
        """Make the pool final and return what it holds."""
        if self._filling:
            return _facts(self._filling.finish(), self._filling.decoded)
        return _facts(FacePool.open(self._folder), 0)


def _start_cache(node: str, manifest: Manifest, index: FaceIndex) -> Any:
    pinned = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(_Cache).options(num_cpus=0, scheduling_strategy=pinned).remote(manifest, index, own_code())
