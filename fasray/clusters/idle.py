"""Rules about GPUs that a cluster would pay for and no trial would use: in its own files, and in sweep files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fasray.clusters.documents import ConfigFinding, Document
from fasray.errors import SpecError
from fasray.execution.autoscaler import CLUSTER_FILE_VARIABLE, AutoscalerLimits, read_limits
from fasray.execution.capacity import check_fits, demand_of
from fasray.sweep.spec import SweepSpec
from fasray.sweep.sweep_file import load_sweep
from fasray.yaml_lines import KeyPath

_LINE = re.compile(r"line (\d+)")


@dataclass(frozen=True)
class Cluster:
    """What a cluster's file says about its size."""

    file: str
    limits: AutoscalerLimits

    @property
    def gpus(self) -> int:
        """All GPUs of the full cluster."""
        counts = (int(group.resources.get("GPU", 0)) for group in self.limits.groups for _ in range(group.max_nodes))
        return sum(sorted(counts, reverse=True)[: self.limits.max_nodes])


def is_sweep(document: Document) -> bool:
    """Return whether a document looks like a sweep file."""
    return isinstance(document.value, dict) and {"methods", "protocols"} <= set(document.value)


def check_sweep(document: Document, clusters: Sequence[Cluster]) -> list[ConfigFinding]:
    """Return what is wrong with a sweep file, and what it would leave idle on each of the clusters."""
    try:
        spec = load_sweep(document.file)
    except SpecError as error:
        match = _LINE.search(error.where)
        line = int(match[1]) if match else document.line(())
        return [ConfigFinding(document.file, line, error.where.rpartition("key ")[2], error.what, error.remedy)]
    return [finding for cluster in clusters if cluster.gpus for finding in _idle(document, spec, cluster)]


def _idle(document: Document, spec: SweepSpec, cluster: Cluster) -> Iterator[ConfigFinding]:
    resources, path = spec.resources, ("resources", "gpus_per_worker")
    if resources.gpus_per_worker == 0:
        what = f"trials ask for no GPU: the {cluster.gpus} of {cluster.file} would stay idle"
        yield document.finding(path, what, "leave gpus_per_worker out: auto asks for what a trial needs")
        return
    try:
        check_fits(cluster.limits.nodes(demand_of(spec)), demand_of(spec))
    except SpecError as error:
        yield document.finding(path, f"on {cluster.file}: {error.what}", error.remedy)
    limit, each = resources.max_concurrent, 1 if resources.gpus_per_worker == "auto" else resources.gpus_per_worker
    used = math.inf if limit == "auto" else math.ceil(limit * resources.workers * each)
    if used < cluster.gpus:
        what = f"{limit} trials at once use at most {used} of the {cluster.gpus} GPUs of {cluster.file}"
        yield document.finding(("resources", "max_concurrent"), what, "leave max_concurrent out: as many as fit")


def ray_up_idle(document: Document) -> Iterator[ConfigFinding]:
    """Yield the GPU types of a ``ray up`` file whose cards no trial would get."""
    for name in document.mapping("available_node_types"):
        path: KeyPath = ("available_node_types", name)
        resources = document.mapping(*path, "resources")
        if name == document.get("head_node_type") or not ray_up_has_gpus(document, path):
            continue
        if resources and not resources.get("GPU"):
            what = f"nodes of type {name!r} have GPUs that Ray is not told of: they would stay idle"
            yield document.finding((*path, "resources"), what, "add `GPU:`, the number of cards")
        if resources.get("CPU") == 0:
            what = f"nodes of type {name!r} offer no CPU: no trial fits, and their GPUs would stay idle"
            yield document.finding((*path, "resources", "CPU"), what, "give the number of the machine's cores")
        if document.get(*path, "max_workers") == 0:
            what = f"GPU nodes of type {name!r} never come"
            yield document.finding((*path, "max_workers"), what, "give the most of them that you would pay for at once")


def ray_up_has_gpus(document: Document, path: KeyPath) -> bool:
    """Return whether the machines of a node type have GPUs, by their resources or by what they are."""
    if document.get(*path, "resources", "GPU", default=0):
        return True
    if document.get(*path, "node_config", "guestAccelerators"):
        return True
    kinds = [str(document.get(*path, "node_config", key, default="")) for key in ("InstanceType", "machineType")]
    return bool(re.match(r"(g\d|p\d)", kinds[0]) or re.match(r"(g2|a2|a3|a4)-", kinds[1].rpartition("/")[2]))


def kuberay_idle(document: Document, where: KeyPath) -> Iterator[ConfigFinding]:
    """Yield the GPU groups of a RayCluster or RayJob whose cards no trial would get."""
    from_zero = False
    for number, group in enumerate(document.items(*where, "workerGroupSpecs")):
        path: KeyPath = (*where, "workerGroupSpecs", number)
        limits = document.mapping(*path, "template", "spec", "containers", 0, "resources", "limits")
        if not isinstance(group, dict) or not any(str(key).endswith("/gpu") for key in limits):
            continue
        from_zero |= group.get("minReplicas", 0) == 0
        for key, what in (("num-gpus", "GPUs that Ray is not told of"), ("num-cpus", "no CPU for a trial")):
            if str(document.get(*path, "rayStartParams", key)) == "0":
                what = f"group {group.get('groupName')!r} has {what}: its GPUs would stay idle"
                yield document.finding((*path, "rayStartParams", key), what, "leave it out: Ray takes the pod's limit")
    head: KeyPath = (*where, "headGroupSpec", "template", "spec", "containers", 0)
    names = {entry.get("name") for entry in document.items(*head, "env") if isinstance(entry, dict)}
    if from_zero and CLUSTER_FILE_VARIABLE not in names:
        what = "a sweep does not learn of GPUs that are not there yet: it would run on CPUs, and no GPU would come"
        remedy = f"name this file, or its copy in the image, by {CLUSTER_FILE_VARIABLE} in the head's `env:`"
        yield document.finding(head, what, remedy)


def cluster_of(file: str) -> Cluster | None:
    """Return the cluster of a file; None if it is not one's, or cannot be read."""
    try:
        return Cluster(file, read_limits(Path(file)))
    except SpecError:
        return None
