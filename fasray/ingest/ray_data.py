"""Passes of Ray Data over the row groups of a face set, and what every use of Ray Data here has in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fasray import ray_private
from fasray.errors import DataError, FasrayError, StorageError
from fasray.faces.loading.row_groups import RowGroupLocation
from fasray.faces.sets.manifest import RowGroup
from fasray.faces.sets.reading import fetch_row_group
from fasray.ingest.decode import COLUMNS
from fasray.runs.own_code import check_same_code, own_code

Item = Mapping[str, Any]
Block = dict[str, NDArray[Any]]


def check_nodes() -> None:
    """Make sure that the code of every living node of the cluster is that of this process.

    Raises:
        OtherCodeError: it is not; names both places.
    """
    asked = []
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
            task: Any = ray.remote(check_same_code).options(num_cpus=0, scheduling_strategy=there)
            asked.append(task.remote(own_code()))
    for answer in asked:
        unwrapped(answer)


def unwrapped(reference: Any) -> Any:
    """Return a remote result; fasray's own errors are raised as they were."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, FasrayError):
            raise error.cause from None
        raise


def quiet_context() -> DataContext:
    """Return a copy of the current context without progress bars; Ray Data logs errors only from now on."""
    context = DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return context


def row_group_item(location: RowGroupLocation, **more: Any) -> Item:
    """Return the item of :func:`row_group_blocks` for a row group, with whatever else ``decode`` wants."""
    return {**asdict(location), "group": location.group.model_dump(), **more}


def row_group_blocks(
    uri: str, items: Sequence[Item], decode: Callable[[pa.Table, Item], Block], context: DataContext, **options: Any
) -> Iterator[Any]:
    """Read and decode row groups in Ray Data tasks, one a task; yield references to the blocks as they come.

    Args:
        uri: of the set, an absolute path or a URI.
        items: from :func:`row_group_item`.
        decode: from a row group's ``COLUMNS`` and its item to a block.
        context: of the pass.
        options: of ``Dataset.map_batches``.
    """
    with DataContext.current(context):
        dataset = ray.data.from_items(list(items), override_num_blocks=len(items)).map_batches(
            _ReadRowGroup(uri, decode), batch_size=None, batch_format="pyarrow", **options
        )
    yield from ray_private.iter_block_refs(dataset)


def block_columns(block: Any) -> Block:
    """Return the columns of a block of :func:`row_group_blocks`; an error of its task is raised."""
    columns = ray_private.block_to_numpy(block)
    if "error" in columns:
        what, where, remedy, kind = (str(columns[name][0]) for name in ("error", "where", "remedy", "kind"))
        raise (DataError if kind == "data" else StorageError)(what, where=where, remedy=remedy)
    return columns


def last_line(error: BaseException) -> str:
    """Return the last line of an error from Ray, which says what was raised; the stack trace comes before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class _ReadRowGroup:
    """A function of Ray Data tasks. Errors of fasray are returned as a block: Ray Data would log their stack traces."""

    def __init__(self, uri: str, decode: Callable[[pa.Table, Item], Block]) -> None:
        self._uri, self._decode = uri, decode

    def __call__(self, items: pa.Table) -> Block:
        (item,) = items.to_pylist()
        try:
            table = fetch_row_group(self._uri, item["shard"], item["number"], RowGroup(**item["group"]), COLUMNS)
            return self._decode(table, item)
        except FasrayError as error:
            kind = "data" if isinstance(error, DataError) else "storage"
            message = {"error": error.what, "where": error.where, "remedy": error.remedy, "kind": kind}
            return {name: np.array([text or ""]) for name, text in message.items()}
