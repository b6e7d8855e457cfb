"""Every name of Ray that its public API does not have, in one place: what a new release of Ray may break.

Ray is imported inside the functions, so that importing this module costs nothing. ``tests/test_ray_private.py`` holds
that each name exists in the installed Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def iter_block_refs(dataset: Any) -> Iterator[Any]:
    """Run a Ray Data set and yield references to its blocks as they come; leaving early ends its tasks.

    A block stays in the object store no longer than its reference is held. ``Dataset.iter_batches`` yields values
    only, and ``materialize`` and ``to_arrow_refs`` keep all blocks in the object store.
    """
    for bundle in dataset.iter_internal_ref_bundles():
        for entry in bundle.blocks:
            yield entry.ref


def block_to_numpy(block: Any) -> dict[str, Any]:
    """Return the columns of a block as arrays, tensor columns whole."""
    from ray.data.block import BlockAccessor

    columns: Any = BlockAccessor.for_block(block).to_numpy()
    return dict(columns)
