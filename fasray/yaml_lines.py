"""YAML that knows on which line each key is, and that finds keys given twice; loading never executes anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

KeyPath = tuple[str | int, ...]


class Problem(NamedTuple):
    """What keeps a text from being read as YAML."""

    line: int | None
    """Counted from 1; None where it is unknown."""
    path: KeyPath
    what: str


@dataclass(frozen=True, eq=False)
class YamlDocument:
    """One document of a text."""

    value: Any
    node: yaml.Node

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a key or list item, of the deepest one above it if it is not there; None if none is."""
        node, line = self.node, None
        for part in path:
            found = _below(node, part)
            if found is None:
                break
            node, line = found
        return line


def read_yaml(text: str) -> tuple[list[YamlDocument], list[Problem]]:
    """Return the documents of a text, and what is wrong with it: the syntax, or keys given twice."""
    documents: list[YamlDocument] = []
    problems: list[Problem] = []
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        problems += [problem for node in nodes for problem in _repeated(node, (), set())]
        if not problems:
            documents += [YamlDocument(*pair) for pair in zip(yaml.safe_load_all(text), nodes, strict=True)]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        problems.append(Problem(line, (), f"not readable as YAML: {error.problem}"))
    except yaml.YAMLError as error:
        problems.append(Problem(None, (), f"not readable as YAML: {str(error).splitlines()[0]}"))
    return documents, problems


def _below(node: yaml.Node, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((value, key.start_mark.line + 1) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None


def _repeated(node: yaml.Node, path: KeyPath, seen: set[int]) -> Iterator[Problem]:
    """Find keys given twice, of which YAML would silently take the last; aliases are followed once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, (*path, number), seen)
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):  # others are refused when the values are built
                line = key.start_mark.line + 1
                if key.value in first:
                    what = f"the key {key.value!r} is given twice, first on line {first[key.value]}"
                    yield Problem(line, (*path, key.value), what)
                first.setdefault(key.value, line)
            yield from _repeated(value, (*path, str(key.value)), seen)
