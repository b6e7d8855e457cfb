"""What other jobs hold on a cluster, for a sweep that has to wait for it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fasray.execution.capacity import Demand, workers_on
from fasray.ray_private import available_resources, finished_jobs

_SETTLED_S = 3.0
"""How long Ray may still count resources of a job that has just ended."""
_MAX_NAMED = 3


def describe_contention(nodes: Sequence[Mapping[str, float]], demand: Demand) -> str:
    """Describe what other jobs hold, if they leave no room for a single trial; empty otherwise.

    To be called before this job holds anything.

    Args:
        nodes: resources of the living nodes.
        demand: of one trial. If the nodes are too small for it even when free, other jobs are not the reason.
    """
    if workers_on(nodes, demand) < demand.workers:
        return ""
    last = time.monotonic() + _SETTLED_S
    while workers_on(free := available_resources(), demand) < demand.workers:
        if time.monotonic() > last:
            return _sentence(nodes, free, demand)
        time.sleep(0.2)
    return ""


def _sentence(nodes: Sequence[Mapping[str, float]], free: Sequence[Mapping[str, float]], demand: Demand) -> str:
    kinds = ("CPU", "GPU") if demand.gpus else ("CPU",)
    counts = " and ".join(
        f"{sum(node.get(kind, 0) for node in free):g} of {sum(node.get(kind, 0) for node in nodes):g} {kind}s"
        for kind in kinds
    )
    groups = _groups()
    more = f"; and {len(groups) - _MAX_NAMED} more" if len(groups) > _MAX_NAMED else ""
    named = "; ".join(groups[:_MAX_NAMED]) + more
    return (
        f"waiting: other jobs have left {counts} free, and a trial needs {demand}. "
        + (f"Held by {named}. " if named else "")
        + "See `ray list placement-groups` and `ray list actors`"
    )


def _groups() -> list[str]:
    """Describe every placement group that holds resources, with the job that created it."""
    import ray

    ended = finished_jobs()
    described = []
    for identity, group in ray.util.placement_group_table().items():
        if group["state"] != "CREATED":
            continue
        job = identity[-8:]  # Ray builds it so
        fate = "has ended: `ray.util.remove_placement_group` frees it" if ended.get(job, True) else "is running"
        described.append(f"placement group {identity} with {_sum(group['bundles'])} of job {job}, which {fate}")
    return described


def _sum(bundles: Mapping[Any, Mapping[str, float]]) -> str:
    total: dict[str, float] = {}
    for bundle in bundles.values():
        for kind, amount in bundle.items():
            total[kind] = total.get(kind, 0) + amount
    return ", ".join(f"{amount:g} {kind}" for kind, amount in sorted(total.items()))
