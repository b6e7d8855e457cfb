"""Values of a sweep file: numbers that may be ``auto``, trackers, and values as the fields of a method have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator

from fasray.errors import did_you_mean
from fasray.methods import registry
from fasray.methods.space import Choice, Grid, Range, Value
from fasray.training.trackers import tracker_names

if TYPE_CHECKING:
    from fasray.methods.base import MethodConfig


def _at_least_one(value: Literal["auto"] | int) -> Literal["auto"] | int:
    if value != "auto" and value < 1:
        raise ValueError("at least one trial must be allowed to run")
    return value


def _at_least_one_core(value: Literal["auto"] | int) -> Literal["auto"] | int:
    if value != "auto" and value < 1:
        raise ValueError("a worker needs at least one CPU core")
    return value


def _a_share_or_whole_gpus(value: Literal["auto"] | float) -> Literal["auto"] | float:
    if value != "auto" and (value < 0 or (value > 1 and value != int(value))):
        raise ValueError("a worker has a fraction of one GPU, or whole GPUs")
    return value


def _known_trackers(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in tracker_names():
            raise ValueError(f"unknown tracker {name!r}: {did_you_mean(name, tracker_names())}")
    return tuple(dict.fromkeys(names))


MaxConcurrent = Annotated[Literal["auto"] | int, AfterValidator(_at_least_one)]
AutoInt = Annotated[Literal["auto"] | int, AfterValidator(_at_least_one_core)]
AutoShare = Annotated[Literal["auto"] | float, AfterValidator(_a_share_or_whole_gpus)]
TrackerNames = Annotated[tuple[str, ...], AfterValidator(_known_trackers)]


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
