"""The two schemas, Ray's own for ``ray up`` and KubeRay's for Kubernetes, and what in a document violates them.

A Kubernetes API server silently drops unknown fields, so that a misspelt key loses a setting. Here they are findings,
except where the definition says that it keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator, ValidationError

from fasray.clusters.documents import ConfigFinding, Document
from fasray.errors import SpecError, did_you_mean
from fasray.yaml_lines import KeyPath

KUBERAY_KINDS: Mapping[str, str] = {"RayCluster": "rayclusters.json", "RayJob": "rayjobs.json"}
"""File of each definition that we have."""
_KEEPS_UNKNOWN = "x-kubernetes-preserve-unknown-fields"


@cache
def ray_up_schema() -> dict[str, Any]:
    """Return the schema of ``ray up`` files that comes with the installed Ray.

    Raises:
        SpecError: Ray is not installed.
    """
    spec = find_spec("ray")
    if spec is None or spec.origin is None:
        raise SpecError("Ray is not installed", remedy="install fasray with its dependencies: pip install fasray")
    schema: dict[str, Any] = json.loads((Path(spec.origin).parent / "autoscaler/ray-schema.json").read_text())
    return schema


@cache
def kuberay_versions(kind: str) -> dict[str, dict[str, Any]]:
    """Return the strict schema of each served version of a kind, by ``apiVersion``."""
    text = resources.files("fasray.clusters").joinpath("crds", KUBERAY_KINDS[kind]).read_text(encoding="utf-8")
    return {version: _strict(schema) for version, schema in json.loads(text).items()}


def schema_findings(document: Document, schema: Mapping[str, Any]) -> list[ConfigFinding]:
    """Return what in a document violates a schema, in the order of its lines."""
    errors = Draft7Validator(dict(schema)).iter_errors(document.value)
    return sorted(finding for error in errors for finding in _findings(document, error))


def _findings(document: Document, error: ValidationError) -> Iterator[ConfigFinding]:
    path: KeyPath = tuple(error.absolute_path)
    schema: Any = error.schema
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = schema.get("properties", {})
        for key in sorted(set(error.instance) - set(known)):
            yield document.finding((*path, key), f"unknown key {key!r}", did_you_mean(key, known))
    elif error.validator == "required" and isinstance(error.instance, dict):
        for key in sorted(set(error.validator_value) - set(error.instance)):
            if f"'{key}'" in error.message:
                yield document.finding(path, f"the key {key!r} is missing", f"add `{key}:`")
    elif error.validator == "type":
        wanted = error.validator_value
        kinds = " or ".join(wanted) if isinstance(wanted, list) else wanted
        what = f"this must be of type {kinds}; given: {_short(error.instance)}"
        yield document.finding(path, what, f"write a value of type {kinds}")
    elif error.validator == "enum":
        what = f"{_short(error.instance)} is not an allowed value"
        yield document.finding(path, what, did_you_mean(str(error.instance), map(str, error.validator_value)))
    else:
        yield document.finding(path, error.message[:200], "see the schema's rule above")


def _strict(schema: Any) -> Any:
    """Return a copy in which unknown fields are refused wherever fields are listed."""
    if not isinstance(schema, dict):
        return schema
    strict = {key: value for key, value in schema.items() if key != "description"}
    if "properties" in schema:
        strict["properties"] = {key: _strict(value) for key, value in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get(_KEEPS_UNKNOWN):
            strict["additionalProperties"] = False
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            strict[key] = _strict(schema[key])
    return strict  # anyOf, oneOf and allOf as they are: their parts name fields again; strict ones would refuse others


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
