"""Examine the machine for everything that a sweep will want of it."""

from __future__ import annotations

from collections.abc import Sequence

from fasray.clusters.access import (
    look_at_authentication,
    look_at_cluster,
    look_at_data,
    look_at_models,
    look_at_output,
    pool_bytes,
)
from fasray.clusters.diagnosis import Diagnosis
from fasray.clusters.machine import constraints, look_at_gpus, look_at_memory, look_at_pools, look_at_versions


def examine(data: str | None = None, out: str | None = None) -> list[Diagnosis]:
    """Return how everything is, in the order in which a sweep would come upon it; starts no Ray, keeps nothing.

    Args:
        data: face set to look for.
        out: folder or URI where a run shall be kept.
    """
    found = [*look_at_versions(constraints()), *look_at_gpus(), *look_at_memory()]
    found += [*look_at_cluster(), *look_at_authentication()]
    need = 0
    if data is not None:
        told, manifest = look_at_data(data)
        found += told
        need = pool_bytes(manifest) if manifest is not None else 0
    found.append(look_at_pools(need))
    if out is not None:
        found.append(look_at_output(out))
    found.append(look_at_models())
    return found


def exit_code(found: Sequence[Diagnosis]) -> int:
    """Return the exit code of the first thing that is ill, as the command that comes upon it would; else 0."""
    return next((one.exit_code for one in found if one.status == "ill"), 0)
