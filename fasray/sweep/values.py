"""Values of a sweep file as the fields of a method have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fasray.methods import registry
from fasray.methods.space import Choice, Grid, Range, Value

if TYPE_CHECKING:
    from fasray.methods.base import MethodConfig


def entered(method: str, config: MethodConfig, key: str, entry: Range) -> Range:
    """Return a range whose listed values have the type of their field."""
    if not isinstance(entry, Grid | Choice):
        return entry
    listed = entry.grid if isinstance(entry, Grid) else entry.choice
    values = tuple(registry.value(method, config, key, value) for value in listed)
    return Grid(grid=values) if isinstance(entry, Grid) else Choice(choice=values)


def as_before(given: Any, value: Value) -> Value:
    """Return the value of a field; an equal number as it was given, 0 or 0.0, because hashes of old runs must stay."""
    return given if type(given) in (int, float) and given == value else value
