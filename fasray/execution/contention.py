"""What other jobs hold on a cluster, told when a sweep would have to wait for it without a word."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from fasray.execution.capacity import Demand, workers_on
from fasray.ray_private import available_resources, finished_jobs

_SETTLED_S = 3.0
"""How long the resources of a job that has just ended may still be counted as held."""
_MOST_NAMED = 3


def in_the_way(nodes: Sequence[Mapping[str, float]], demand: Demand) -> str:
    """Say what others hold of the running Ray, if not one trial fits beside it; nothing if one does.

    Call it before this job holds anything.

    Args:
        nodes: resources of the living nodes.
        demand: what one trial holds. If even the free nodes have no room for it, others are not to blame.
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
    more = f"; and {len(groups) - _MOST_NAMED} more" if len(groups) > _MOST_NAMED else ""
    named = "; ".join(groups[:_MOST_NAMED]) + more
    return (
        f"waiting: other jobs have left {counts} free, and a trial wants {demand}. "
        + (f"Held by {named}. " if named else "")
        + "See `ray list placement-groups` and `ray list actors`"
    )


def _groups() -> list[str]:
    """Describe every placement group that holds something, with the job that made it."""
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
