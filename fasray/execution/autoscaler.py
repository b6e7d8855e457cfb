"""How far a cluster reaches: the nodes that it has, and those that its autoscaler may add.

Ray's autoscaler tells the cluster that it is at work, but not its limits. Those are read from the file that the cluster
was made with, where it can be found: ``$FASRAY_CLUSTER_FILE``, else the copy that ``ray up`` leaves on the head.
Without it the sweep asks for more room step by step, which no autoscaler minds, but what would never fit is then not
refused: it waits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fasray.errors import SpecError
from fasray.execution.capacity import Demand, refuse_what_never_fits, trials_at_once, workers_on
from fasray.ray_private import UNMANAGED, autoscaler_node_types, kuberay_node_types

CLUSTER_FILE_VARIABLE = "FASRAY_CLUSTER_FILE"
RAY_UPS_COPY = Path("~/ray_bootstrap_config.yaml")
MOST_TRIALS = 256
"""Handed out at once, however far a cluster reaches."""
_HEAD = "node:__internal_head__"
_LOOK_AGAIN_S = 1.0
_FIRST_REPORT_S = 10.0


@dataclass(frozen=True)
class Group:
    """Nodes of one kind that an autoscaler may start."""

    resources: Mapping[str, float]
    most: int


@dataclass(frozen=True)
class Limits:
    """How far an autoscaler may go."""

    groups: tuple[Group, ...]
    most_nodes: int
    """Of all groups together."""

    def nodes(self, demand: Demand) -> list[Mapping[str, float]]:
        """Return the nodes of the full cluster, without its head; those that hold most workers are taken first."""
        kinds = sorted(self.groups, key=lambda group: -workers_on([group.resources], demand))
        return [group.resources for group in kinds for _ in range(group.most)][: self.most_nodes]


@dataclass(frozen=True)
class Reach:
    """What a cluster has at one moment, and may have."""

    alive: tuple[Mapping[str, float], ...]
    """Resources of every living node."""
    grows: bool = False
    """Whether an autoscaler is at work."""
    limits: Limits | None = None
    """How far that one may go, if it is known."""

    def slots(self, demand: Demand) -> int:
        """Return how many trials may be handed out: as many as fit, and some that nodes have yet to come for.

        With known limits those are all that the full cluster holds. Without, as many again as fit now, and one at
        least, so that a cluster doubles until its autoscaler stops it. What waits holds nothing.
        """
        now = trials_at_once(self.alive, demand)
        if not self.grows:
            return now
        if self.limits is None:
            return min(now + max(now, 1), MOST_TRIALS)
        return min(max(now, trials_at_once(self._full(demand), demand)), MOST_TRIALS)

    def refuse(self, demand: Demand) -> None:
        """Refuse a demand that even the full cluster cannot place.

        Raises:
            SpecError: with what is missing. Never for an autoscaler whose limits are not known.
        """
        if workers_on(self.alive, demand) >= demand.workers or (self.grows and self.limits is None):
            return
        refuse_what_never_fits(self._full(demand) if self.grows else self.alive, demand)

    def _full(self, demand: Demand) -> list[Mapping[str, float]]:
        head = [node for node in self.alive if _HEAD in node]
        return head + (self.limits.nodes(demand) if self.limits else [])


def look() -> Reach:
    """Return how far the running Ray reaches now.

    Raises:
        SpecError: the file that ``$FASRAY_CLUSTER_FILE`` names is none that a cluster is made with.
    """
    import ray

    alive = tuple(dict(node["Resources"]) for node in ray.nodes() if node["Alive"])
    grows = any(not name.startswith(UNMANAGED) for name in autoscaler_node_types())
    return Reach(alive, grows, _limits() if grows else None)


def look_patiently(demand: Demand) -> Reach:
    """Like :func:`look`, but give the autoscaler of a cluster that has just started a moment to report."""
    last = time.monotonic() + _FIRST_REPORT_S
    while True:
        reach = look()
        if workers_on(reach.alive, demand) >= demand.workers or autoscaler_node_types() or time.monotonic() > last:
            return reach
        time.sleep(_LOOK_AGAIN_S / 4)


class Slots:
    """How many trials may run at once; looked at anew once a second, for nodes come and go.

    Args:
        demand: what one trial holds.
        most: the user's limit, None for none.
        look: says how far the cluster reaches.
    """

    def __init__(self, demand: Demand, most: int | None = None, look: Callable[[], Reach] = look) -> None:
        self._demand, self._most, self._look = demand, most, look
        self._seen, self._until = 0, -1.0

    def __call__(self) -> int:
        """Return the number; 0 while no node is there."""
        now = time.monotonic()
        if now >= self._until:
            self._seen = self._look().slots(self._demand)
            self._until = now + _LOOK_AGAIN_S
        return self._seen if self._most is None else min(self._seen, self._most)


def read_limits(path: Path) -> Limits:
    """Return the limits in a file that a cluster is made with: ``ray up``'s, or a RayCluster or RayJob of KubeRay.

    Raises:
        SpecError: it is none of these, or cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            documents = [document for document in yaml.safe_load_all(file) if isinstance(document, dict)]
        for document in documents:
            types = _node_types(document)
            if types is not None:
                return _limits_of(document, types)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AssertionError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise _not_a_cluster_file(path, first) from error
    raise _not_a_cluster_file(path, "no available_node_types, RayCluster or RayJob in it")


def _limits() -> Limits | None:
    named = os.environ.get(CLUSTER_FILE_VARIABLE)
    if named:
        return read_limits(Path(named))
    copy = RAY_UPS_COPY.expanduser()
    return read_limits(copy) if copy.exists() else None


def _limits_of(document: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> Limits:
    head = document.get("head_node_type", "headgroup")
    most = document.get("max_workers")
    groups = [
        Group({name: float(value) for name, value in kind["resources"].items()}, _most_of(kind, most))
        for name, kind in types.items()
        if name != head
    ]
    return Limits(tuple(groups), sum(group.most for group in groups) if most is None else int(most))


def _most_of(kind: Mapping[str, Any], most: int | None) -> int:
    """A type without a limit of its own has the cluster's."""
    return int(kind["max_workers"] if kind.get("max_workers") is not None else most or 0)


def _node_types(document: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
    """Return the node types of a file, as the autoscaler has them; None if there are none in it."""
    if "available_node_types" in document:
        types: Mapping[str, Mapping[str, Any]] = document["available_node_types"]
        return types
    spec = document.get("spec", {})
    spec = spec.get("rayClusterSpec") if document.get("kind") == "RayJob" else spec
    if document.get("kind") not in ("RayCluster", "RayJob"):
        return None
    return kuberay_node_types(spec)


def _not_a_cluster_file(path: Path, what: str) -> SpecError:
    return SpecError(
        f"this is no file that a cluster is made with: {what}",
        where=str(path),
        remedy=f"let {CLUSTER_FILE_VARIABLE} name the file given to `ray up` or kubectl",
    )
