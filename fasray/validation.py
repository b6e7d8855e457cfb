"""From pydantic's findings to one sentence with key, line and remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fasray.errors import SpecError, did_you_mean

Location = tuple[int | str, ...]


def spec_error(
    error: ValidationError,
    model: type[BaseModel],
    *,
    file: str = "",
    prefix: str = "",
    line_of: Callable[[Location], int | None] = lambda location: None,
) -> SpecError:
    """Turn the first finding of a validation into a SpecError.

    Args:
        error: what pydantic found.
        model: the model that was validated; its fields are offered for an unknown key.
        file: name of the file the values came from.
        prefix: key under which the model's values stand.
        line_of: line number of a key path in the file, if known.
    """
    finding = error.errors()[0]
    location = tuple(part for part in finding["loc"] if not (isinstance(part, str) and _is_type_name(part)))
    key = ".".join(str(part) for part in ((prefix,) if prefix else ()) + location)
    line = line_of(location)
    where = ", ".join(filter(None, (file, f"line {line}" if line else "", f"key {key}" if key else "")))
    others = len(error.errors()) - 1
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
    """Return the field names of the model that stands at ``location`` below ``model``."""
    current: Any = model
    for part in location:
        kinds = [current] if isinstance(current, type) else list(get_args(current))
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        found = next((kind.model_fields[str(part)].annotation for kind in models if part in kind.model_fields), None)
        current = found if found is not None else (get_args(current) or (None,))[-1]
    kinds = [current] if isinstance(current, type) else list(get_args(current))
    return [
        field for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel) for field in kind.model_fields
    ]


def _is_type_name(part: str) -> bool:
    """Pydantic puts the tried member of a union into the location: class names and literals, not keys."""
    return part[:1].isupper() or "[" in part


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
