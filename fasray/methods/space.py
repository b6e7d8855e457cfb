"""Ranges of a search space, as a sweep file writes them: ``{choice: [...]}``, ``{loguniform: [low, high]}`` ...

>>> from pydantic import TypeAdapter
>>> search = TypeAdapter(Range).validate_python({"loguniform": [1e-4, 1e-2]})
>>> search
LogUniform(loguniform=(0.0001, 0.01))
>>> rng = np.random.default_rng(0)
>>> draws = [search.sample(rng) for _ in range(1000)]
>>> round(sum(draw < 1e-3 for draw in draws) / 1000, 1)  # as many below the geometric mean as above it
0.5
>>> sorted({IntRange(integers=(1, 3)).sample(rng) for _ in range(100)})
[1, 2, 3]
>>> Choice(choice=("l2", "sq")).sample(rng) in {"l2", "sq"}
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from fasray.validation import Settings

Value = bool | int | float | str | None
"""A config value that a range may give."""


class _Range(Settings):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Grid(_Range):
    """Every listed value; grids are crossed with each other and with the sampled draws."""

    grid: tuple[Value, ...] = Field(min_length=1)


class Choice(_Range):
    """One of the listed values, all equally likely."""

    choice: tuple[Value, ...] = Field(min_length=1)

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one value."""
        return self.choice[int(rng.integers(len(self.choice)))]


class Uniform(_Range):
    """A float between the two bounds."""

    uniform: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if not self.uniform[0] < self.uniform[1]:
            raise ValueError("the first bound must be below the second")
        return self

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one value."""
        return float(rng.uniform(*self.uniform))


class LogUniform(_Range):
    """A float between two positive bounds, uniform in its logarithm."""

    loguniform: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> LogUniform:
        if not 0 < self.loguniform[0] < self.loguniform[1]:
            raise ValueError("the bounds must be positive and the first below the second")
        return self

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one value."""
        low, high = np.log(self.loguniform)
        return float(np.exp(rng.uniform(low, high)))


class IntRange(_Range):
    """An integer between the two bounds, both included."""

    integers: tuple[int, int]

    @model_validator(mode="after")
    def _ordered(self) -> IntRange:
        if not self.integers[0] < self.integers[1]:
            raise ValueError("the first bound must be below the second")
        return self

    def sample(self, rng: np.random.Generator) -> Value:
        """Draw one value."""
        return rng.integers(self.integers[0], self.integers[1] + 1).item()


def _of_one_kind(value: object) -> object:
    if isinstance(value, Mapping) and len(value) != 1:
        given = f"{len(value)}: {', '.join(sorted(map(str, value)))}" if value else "none"
        raise ValueError(f"a range is one of grid, choice, uniform, loguniform and integers, and this has {given}")
    return value


Sampled = Choice | Uniform | LogUniform | IntRange
Range = Annotated[
    Grid | Choice | Uniform | LogUniform | IntRange, Field(union_mode="left_to_right"), BeforeValidator(_of_one_kind)
]


def scaled(entry: Range, factor: float) -> Range:
    """Return a range of positive numbers, each multiplied by ``factor`` and rounded to 6 digits; others as they are.

    >>> scaled(LogUniform(loguniform=(1e-3, 3e-2)), 0.05)
    LogUniform(loguniform=(5e-05, 0.0015))
    """
    if isinstance(entry, IntRange):
        return entry
    ((kind, values),) = entry.model_dump().items()
    moved = [float(f"{value * factor:.6g}") if isinstance(value, int | float) else value for value in values]
    return type(entry).model_validate({kind: moved})
