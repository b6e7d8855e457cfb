"""Settings of a method: how a field is declared, and what the command line and the documentation print of it.

A field of a ``Config`` is one line; the docstring below it gives the meaning and the paper's value::

    triplet_weight: float = quantity(1.0, ge=0, le=100)
    \"\"\"Weight of the asymmetric triplet loss. Paper: 1; 2 for ICM->O.\"\"\"

What follows ``Paper:``, up to a semicolon or the end, is that value as a sweep file would give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from fasray.methods.later import LATER
from fasray.methods.later import later as later

if TYPE_CHECKING:
    from fasray.methods.base import Method, MethodConfig

Number = TypeVar("Number", int, float)


def quantity(
    default: Number,
    *,
    unit: str = "1",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    later: bool = False,
) -> Number:
    """Return the pydantic field of a number: its default, its unit (``1`` = none) and its bounds.

    ``later``: see :func:`later`.
    """
    extra: dict[str, Any] = {"unit": unit, LATER: True} if later else {"unit": unit}
    field: Number = Field(default, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra=extra)
    return field


@dataclass(frozen=True)
class Setting:
    """One setting as text; empty where there is nothing to print."""

    name: str
    type: str
    """``number``, ``integer``, ``boolean`` or ``string``."""
    unit: str
    range: str
    """Bounds (``>= 0, < 1``) or values (``sgd | adam``)."""
    default: str
    """As a sweep file gives it."""
    paper: str
    """The paper's value, and perhaps a remark after a semicolon."""
    searched: str
    """Default range of a search."""
    meaning: str


def describe(config: type[MethodConfig]) -> list[Setting]:
    """Return the settings of a method in their order."""
    space = config.space()
    found = []
    for name, described in config.model_json_schema()["properties"].items():
        entry = _of_value(described)
        meaning, _, paper = entry.get("description", "").partition("Paper: ")
        default = entry.get("default", "")
        found.append(
            Setting(
                name=name,
                type=entry.get("type", ""),
                unit=entry.get("unit", ""),
                range=_range(entry),
                default=_as_written(default),
                paper=paper.removesuffix("."),
                searched=" ".join(f"{k} {list(v)}" for k, v in space[name].model_dump().items())
                if name in space
                else "",
                meaning=meaning.strip(),
            )
        )
    return found


def arithmetic(method: type[Method]) -> str:
    """Return, in a sentence, what a method does with ``training.precision: bf16`` and with ``training.compile``."""
    half = (
        f"With precision: bf16 its {method.full_precision} stay float32, besides weights, gradients, optimizers, "
        "statistics of batch normalisation and scores, which do with every method."
    )
    return f"{half} It cannot be compiled: {method.no_compile}." if method.no_compile else half


def _of_value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the JSON schema of a setting, that of its other kind of value for one that may also be null."""
    kinds = [kind for kind in entry.get("anyOf", ()) if kind.get("type") != "null"]
    return {**entry, **kinds[0]} if len(kinds) == 1 else entry


def _as_written(default: object) -> str:
    """Return a default as a sweep file gives it."""
    return "null" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def _range(entry: Mapping[str, Any]) -> str:
    """Return the values that a setting may have, of its JSON schema."""
    if entry.get("default", "") is None:
        return f"{_range({**entry, 'default': ''})} | null"
    if "enum" in entry:
        return " | ".join(map(str, entry["enum"]))
    if entry.get("type") == "boolean":
        return "true | false"
    return bounds(entry)


def bounds(entry: Mapping[str, Any]) -> str:
    """Return the bounds in the JSON schema of a number, ``>= 0, < 1``; empty without any."""
    signs = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    signs["multipleOf"] = "multiple of"
    return ", ".join(f"{sign} {entry[key]}" for key, sign in signs.items() if key in entry)
