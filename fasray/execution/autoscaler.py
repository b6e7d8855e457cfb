"""The capacity of a cluster: the nodes that it has, and those that its autoscaler may add.

Ray reports that an autoscaler is active, but not its limits. Those are read from the cluster configuration, where it
can be found: ``$FASRAY_CLUSTER_FILE``, else the copy that ``ray up`` leaves on the head. Without it the sweep requests
capacity step by step, and a trial that would never fit is not refused: it waits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fasray import storage
from fasray.errors import SpecError
from fasray.execution.capacity import Demand, check_fits, concurrent_trials, workers_on
from fasray.execution.packing import fit_together
from fasray.ray_private import UNMANAGED, autoscaler_node_types, kuberay_node_types

CLUSTER_FILE_VARIABLE = "FASRAY_CLUSTER_FILE"
RAY_UP_CONFIG = Path("~/ray_bootstrap_config.yaml")
MAX_TRIALS = 256
"""At most running or waiting for nodes at once, however large a cluster may become."""
_HEAD = "node:__internal_head__"
_REFRESH_S = 1.0
_FIRST_REPORT_S = 10.0


@dataclass(frozen=True)
class NodeGroup:
    """Nodes of one kind that an autoscaler may start."""

    resources: Mapping[str, float]
    max_nodes: int


@dataclass(frozen=True)
class AutoscalerLimits:
    """The most nodes that an autoscaler may start."""

    groups: tuple[NodeGroup, ...]
    max_nodes: int
    """Of all groups together."""

    def nodes(self, demand: Demand) -> list[Mapping[str, float]]:
        """Return the nodes of the full cluster, without its head; those that hold most workers are taken first."""
        kinds = sorted(self.groups, key=lambda group: -workers_on([group.resources], demand))
        return [group.resources for group in kinds for _ in range(group.max_nodes)][: self.max_nodes]


@dataclass(frozen=True)
class ClusterCapacity:
    """The nodes of a cluster at one moment, and those that it may get."""

    alive: tuple[Mapping[str, float], ...]
    """Resources of every living node."""
    autoscales: bool = False
    """Whether an autoscaler is active."""
    limits: AutoscalerLimits | None = None
    """Those of the autoscaler, if they are known."""

    def slots(self, demand: Demand) -> int:
        """Return how many trials may be started: as many as fit now, and some that make the autoscaler add nodes.

        With known limits those are all that the full cluster holds. Without, as many again as fit now, and at least
        one, so that a cluster doubles until its autoscaler stops. A trial that waits holds no resources.
        """
        now = concurrent_trials(self.alive, demand)
        if not self.autoscales:
            return now
        if self.limits is None:
            return min(now + max(now, 1), MAX_TRIALS)
        return min(max(now, concurrent_trials(self._full(demand), demand)), MAX_TRIALS)

    def fits(self, held: Collection[Demand], demand: Demand) -> bool:
        """Return whether one more trial may be started; for trials that all hold the same, as :meth:`slots` counts.

        Args:
            held: by the trials that run or wait for nodes.
            demand: of one more trial.
        """
        if self.autoscales and len(held) >= MAX_TRIALS:
            return False
        together = [*held, demand]
        if _all_fit(self.alive, together):
            return True
        if not self.autoscales:
            return False
        if self.limits is not None:
            return _all_fit(self._full(demand), together)
        placed: list[Demand] = []
        for one in held:
            if _all_fit(self.alive, [*placed, one]):
                placed.append(one)
        return len(held) - len(placed) < max(len(placed), 1)

    def can_place(self, demand: Demand) -> bool:
        """Return whether the full cluster can place a trial; True for an autoscaler whose limits are not known."""
        if workers_on(self.alive, demand) >= demand.workers or (self.autoscales and self.limits is None):
            return True
        return self.autoscales and workers_on(self._full(demand), demand) >= demand.workers

    def check_fits(self, demand: Demand) -> None:
        """Refuse a demand that even the full cluster cannot place.

        Raises:
            SpecError: with what is missing. Never for an autoscaler whose limits are not known.
        """
        if not self.can_place(demand):
            check_fits(self._full(demand) if self.autoscales else self.alive, demand)

    def _full(self, demand: Demand) -> list[Mapping[str, float]]:
        head = [node for node in self.alive if _HEAD in node]
        return head + (self.limits.nodes(demand) if self.limits else [])


def current_capacity() -> ClusterCapacity:
    """Return the capacity of the running Ray.

    Raises:
        SpecError: ``$FASRAY_CLUSTER_FILE`` does not name a cluster configuration.
    """
    import ray

    alive = tuple(dict(node["Resources"]) for node in ray.nodes() if node["Alive"])
    autoscales = any(not name.startswith(UNMANAGED) for name in autoscaler_node_types())
    return ClusterCapacity(alive, autoscales, _limits() if autoscales else None)


def initial_capacity(enough: Callable[[ClusterCapacity], bool]) -> ClusterCapacity:
    """Like :func:`current_capacity`, but waits a few seconds for the autoscaler of a cluster that has just started.

    Args:
        enough: returns whether a capacity will do without an autoscaler.
    """
    last = time.monotonic() + _FIRST_REPORT_S
    while True:
        capacity = current_capacity()
        if enough(capacity) or autoscaler_node_types() or time.monotonic() > last:
            return capacity
        time.sleep(_REFRESH_S / 4)


class Room:
    """What fits on a cluster; looked at once a second, as nodes come and go.

    Args:
        limit: of the user on trials at once; None for no limit.
        capacity: returns the capacity of the cluster.
    """

    def __init__(self, limit: int | None = None, capacity: Callable[[], ClusterCapacity] = current_capacity) -> None:
        self._limit, self._look = limit, capacity
        self._capacity, self._until = ClusterCapacity(()), -1.0
        self._known: dict[tuple[frozenset[tuple[Demand, int]], Demand], bool] = {}

    def fits(self, held: Collection[Demand], demand: Demand) -> bool:
        """Return whether there is room for one more trial in addition to those that hold ``held``."""
        if self._limit is not None and len(held) >= self._limit:
            return False
        capacity = self.capacity()
        asked = frozenset(Counter(held).items()), demand
        if asked not in self._known:
            self._known[asked] = capacity.fits(held, demand)
        return self._known[asked]

    def count(self, demand: Demand) -> int:
        """Return how many trials of one demand may run at once; 0 while there is no node."""
        slots = self.capacity().slots(demand)
        return slots if self._limit is None else min(slots, self._limit)

    def fill(self, wanted: Sequence[Sequence[Demand]]) -> int:
        """Return how many trials fit if they come in turn.

        Args:
            wanted: for each trial of a turn what it may hold, the preferred demand first.
        """
        if all(options == wanted[0] for options in wanted) and len(wanted[0]) == 1:
            return self.count(wanted[0][0])
        held: list[Demand] = []
        while True:
            before = len(held)
            for options in wanted:
                held += [demand for demand in options if self.fits(held, demand)][:1]
            if len(held) == before:
                return len(held)

    def capacity(self) -> ClusterCapacity:
        """Return the capacity of the cluster, at most a second old."""
        now = time.monotonic()
        if now >= self._until:
            before, self._capacity = self._capacity, self._look()
            if before != self._capacity:
                self._known.clear()
            self._until = now + _REFRESH_S
        return self._capacity


def _all_fit(nodes: Sequence[Mapping[str, float]], demands: Sequence[Demand]) -> bool:
    if len(set(demands)) == 1:
        return concurrent_trials(nodes, demands[0]) >= len(demands)
    return fit_together(nodes, demands)


def read_limits(path: Path) -> AutoscalerLimits:
    """Return the limits in a cluster configuration: a file for ``ray up``, or a RayCluster or RayJob of KubeRay.

    Raises:
        SpecError: it is not one of these, or cannot be read.
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
        raise _not_a_configuration(path, first) from error
    raise _not_a_configuration(path, "no available_node_types, RayCluster or RayJob in it")


def _limits() -> AutoscalerLimits | None:
    named = storage.local_place_of(CLUSTER_FILE_VARIABLE)
    if named is not None:
        return read_limits(named)
    copy = RAY_UP_CONFIG.expanduser()
    return read_limits(copy) if copy.exists() else None


def _limits_of(document: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> AutoscalerLimits:
    head = document.get("head_node_type", "headgroup")
    most = document.get("max_workers")
    groups = [
        NodeGroup({name: float(value) for name, value in kind["resources"].items()}, _max_nodes(kind, most))
        for name, kind in types.items()
        if name != head
    ]
    return AutoscalerLimits(tuple(groups), sum(group.max_nodes for group in groups) if most is None else int(most))


def _max_nodes(kind: Mapping[str, Any], most: int | None) -> int:
    """Return the limit of a node type, by default the cluster's."""
    return int(kind["max_workers"] if kind.get("max_workers") is not None else most or 0)


def _node_types(document: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
    """Return the node types in a document, as the autoscaler has them; None if it is not a cluster configuration."""
    if "available_node_types" in document:
        types: Mapping[str, Mapping[str, Any]] = document["available_node_types"]
        return types
    spec = document.get("spec", {})
    spec = spec.get("rayClusterSpec") if document.get("kind") == "RayJob" else spec
    if document.get("kind") not in ("RayCluster", "RayJob"):
        return None
    return kuberay_node_types(spec)


def _not_a_configuration(path: Path, what: str) -> SpecError:
    return SpecError(
        f"not a cluster configuration: {what}",
        where=str(path),
        remedy=f"set {CLUSTER_FILE_VARIABLE} to the file given to `ray up` or kubectl",
    )
