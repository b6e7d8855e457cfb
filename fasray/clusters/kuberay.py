"""Check RayCluster and RayJob objects: KubeRay's definitions, and rules about money and access."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from fasray.clusters.documents import ConfigFinding, Document
from fasray.clusters.idle import kuberay_idle
from fasray.clusters.rules import SECRET_NAME, credential_findings, image_findings, installed_version
from fasray.clusters.schemas import KUBERAY_KINDS, kuberay_versions, schema_findings
from fasray.errors import did_you_mean
from fasray.sweep.auto import RUNS_VARIABLE
from fasray.yaml_lines import KeyPath

_PUBLIC = ("LoadBalancer", "NodePort")
_FIRST_WITH_TOKENS = (2, 52)


def is_kubernetes(document: Document) -> bool:
    """Return whether a document is a Kubernetes object."""
    return isinstance(document.value, dict) and {"apiVersion", "kind"} <= set(document.value)


def is_checked(document: Document) -> bool:
    """Return whether a Kubernetes object is one that Ray's operator reads; others are not checked."""
    return str(document.get("apiVersion")).startswith("ray.io/")


def check_kuberay(document: Document) -> list[ConfigFinding]:
    """Return what is wrong with an object of group ``ray.io``."""
    kind, version = str(document.get("kind")), str(document.get("apiVersion"))
    if kind not in KUBERAY_KINDS:
        what = f"unknown kind {kind!r}"
        return [document.finding(("kind",), what, did_you_mean(kind, KUBERAY_KINDS))]
    versions = kuberay_versions(kind)
    if version not in versions:
        return [document.finding(("apiVersion",), f"unknown version {version!r}", did_you_mean(version, versions))]
    findings = schema_findings(document, versions[version])
    where: KeyPath = ("spec",)
    if kind == "RayJob":
        findings += _job(document)
        where = ("spec", "rayClusterSpec")
    if document.mapping(*where):
        for rule in (_authentication, _dashboard, _groups, _containers, kuberay_idle, _version):
            findings += rule(document, where)
    return sorted({*findings, *credential_findings(document)})


def _job(document: Document) -> Iterator[ConfigFinding]:
    if not document.get("spec", "entrypoint"):
        yield document.finding(("spec",), "the job has no entrypoint", "add `entrypoint: fasray sweep ...`")
    if not document.get("spec", "rayClusterSpec") and not document.get("spec", "clusterSelector"):
        yield document.finding(("spec",), "the job has no cluster", "add `rayClusterSpec:`")
    ends = document.get("spec", "shutdownAfterJobFinishes") or document.get("spec", "deletionStrategy")
    if document.get("spec", "rayClusterSpec") and not ends:
        what = "the cluster stays, and costs, after the job has ended"
        yield document.finding(("spec",), what, "add `shutdownAfterJobFinishes: true`")
    entrypoint = str(document.get("spec", "entrypoint"))
    head: KeyPath = ("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0)
    named = [entry for entry in document.items(*head, "env") if isinstance(entry, dict)]
    runs = [entry.get("value") for entry in named if entry.get("name") == RUNS_VARIABLE]
    kept = any("://" in str(value) for value in runs) or re.search(r"--out[= ]\S+://", entrypoint)
    if ends and "fasray sweep" in entrypoint and not kept:
        what = "the run directory is inside the cluster and goes with it, results and all"
        remedy = "set FASRAY_RUNS in the head's `env:` to s3://bucket/runs, or add `--out s3://bucket/runs/NAME`"
        yield document.finding(("spec", "entrypoint"), what, remedy)
    text = document.get("spec", "runtimeEnvYAML")
    if isinstance(text, str):
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError:
            found = None
        if not isinstance(found, dict):
            what = "the runtime environment is not a YAML mapping"
            yield document.finding(("spec", "runtimeEnvYAML"), what, "write it as `key: value` lines below a `|`")


def _authentication(document: Document, where: KeyPath) -> Iterator[ConfigFinding]:
    mode = document.get(*where, "authOptions", "mode")
    what = "Ray runs without authentication: whoever reaches the head can run code there"
    remedy = "add `authOptions: {mode: token}`; the operator then makes a token and hands it to all pods"
    if mode is None:
        by_hand = all(
            "RAY_AUTH_MODE" in _env(document, path) and "RAY_AUTH_TOKEN" in _env(document, path)
            for path in _containers_of(document, where)
        )
        if not by_hand:
            yield document.finding(where, what, remedy)
    elif mode != "token":
        yield document.finding((*where, "authOptions", "mode"), what, remedy)


def _dashboard(document: Document, where: KeyPath) -> Iterator[ConfigFinding]:
    remedy = "leave it inside the cluster and use `kubectl port-forward service/NAME-head-svc 8265`"
    head: KeyPath = (*where, "headGroupSpec")
    for path in ((*head, "serviceType"), (*head, "headService", "spec", "type")):
        kind = document.get(*path)
        if kind in _PUBLIC:
            yield document.finding(path, f"a service of type {kind} opens the dashboard to the outside", remedy)
    if document.get(*head, "enableIngress"):
        yield document.finding((*head, "enableIngress"), "an ingress opens the dashboard to the outside", remedy)
    pod: KeyPath = (*head, "template", "spec")
    if document.get(*pod, "hostNetwork"):
        what = "the head listens on the node's own addresses, dashboard included"
        yield document.finding((*pod, "hostNetwork"), what, "remove `hostNetwork`")
    for container, _ in enumerate(document.items(*pod, "containers")):
        for port, entry in enumerate(document.items(*pod, "containers", container, "ports")):
            if isinstance(entry, dict) and entry.get("hostPort"):
                path = (*pod, "containers", container, "ports", port, "hostPort")
                yield document.finding(path, "a port of the head is opened on the node's own addresses", remedy)


def _groups(document: Document, where: KeyPath) -> Iterator[ConfigFinding]:
    names: dict[str, int] = {}
    scales = bool(document.get(*where, "enableInTreeAutoscaling"))
    for number, group in enumerate(document.items(*where, "workerGroupSpecs")):
        path: KeyPath = (*where, "workerGroupSpecs", number)
        if not isinstance(group, dict):
            continue
        name = str(group.get("groupName"))
        if name in names:
            yield document.finding((*path, "groupName"), f"a second group is called {name!r}", "give it its own name")
        names[name] = number
        least, most, now = (group.get(key) for key in ("minReplicas", "maxReplicas", "replicas"))
        if isinstance(least, int) and isinstance(most, int):
            if least > most:
                what = f"minReplicas {least} is above maxReplicas {most}"
                yield document.finding((*path, "minReplicas"), what, "0 lets the group go to zero when nothing runs")
            elif isinstance(now, int) and not least <= now <= most:
                what = f"replicas {now} is outside of {least} to {most}"
                yield document.finding((*path, "replicas"), what, "leave it out; the autoscaler decides")
            if least != most and not scales:
                what = f"group {name!r} may have {least} to {most} replicas, but the autoscaler is off"
                yield document.finding(path, what, f"add `enableInTreeAutoscaling: true` under {where[-1]}")
        if least is not None and most is None:
            yield document.finding(path, f"group {name!r} has no limit", "add `maxReplicas:`")


def _containers(document: Document, where: KeyPath) -> Iterator[ConfigFinding]:
    for path in _containers_of(document, where):
        limits, requests = (document.mapping(*path, "resources", key) for key in ("limits", "requests"))
        gpus = {key for key in (*limits, *requests) if str(key).endswith("/gpu")}
        for key in sorted(gpus - set(limits)):
            what = f"{key} is requested without a limit; Kubernetes grants GPUs by their limit only"
            yield document.finding((*path, "resources", "requests", key), what, f"add `{key}` under `limits:`")
        for key in sorted(gpus & set(limits) & set(requests)):
            if str(limits[key]) != str(requests[key]):
                what = f"{key}: limit {limits[key]} and request {requests[key]} differ; Kubernetes refuses that"
                yield document.finding((*path, "resources", "limits", key), what, "make them equal")
        if not gpus and _asks_for_gpu_nodes(document, path):
            what = "these pods go to GPU nodes without a GPU limit: they hold the node and see no GPU, or all of them"
            yield document.finding((*path, "resources"), what, "add `nvidia.com/gpu: 1` under `limits:`")
        if "memory" not in limits:
            what = "no memory limit: Ray takes the whole node's memory for its own, and the kernel kills it"
            yield document.finding((*path, "resources"), what, "add `memory:` under `limits:`")
        for number, entry in enumerate(document.items(*path, "env")):
            if isinstance(entry, dict) and SECRET_NAME.search(str(entry.get("name"))) and entry.get("value"):
                what = f"the credential {entry['name']} is written into the file"
                remedy = "take it from a secret: `valueFrom: {secretKeyRef: {name: ..., key: ...}}`"
                yield document.finding((*path, "env", number, "value"), what, remedy)


def _asks_for_gpu_nodes(document: Document, path: KeyPath) -> bool:
    """By a toleration or node selector for GPU nodes, or by telling Ray of GPUs."""
    group, pod = path[: path.index("template")], path[: path.index("containers")]
    if str(document.get(*group, "rayStartParams", "num-gpus", default="0")) != "0":
        return True
    tolerated = [entry for entry in document.items(*pod, "tolerations") if isinstance(entry, dict)]
    named: list[Any] = [*(entry.get("key") for entry in tolerated), *document.mapping(*pod, "nodeSelector")]
    return any("gpu" in str(key).lower() or "accelerator" in str(key).lower() for key in named)


def _version(document: Document, where: KeyPath) -> Iterator[ConfigFinding]:
    stated, here = document.get(*where, "rayVersion"), installed_version("ray")
    if stated is None:
        what = "rayVersion is missing: the operator cannot tell what this Ray can do"
        yield document.finding(where, what, f"add `rayVersion: {here or 'VERSION'!r}`")
    elif isinstance(stated, str) and tuple(int(part) for part in stated.split(".")[:2] if part.isdigit()) < (
        _FIRST_WITH_TOKENS
    ):
        what = f"Ray {stated} has no token authentication"
        yield document.finding((*where, "rayVersion"), what, "use Ray 2.52 or newer")
    wanted, by = (stated, "rayVersion") if isinstance(stated, str) else (here, "the Ray installed here")
    if isinstance(stated, str) and here and stated != here:
        what = f"rayVersion is {stated}, but fasray here runs with Ray {here}"
        yield document.finding((*where, "rayVersion"), what, "use one version everywhere")
    for path in _containers_of(document, where):
        yield from image_findings(document, (*path, "image"), document.get(*path, "image"), wanted, by)


def _containers_of(document: Document, where: KeyPath) -> list[KeyPath]:
    """Return the path of each group's Ray container, the head's first; sidecars are not checked."""
    groups: list[KeyPath] = [(*where, "headGroupSpec")]
    groups += [
        (*where, "workerGroupSpecs", number) for number, _ in enumerate(document.items(*where, "workerGroupSpecs"))
    ]
    paths = [(*group, "template", "spec", "containers", 0) for group in groups]
    return [path for path in paths if document.mapping(*path)]


def _env(document: Document, path: KeyPath) -> set[str]:
    return {str(entry.get("name")) for entry in document.items(*path, "env") if isinstance(entry, dict)}
