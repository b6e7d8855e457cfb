"""What other packages provide by entry points, and what a process registers for a while, by name.

An entry point is found in every process and on every node where its package is installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from fasray.errors import SpecError, did_you_mean

T = TypeVar("T")


class Plugins(Generic[T]):
    """The objects of one kind that are not built in.

    Args:
        group: of the entry points, each ``NAME = module:attribute``.
        kind: what they are, in one word.
        built_in: names that they may not have.
    """

    def __init__(self, group: str, kind: str, built_in: Collection[str]) -> None:
        self.group, self.kind = group, kind
        self._built_in = built_in
        self._registered: dict[str, T] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of all: those of installed packages, then registered ones.

        Raises:
            SpecError: a package gives one a name that is taken.
        """
        return (*self._places, *self._registered)

    def get(self, name: str, where: str) -> T:
        """Return the object of that name; this imports its module.

        Args:
            name: of no built-in one.
            where: the place that names it, for messages.

        Raises:
            SpecError: there is none of that name, or the package that provides it cannot be imported.
        """
        if name in self._registered:
            return self._registered[name]
        if name not in self._places:
            known = (*self._built_in, *self.names())
            raise SpecError(f"unknown {self.kind} {name!r}", where=where, remedy=did_you_mean(name, known))
        try:
            found: T = load(self._places[name])
            return found
        except (ImportError, AttributeError) as error:
            raise SpecError(
                f"{self.kind} {name!r} cannot be loaded: {error}",
                where=f"entry point {name} = {self._places[name]} of group {self.group}",
                remedy="fix or remove the package that provides it",
            ) from error

    @contextmanager
    def registered(self, name: str, value: T, where: str) -> Iterator[None]:
        """Register an object inside a ``with`` block, in this process.

        Raises:
            SpecError: the name is taken.
        """
        if name in self._built_in or name in self.names():
            raise SpecError(f"{self.kind} {name!r} is already registered", where=where, remedy="choose another name")
        self._registered[name] = value
        try:
            yield
        finally:
            del self._registered[name]

    @cached_property
    def _places(self) -> dict[str, str]:
        """Where the objects of installed packages are, by name; looked up once per process."""
        found: dict[str, str] = {}
        for point in entry_points(group=self.group):
            if point.name in self._built_in or found.get(point.name, point.value) != point.value:
                raise SpecError(
                    f"two packages provide a {self.kind} {point.name!r}",
                    where=f"entry point {point.name} = {point.value} of group {self.group}",
                    remedy="rename it in the package's entry points, or remove the package",
                )
            found[point.name] = point.value
        return found


def load(place: str) -> Any:
    """Return the object at ``module:attribute``."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
