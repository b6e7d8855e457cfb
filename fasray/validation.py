"""What is wrong with settings, and how two differ, in one line each: for people, with key and remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from fasray.errors import SpecError, did_you_mean

Location = tuple[int | str, ...]


class Section(BaseModel):
    """A part of a settings file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def spec_error(
    error: ValidationError,
    model: type[BaseModel],
    *,
    file: str = "",
    prefix: str = "",
    line_of: Callable[[Location], int | None] = lambda location: None,
) -> SpecError:
    """Turn the most telling finding of a validation into a SpecError.

    Args:
        error: what pydantic found.
        model: the model that was validated; its fields are offered for an unknown key.
        file: name of the file the values came from.
        prefix: key under which the model's values stand.
        line_of: line number of a key path in the file, if known.
    """
    finding = min(error.errors(), key=_remoteness)
    location = tuple(part for part in finding["loc"] if not (isinstance(part, str) and _is_type_name(part)))
    key = ".".join(str(part) for part in ((prefix,) if prefix else ()) + location)
    line = line_of(location)
    where = ", ".join(filter(None, (file, f"line {line}" if line else "", f"key {key}" if key else "")))
    others = len({part["loc"][:2] for part in error.errors()}) - 1
    more = f" (and {others} more)" if others else ""
    if finding["type"] == "extra_forbidden":
        word = str(location[-1])
        remedy = did_you_mean(word, known_keys(model, location[:-1]))
        return SpecError(f"unknown key {word!r}{more}", where=where, remedy=remedy)
    if finding["type"] == "missing":
        return SpecError(f"the key {location[-1]!r} is missing{more}", where=where, remedy=f"add `{key}:`")
    given = finding.get("input")
    what = finding["msg"][:1].lower() + finding["msg"][1:].removeprefix("Value error, ")
    what = what.removeprefix("value error, ")
    return SpecError(f"{what}; given: {_short(given)}{more}", where=where)


def known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Return the field names of the model at ``location`` below ``model``; of all, if it may be several."""
    current: Any = model
    for part in location:
        fields = [kind.model_fields[str(part)] for kind in _models(current) if part in kind.model_fields]
        if fields:
            current = fields[0].annotation
        else:  # a key of a mapping or a place in a list
            containers = [kind for kind in (current, *get_args(current)) if get_origin(kind) in (dict, list, tuple)]
            current = get_args(containers[0])[-1 if get_origin(containers[0]) is dict else 0] if containers else None
    return [field for kind in _models(current) for field in kind.model_fields]


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a value of this annotation may be."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if get_origin(annotation) in (dict, list, tuple):
        return []
    return [model for part in get_args(annotation) for model in _models(part)]


def _remoteness(finding: Any) -> tuple[int, int]:
    """Order findings: of the members of a union, the one that was meant fails deepest and not by its shape."""
    by_shape = {"extra_forbidden": 1, "missing": 2, "literal_error": 2}
    return by_shape.get(finding["type"], 0), -len(finding["loc"])


def _is_type_name(part: str) -> bool:
    """Pydantic puts the tried member of a union into the location: class names and literals, not keys."""
    return part[:1].isupper() or "[" in part


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line for each key in which two canonical forms differ."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "(none)"), new.get(key, "(none)")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += difference(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {before!r} -> {after!r}")
    return lines


def same_values(old: object, new: object) -> bool:
    """Return whether two canonical forms mean the same: numbers by their value, ``'1e-3'`` of old forms among them."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(same_values(value, new[key]) for key, value in old.items())
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(same_values, old, new))
    if old == new:
        return isinstance(old, bool) == isinstance(new, bool)
    numbers = (_number(old), _number(new))
    return numbers[0] is not None and numbers[0] == numbers[1]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
