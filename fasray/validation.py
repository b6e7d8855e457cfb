"""What is wrong with settings, and how two differ, in one line each: for people, with key and remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from fasray.errors import SpecError, did_you_mean

Location = tuple[int | str, ...]


SEED_LIMIT = 2**63
"""Seeds are below it: they are kept as 64-bit integers."""


class Settings(BaseModel):
    """A model whose values are what their text says: ``yes`` is no number, ``6.000`` no whole one, ``"010"`` neither.

    Otherwise pydantic's usual conversions hold, so that ``"0.1"``, ``1e-1`` and ``0.1`` are the same number.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _is_what_it_looks_like(cls, value: Any, info: ValidationInfo) -> Any:
        if why := misfit(value, cls.model_fields[str(info.field_name)].annotation):
            raise ValueError(why)
        return value


class Section(Settings):
    """A part of a settings file: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def scalar_types(annotation: Any) -> set[type]:
    """Return which of ``bool``, ``int``, ``float`` and ``str`` a value of this annotation may be, but for literals."""
    return {part for part in _members(annotation) if part in (bool, int, float, str)}


_LEADING_ZERO = re.compile(r"\s*[-+]?0[0-9_]")
_POINT_IN_A_WHOLE_NUMBER = re.compile(r"\s*[-+]?[0-9][0-9_]*\.")


def misfit(value: Any, annotation: Any) -> str:
    """Return why a value is not what its text says, where pydantic would take it for the annotation; else nothing."""
    if isinstance(value, list | tuple):
        kinds = [get_args(part)[0] for part in _members(annotation) if get_origin(part) in (list, tuple)]
        return next(filter(None, (misfit(item, kind) for item in value for kind in kinds)), "")
    types = scalar_types(annotation)
    if types == {bool} and isinstance(value, float):
        return "true or false is wanted here"
    if str in types or not types & {int, float}:
        return ""
    if isinstance(value, bool) and bool not in types:
        return "a number is wanted here; yes, no, on, off, true and false are not numbers"
    pointed = isinstance(value, float) or (isinstance(value, str) and _POINT_IN_A_WHOLE_NUMBER.match(value))
    if pointed and float not in types:
        return "a whole number is wanted here; write it without a point, which separates decimals, not thousands"
    if isinstance(value, str) and _LEADING_ZERO.match(value):
        return "a number is written without leading zeros"
    return ""


def _members(annotation: Any) -> list[Any]:
    """Return the members of a union, without what annotates them."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (dict, list, tuple, Literal) or not get_args(annotation):
        return [annotation]
    return [member for part in get_args(annotation) for member in _members(part)]


def spec_error(
    error: ValidationError,
    model: type[BaseModel],
    *,
    prefix: str = "",
    place_of: Callable[[Location], str] = lambda location: "",
) -> SpecError:
    """Turn the most telling finding of a validation into a SpecError.

    Args:
        error: what pydantic found.
        model: the model that was validated; its fields are offered for an unknown key.
        prefix: key under which the model's values are.
        place_of: where a key path was given, file and line; empty if that is not known.
    """
    finding = min(error.errors(), key=_remoteness)
    location = tuple(part for part in finding["loc"] if not (isinstance(part, str) and _is_type_name(part)))
    key = ".".join(str(part) for part in ((prefix,) if prefix else ()) + location)
    where = ", ".join(filter(None, (place_of(location), f"key {key}" if key else "")))
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
