"""The sweep file: read safely, overridden from the command line, checked to the last key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fasray import storage
from fasray.errors import DataError, SpecError, did_you_mean
from fasray.methods import registry
from fasray.methods.space import IntRange, LogUniform, Range, Uniform
from fasray.protocols.lists import copies_in
from fasray.runs.layout import SPEC_FILE
from fasray.sweep.auto import possible_specs
from fasray.sweep.run_file import as_sweep_file, is_of_a_run
from fasray.sweep.spec import SweepSpec
from fasray.validation import scalar_types, spec_error
from fasray.yaml_lines import Problem, YamlDocument, read_yaml

if TYPE_CHECKING:
    from fasray.methods.base import MethodConfig

_EVERY_INTEGER = 100
"""Ranges of more whole numbers are checked at their bounds only."""


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read, override and check a sweep file, or the ``sweep.yaml`` of a run.

    Args:
        path: the YAML file, a path or an address.
        overrides: ``key.sub=value`` items, the value read as YAML.

    Raises:
        SpecError: with file, key and line of the first thing that is not right.
    """
    return parse_sweep(_read(path), str(path), overrides)


def run_of(path: str | Path) -> str | None:
    """Return the run directory that a file is the ``sweep.yaml`` of; None if it is a sweep file of its own."""
    if not str(path).endswith(SPEC_FILE):
        return None
    documents, _ = read_yaml(_read(path))
    return storage.parent(path) if documents and is_of_a_run(documents[0].value) else None


def _read(path: str | Path) -> str:
    try:
        return storage.read_bytes(storage.resolve(path)).decode()
    except DataError as error:
        what = "no such sweep file" + ("" if error.what == "no such file" else f": {error.what}")
        raise SpecError(what, where=str(path), remedy="see the folder sweeps/ for examples") from error
    except UnicodeDecodeError as error:
        raise SpecError("this is not a text file", where=str(path)) from error


def parse_sweep(text: str, file: str = "", overrides: Sequence[str] = ()) -> SweepSpec:
    """Check a sweep given as YAML text; like ``load_sweep``."""
    documents, problems = read_yaml(text, refuse_misread=True)
    if len(documents) > 1:
        problems = [Problem(documents[1].node.start_mark.line, (), "a sweep file has one document, this has several")]
    if problems:
        line = f"line {problems[0].line}" if problems[0].line else ""
        raise SpecError(problems[0].what, where=", ".join(filter(None, (file, line))))
    values = documents[0].value if documents else None
    if not isinstance(values, dict):
        raise SpecError("a sweep file is a mapping of keys", where=file, remedy="start with `name:` and `data:`")
    if is_of_a_run(values):
        values = as_sweep_file(values, file) | {"lists": copies_in(storage.parent(file), values["sweep"]["protocols"])}
    overridden = [_override(values, item) for item in overrides]
    source = _Source(file, documents[0], tuple(overridden))
    try:
        spec = SweepSpec.model_validate(values)
    except ValidationError as error:
        raise spec_error(error, SweepSpec, place_of=source.place) from error
    for possible in possible_specs(spec):
        with source.naming_places():
            _check_methods(possible)
    return spec


@dataclass(frozen=True)
class _Source:
    """Where the values of a sweep come from: lines of a file, and ``--set``."""

    file: str
    document: YamlDocument
    overridden: tuple[tuple[str, ...], ...]

    def place(self, path: tuple[str | int, ...]) -> str:
        """Return where a key is given: its line, that of the nearest key above it, or ``--set``."""
        for key in reversed(self.overridden):
            if path[: len(key)] == key:
                return f"--set {'.'.join(key)}"
        line = self.document.line(path)
        return ", ".join(filter(None, (self.file, f"line {line}" if line else "")))

    @contextmanager
    def naming_places(self) -> Iterator[None]:
        """Put file and line before the key that an error names."""
        try:
            yield
        except SpecError as error:
            key = re.fullmatch(r"key (.+)", error.where)
            place = self.place(tuple(key[1].split("."))) if key else self.file
            raise SpecError(
                error.what, where=", ".join(filter(None, (place, error.where))), remedy=error.remedy
            ) from error


def _check_methods(spec: SweepSpec) -> None:
    """Check what pydantic cannot: names and values that the registry and the profiles decide."""
    for name, method in spec.methods.items():
        if name not in registry.names():
            raise SpecError(
                f"unknown method {name!r}", where=f"key methods.{name}", remedy=did_you_mean(name, registry.names())
            )
        config = spec.config(name)
        for key, entry in (method.space or {}).items():
            with _naming(f"key methods.{name}.space.{key}"):
                _check_range(config, key, entry, fixed=key in method.config)
                for value in bounds_or_values(entry):
                    registry.value(name, config, key, value)
        for label, overrides in method.ablations.items():
            with _naming(f"key methods.{name}.ablations.{label}"):
                registry.config(name, {**config.model_dump(), **overrides})
        spec.training_of(name)


def _check_range(config: MethodConfig, key: str, entry: Range, *, fixed: bool) -> None:
    """Refuse a range whose draws the field cannot have, or that is of no field that is free."""
    fields = type(config).model_fields
    if key not in fields:
        raise SpecError(f"unknown key {key!r}", remedy=did_you_mean(key, fields))
    if fixed:
        raise SpecError(f"{key!r} is fixed under config and searched under space", remedy="leave it out of one of them")
    annotation = fields[key].annotation
    kinds = scalar_types(annotation)
    if annotation is Any:
        return
    if isinstance(entry, Uniform | LogUniform) and float not in kinds:
        low, high = bounds_or_values(entry)
        listed = f"{{integers: [{low:g}, {high:g}]}}, or {{choice: [...]}}" if int in kinds else "{choice: [...]}"
        what = "whole numbers" if int in kinds else "yes or no" if bool in kinds else "words"
        raise SpecError(f"a continuous range for {key!r}, which takes {what}", remedy=f"write {listed}")
    if isinstance(entry, IntRange) and not kinds & {int, float}:
        raise SpecError(f"a range of numbers for {key!r}, which takes none", remedy="write {choice: [...]}")


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say in which part of the file a configuration is wrong."""
    try:
        yield
    except SpecError as error:
        raise SpecError(error.what, where=where, remedy=error.remedy) from error


def bounds_or_values(entry: Range) -> list[Any]:
    """Return the values of a range that a config must accept: all listed ones, all whole numbers if few, or bounds."""
    (values,) = entry.model_dump().values()
    if isinstance(entry, IntRange) and values[1] - values[0] <= _EVERY_INTEGER:
        return list(range(values[0], values[1] + 1))
    return list(values)


def _override(values: dict[str, Any], item: str) -> tuple[str, ...]:
    """Set one value, and return its key."""
    key, separator, text = item.partition("=")
    if not separator or not key:
        raise SpecError(f"not of the form key.sub=value: {item!r}", where="--set")
    path = tuple(key.split("."))
    current: Any = values
    for part in path[:-1]:
        if current.get(part) is None:
            current[part] = {}
        current = current[part]
        if not isinstance(current, dict):
            raise SpecError(f"{part!r} is not a section that has keys", where=f"--set {key}")
    current[path[-1]] = option_value(text, f"--set {key}")
    return path


def option_value(text: str, where: str) -> Any:
    """Return what an option's text says as YAML; ``#`` begins no comment there, it belongs to the value.

    Args:
        text: ``7``, ``[1, 2]``, ``{grid: [1, 2]}``, ``/data/faces #1`` ...
        where: the option, for messages.

    Raises:
        SpecError: it is not readable, or a number that YAML reads otherwise than people do.
    """
    documents, problems = read_yaml(text, refuse_misread=True)
    if problems:
        raise SpecError(f"the value is not readable as YAML: {text!r}: {problems[0].what}", where=where)
    if not documents:
        return None
    node = documents[0].node
    if text[node.end_mark.index :].strip() or len(documents) > 1:
        if not isinstance(documents[0].value, str) or node.style is not None or "\n" in text:
            raise SpecError(f"more than one value: {text!r}", where=where, remedy="put a value that has a # in quotes")
        return text.strip()
    return documents[0].value
