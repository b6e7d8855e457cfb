"""YAML documents that know the line of each key, and findings that point there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fasray.yaml_lines import KeyPath, YamlDocument, read_yaml


@dataclass(frozen=True, order=True)
class ConfigFinding:
    """One mistake in a file of a cluster, and what to do about it."""

    file: str
    line: int
    """Counted from 1."""
    key: str
    """Path to it, ``spec.workerGroupSpecs[0].maxReplicas``; empty for the whole document."""
    what: str
    remedy: str

    def __str__(self) -> str:
        key = f", key {self.key}" if self.key else ""
        return f"{self.file}, line {self.line}{key}: {self.what}\n  -> {self.remedy}"


@dataclass(frozen=True, eq=False)
class Document:
    """One YAML document of a file."""

    file: str
    """Name as it was given."""
    value: Any
    source: YamlDocument
    """Knows the line of every key and list item."""

    def line(self, path: KeyPath) -> int:
        """Return the line of a key; of the nearest one above it if it is not there."""
        return self.source.line(path) or self.source.node.start_mark.line + 1

    def get(self, *path: str | int, default: Any = None) -> Any:
        """Return the value at a path, ``default`` if there is none."""
        found = self.value
        for part in path:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return default
        return found

    def mapping(self, *path: str | int) -> Mapping[str, Any]:
        """Return the mapping at a path, an empty one if there is none."""
        found = self.get(*path)
        return found if isinstance(found, dict) else {}

    def items(self, *path: str | int) -> list[Any]:
        """Return the list at a path, an empty one if there is none."""
        found = self.get(*path)
        return found if isinstance(found, list) else []

    def finding(self, path: KeyPath, what: str, remedy: str) -> ConfigFinding:
        """Return a finding that points at a path."""
        return ConfigFinding(self.file, self.line(path), dotted(path), what, remedy)

    def texts(self) -> Iterator[tuple[KeyPath, str]]:
        """Yield every text of the document with its path."""
        yield from _texts(self.value, ())


def dotted(path: KeyPath) -> str:
    """Return a path in dotted form, ``spec.workerGroupSpecs[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_documents(file: Path) -> tuple[list[Document], list[ConfigFinding]]:
    """Return the documents of a YAML file, and what keeps it from being read: syntax, or a key given twice."""
    name = str(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [], [ConfigFinding(name, 1, "", f"this file cannot be read: {error}", "name a text file")]
    found, problems = read_yaml(text)
    documents = [Document(name, one.value, one) for one in found if one.value is not None]
    findings = [
        ConfigFinding(name, problem.line or 1, dotted(problem.path), problem.what, "fix the YAML there")
        for problem in problems
    ]
    return documents, findings


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))
