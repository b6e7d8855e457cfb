"""YAML that knows on which line each key is, and that finds keys given twice; loading never executes anything."""

from __future__ import annotations

import re
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


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    """PyYAML's safe loader, whose errors in numbers and dates have a line too."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except ValueError as error:
            what = f"{_short(node)} is not what it looks like: {error}"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error


def read_yaml(text: str, *, refuse_misread: bool = False) -> tuple[list[YamlDocument], list[Problem]]:
    """Return the documents of a text, and what is wrong with it: the syntax, or keys given twice.

    Args:
        text: to read.
        refuse_misread: also report numbers and dates that YAML 1.1 reads otherwise than people do: ``010`` (8),
            ``1:30`` (90), ``2026-01-05``.
    """
    documents: list[YamlDocument] = []
    problems: list[Problem] = []
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None]
        for node, path in (found for root in nodes for found in _walk(root, (), set())):
            if isinstance(node, yaml.MappingNode):
                problems += _repeated(node, path)
            elif refuse_misread and isinstance(node, yaml.ScalarNode) and (what := _misreading(node)):
                problems.append(Problem(node.start_mark.line + 1, path, what))
        if not problems:
            documents += [YamlDocument(*pair) for pair in zip(yaml.load_all(text, _Loader), nodes, strict=True)]  # noqa: S506
    except RecursionError:
        problems.append(Problem(None, (), "not readable as YAML: it is nested too deeply"))
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


def _walk(node: yaml.Node, path: KeyPath, seen: set[int]) -> Iterator[tuple[yaml.Node, KeyPath]]:
    """Yield every node with its path, keys under the path of their value; aliases are followed once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    yield node, path
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, (*path, number), seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            for part in (key, value):
                yield from _walk(part, (*path, str(key.value)), seen)


def _repeated(node: yaml.MappingNode, path: KeyPath) -> Iterator[Problem]:
    """Find keys given twice, of which YAML would silently take the last."""
    first: dict[str, int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):  # others are refused when the values are built
            line = key.start_mark.line + 1
            if key.value in first:
                what = f"the key {key.value!r} is given twice, first on line {first[key.value]}"
                yield Problem(line, (*path, key.value), what)
            first.setdefault(key.value, line)


_PREFIX = "tag:yaml.org,2002:"
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]")


def _misreading(node: yaml.ScalarNode) -> str:
    """Return what is wrong with a number or a date whose value is not what its text says; empty if nothing is."""
    kind, text = node.tag.removeprefix(_PREFIX), str(node.value)
    quoted = f"put it in quotes where a word is meant, '{_short(node)}'"
    if kind in ("int", "float") and ":" in text:
        return f"YAML reads {_short(node)} in base 60; write the number without a colon, or {quoted}"
    if kind in ("int", "float") and _LEADING_ZERO.match(text):
        plain = text[: text[0] == "-"] + (text.replace("_", "").lstrip("+-0") or "0")
        octal = "in base 8" if kind == "int" else "without its leading zero"
        return f"YAML reads {_short(node)} {octal}; write {plain[:40]}, or {quoted}"
    if kind == "timestamp":
        return f"YAML reads {_short(node)} as a date; {quoted}"
    return ""


def _short(node: yaml.Node) -> str:
    text = str(node.value)
    return text if len(text) <= 40 else text[:37] + "..."
