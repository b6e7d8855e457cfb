"""Check the files of a cluster offline: each mistake with its file, line, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fasray.clusters.documents import ConfigFinding, Document, read_documents
from fasray.clusters.idle import Cluster, check_sweep, cluster_of, is_sweep
from fasray.clusters.kuberay import check_kuberay, is_checked, is_kubernetes
from fasray.clusters.ray_up import check_ray_up, is_ray_up
from fasray.clusters.rules import installed_version
from fasray.errors import SpecError

_SUFFIXES = (".yaml", ".yml")
_DOCKERFILE = "Dockerfile"
_RAY_OF_DOCKERFILE = re.compile(r"^\s*(?:ARG\s+RAY_VERSION=|FROM\s+rayproject/ray(?:-[a-z]+)?:)(\d+\.\d+\.\d+)", re.M)


@dataclass(frozen=True)
class CheckedFile:
    """One file and what was found in it."""

    file: str
    kinds: tuple[str, ...]
    """What its documents are: ``ray up``, ``sweep``, ``RayCluster`` ..., ``X, not checked`` for other objects."""
    findings: tuple[ConfigFinding, ...]


def validate(paths: Iterable[str | Path]) -> list[CheckedFile]:
    """Check files, and all YAML files and Dockerfiles below folders; sweeps also against the clusters among them.

    Raises:
        SpecError: a path does not exist, or a folder holds nothing to check.
    """
    files = _files(paths)
    clusters = [cluster for cluster in map(cluster_of, map(str, files)) if cluster is not None]
    return [_check(file, clusters) for file in files]


def _files(paths: Iterable[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES or file.name == _DOCKERFILE)
            if not below:
                raise SpecError("no YAML file in this folder", where=str(path), remedy="name a folder such as cluster/")
            found += below
        elif path.exists():
            found.append(path)
        else:
            raise SpecError("no such file", where=str(path), remedy="see the folder cluster/ for examples")
    return list(dict.fromkeys(found))


def _check(file: Path, clusters: Sequence[Cluster]) -> CheckedFile:
    if file.name == _DOCKERFILE:
        return CheckedFile(str(file), (_DOCKERFILE,), tuple(_check_dockerfile(file)))
    documents, findings = read_documents(file)
    kinds = []
    for document in documents:
        kind, found = _check_document(document, clusters)
        kinds.append(kind)
        findings += found
    if not documents and not findings:
        findings.append(ConfigFinding(str(file), 1, "", "this file is empty", "see the folder cluster/ for examples"))
    return CheckedFile(str(file), tuple(kinds), tuple(sorted(findings)))


def _check_document(document: Document, clusters: Sequence[Cluster]) -> tuple[str, list[ConfigFinding]]:
    if is_kubernetes(document):
        kind = str(document.get("kind"))
        return (kind, check_kuberay(document)) if is_checked(document) else (f"{kind}, not checked", [])
    if is_ray_up(document):
        return "ray up", check_ray_up(document)
    if is_sweep(document):
        return "sweep", check_sweep(document, clusters)
    what = (
        "neither a `ray up` file (provider, available_node_types), nor a Kubernetes object (apiVersion, kind), nor a "
        "sweep (methods, protocols)"
    )
    return "unknown", [document.finding((), what, "see the folder cluster/ for examples")]


def _check_dockerfile(file: Path) -> list[ConfigFinding]:
    """Check that the image is built on the Ray that is installed here."""
    text, here = file.read_text(encoding="utf-8"), installed_version("ray")
    match = _RAY_OF_DOCKERFILE.search(text)
    if match is None:
        return [ConfigFinding(str(file), 1, "", "no version of Ray is fixed", "add `ARG RAY_VERSION=...` before FROM")]
    if here and match.group(1) != here:
        line = text[: match.start(1)].count("\n") + 1
        what = f"the image gets Ray {match.group(1)}, but fasray here runs with Ray {here}"
        return [ConfigFinding(str(file), line, "RAY_VERSION", what, "use one version everywhere")]
    return []
