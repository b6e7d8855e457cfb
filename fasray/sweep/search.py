"""Which configurations a cell tries: the paper's own setting first, then a grid, seeded draws or what results suggest.

Suggestion ``i`` of a grid or of random draws is a pure function of (space, search seed, cell, i): a sweep that is
resumed, or run with another number of workers, tries the same configurations in the same order. A searcher that learns
(``fasray.sweep.tpe``) also looks at what was tried before, and at nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fasray import seeds
from fasray.errors import SpecError
from fasray.methods.space import Choice, Grid, Range, Sampled, Value

Point = Mapping[str, Value]
"""The searched part of a configuration: field name -> value."""
_REDRAWS = 50


@dataclass(frozen=True)
class Tried:
    """A suggested point and what has come of it."""

    point: Point
    value: float | None = None
    """Higher is better; -inf for a trial that diverged, None for one that is running or failed."""
    open: bool = False
    """Its result is still to come."""


class Searcher(Protocol):
    """Says what a cell tries next; it holds no state, so what was tried before is all that a resumed sweep needs."""

    @property
    def total(self) -> int:
        """Number of different points that the cell tries."""

    @property
    def max_concurrent(self) -> int | None:
        """Most suggestions whose results may be open; None for any number."""

    @property
    def lag(self) -> int | None:
        """Suggestion ``n`` is made of the results of all before ``n + 1 - lag`` and of no other; None: as they come."""

    def known(self, number: int) -> Point | None:
        """Return point ``number`` of the cell if no result can change it, else None."""

    def next(self, history: Sequence[Tried]) -> Point:
        """Return the point that follows ``history``, which has fewer than ``total`` points, in order of suggestion."""


@dataclass(frozen=True)
class FixedSearcher:
    """A grid or draws that no result changes."""

    points: tuple[Point, ...]
    max_concurrent: int | None = None
    lag: int | None = None

    @property
    def total(self) -> int:
        """Number of different points that the cell tries."""
        return len(self.points)

    def known(self, number: int) -> Point:
        """Return point ``number``."""
        return self.points[number]

    def next(self, history: Sequence[Tried]) -> Point:
        """Return the point that follows ``history``."""
        return self.points[len(history)]


def grid_points(space: Mapping[str, Range]) -> list[dict[str, Value]]:
    """Cross every grid and choice of the space.

    Raises:
        SpecError: a range of the space is continuous.
    """
    for name, entry in space.items():
        if not isinstance(entry, Grid | Choice):
            raise SpecError(
                "a grid search needs listed values, and this is a continuous range",
                where=f"space.{name}",
                remedy="write {grid: [...]}, or use search.algorithm: random",
            )
    values = [entry.grid if isinstance(entry, Grid) else entry.choice for entry in space.values()]  # type: ignore[union-attr]
    return [dict(zip(space, combination, strict=True)) for combination in itertools.product(*values)]


def random_points(
    space: Mapping[str, Range], default: Point, draws: int, seed: int, cell: str
) -> list[dict[str, Value]]:
    """Draw ``draws`` different points, the first of them the default, each crossed with every grid of the space.

    Each draw and parameter has a stream of its own, so that adding a parameter leaves the others' draws as they were.
    A space of listed values only may have fewer different points; then those are all.
    """
    grids = {name: entry.grid for name, entry in space.items() if isinstance(entry, Grid)}
    sampled: dict[str, Sampled] = {name: entry for name, entry in space.items() if not isinstance(entry, Grid)}
    drawn: list[dict[str, Value]] = [{name: default[name] for name in sampled}]
    for index in range(1, draws * _REDRAWS if sampled else 1):
        if len(drawn) == draws:
            break
        point = {name: entry.sample(seeds.stream(seed, "search", cell, index, name)) for name, entry in sampled.items()}
        if point not in drawn:
            drawn.append(point)
    crossed = [
        {**point, **dict(zip(grids, values, strict=True))}
        for point in drawn
        for values in itertools.product(*grids.values())
    ]
    return [{name: point[name] for name in space} for point in crossed]


def with_default_first(points: Sequence[dict[str, Value]], default: Point) -> list[dict[str, Value]]:
    """Put the paper's own setting first, adding it if it is not among the points, and drop repetitions."""
    ordered: list[dict[str, Value]] = [dict(default)]
    for point in points:
        if point not in ordered:
            ordered.append(point)
    return ordered


def suggestions(
    algorithm: str, space: Mapping[str, Range], default: Mapping[str, Any], draws: int, seed: int, cell: str
) -> list[dict[str, Value]]:
    """Return all points that a cell tries, the paper's own setting first.

    Args:
        algorithm: ``grid`` or ``random``.
        space: ranges by config field.
        default: the full default configuration of the cell's method, of which the searched fields are taken.
        draws: random draws, the default among them; not used by ``grid``.
        seed: the sweep's search seed.
        cell: the cell's name, so that cells draw independently.
    """
    start = {name: default[name] for name in space}
    points = grid_points(space) if algorithm == "grid" else random_points(space, start, draws, seed, cell)
    return with_default_first(points, start)
