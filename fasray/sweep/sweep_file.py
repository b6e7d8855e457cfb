"""The sweep file: read safely, overridden from the command line, checked to the last key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fasray.errors import SpecError, did_you_mean
from fasray.methods import registry
from fasray.methods.space import Range
from fasray.sweep.auto import possible_specs
from fasray.sweep.spec import SweepSpec
from fasray.validation import spec_error
from fasray.yaml_lines import Problem, YamlDocument, read_yaml


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read, override and check a sweep file.

    Args:
        path: the YAML file.
        overrides: ``key.sub=value`` items, the value read as YAML.

    Raises:
        SpecError: with file, key and line of the first thing that is not right.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise SpecError("no such sweep file", where=str(path), remedy="see the folder sweeps/ for examples") from error
    except UnicodeDecodeError as error:
        raise SpecError("this is not a text file", where=str(path)) from error
    return parse_sweep(text, str(path), overrides)


def parse_sweep(text: str, file: str = "", overrides: Sequence[str] = ()) -> SweepSpec:
    """Check a sweep given as YAML text; like ``load_sweep``."""
    documents, problems = read_yaml(text)
    if len(documents) > 1:
        problems = [Problem(documents[1].node.start_mark.line, (), "a sweep file has one document, this has several")]
    if problems:
        line = f"line {problems[0].line}" if problems[0].line else ""
        raise SpecError(problems[0].what, where=", ".join(filter(None, (file, line))))
    source = documents[0] if documents else None
    values = source.value if source else None
    if source is None or not isinstance(values, dict):
        raise SpecError("a sweep file is a mapping of keys", where=file, remedy="start with `name:` and `data:`")
    for item in overrides:
        _override(values, item)
    try:
        spec = SweepSpec.model_validate(values)
    except ValidationError as error:
        raise spec_error(error, SweepSpec, file=file, line_of=source.line) from error
    for possible in possible_specs(spec):
        _check_methods(possible, file, source)
    return spec


def _check_methods(spec: SweepSpec, file: str, source: YamlDocument) -> None:
    """Check what pydantic cannot: names and values that the registry and the profiles decide."""
    for name in spec.methods:
        line = source.line(("methods", name))
        where = ", ".join(filter(None, (file, f"line {line}" if line else "")))
        if name not in registry.names():
            raise SpecError(
                f"unknown method {name!r}", where=f"{where}, key methods.{name}",
                remedy=did_you_mean(name, registry.names()),
            )  # fmt: skip
        try:
            config = spec.config(name)
            for key, entry in spec.space(name).items():
                if key not in type(config).model_fields:
                    raise SpecError(
                        f"unknown key {key!r}", where=f"key methods.{name}.space.{key}",
                        remedy=did_you_mean(key, type(config).model_fields),
                    )  # fmt: skip
                for value in bounds_or_values(entry):
                    registry.config(name, {**config.model_dump(), key: value})
            for label, overrides in spec.methods[name].ablations.items():
                with _naming(f"key methods.{name}.ablations.{label}"):
                    registry.config(name, {**config.model_dump(), **overrides})
            spec.training_of(name)
        except SpecError as error:
            raise SpecError(
                error.what, where=", ".join(filter(None, (where, error.where))), remedy=error.remedy
            ) from error


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say in which part of the file a configuration is wrong."""
    try:
        yield
    except SpecError as error:
        raise SpecError(error.what, where=where, remedy=error.remedy) from error


def bounds_or_values(entry: Range) -> list[Any]:
    """Return the values of a range that a config must accept: all listed ones, or the bounds."""
    (values,) = entry.model_dump().values()
    return list(values)


def _override(values: dict[str, Any], item: str) -> None:
    key, separator, text = item.partition("=")
    if not separator or not key:
        raise SpecError(f"not of the form key.sub=value: {item!r}", where="--set")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"the value is not readable as YAML: {text!r}", where=f"--set {key}") from error
    *path, last = key.split(".")
    current: Any = values
    for part in path:
        if current.get(part) is None:
            current[part] = {}
        current = current[part]
        if not isinstance(current, dict):
            raise SpecError(f"{part!r} is not a section that has keys", where=f"--set {key}")
    current[last] = value
