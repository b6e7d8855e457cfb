"""The methods by name. A new method is one file and one line here; listing names imports none of them.

A method of another package has the line in that package's entry points of group ``fasray.methods`` instead, so that it
is found in every process and on every node where the package is installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fasray.plugins import Plugins, load
from fasray.validation import spec_error

if TYPE_CHECKING:
    from fasray.methods.base import Method, MethodConfig

METHODS: Mapping[str, str] = {
    "erm": "fasray.methods.erm:ERM",
    "safas": "fasray.methods.safas:SAFAS",
    "hfn_mp": "fasray.methods.hfn_mp:HFNMP",
    "ssdg": "fasray.methods.ssdg:SSDG",
    "sdfanet": "fasray.methods.sdfanet:SDFANet",
    "rfmeta": "fasray.methods.rfmeta:RFMeta",
    "oneside_triplet": "fasray.methods.oneside_triplet:OneSideTriplet",
    "ssan": "fasray.methods.ssan:SSAN",
    "gacfas": "fasray.methods.gacfas:GACFAS",
    "gdfas": "fasray.methods.gdfas:GDFAS",
    "flip": "fasray.methods.flip:FLIP",
}
"""Class of each built-in method, ``module:class``."""

GROUP = "fasray.methods"
"""Entry points of installed packages: name = ``module:class``."""

_OTHERS: Plugins[type[Method]] = Plugins(GROUP, "method", METHODS)


def names() -> tuple[str, ...]:
    """Return the names of all methods: built-in ones, in the order of their registration, then those of other packages.

    Raises:
        SpecError: another package gives its method a name that is taken.
    """
    return (*METHODS, *_OTHERS.names())


@contextmanager
def registered(method: type[Method]) -> Iterator[None]:
    """Register a class by its name inside a ``with`` block, in this process; for tests and notebooks.

    Raises:
        SpecError: the name is taken by another class.
    """
    if method.name in names() and get(method.name) is method:
        yield
        return
    with _OTHERS.registered(method.name, method, f"{method.__qualname__}.name"):
        yield


def get(name: str) -> type[Method]:
    """Return the class of a method; this imports its module, and with it torch.

    Raises:
        SpecError: there is no method of that name, or the package that provides it cannot be imported.
    """
    if name in METHODS:
        method: type[Method] = load(METHODS[name])
        return method
    return _OTHERS.get(name, f"key methods.{name}")


def value(name: str, base: MethodConfig, key: str, given: object) -> Any:
    """Return a value as the field ``key`` of a method's configuration holds it.

    Raises:
        SpecError: the field cannot have it, or there is none of that name.
    """
    return getattr(config(name, {**base.model_dump(), key: given}), key)


def config(name: str, overrides: Mapping[str, Any] | None = None) -> MethodConfig:
    """Return a method's configuration: the published defaults, with ``overrides`` applied.

    Raises:
        SpecError: no such method, no such field, or a value outside its bounds; names key, value and remedy.
    """
    kind = get(name).Config
    try:
        return kind.model_validate(dict(overrides or {}))
    except ValidationError as error:
        raise spec_error(error, kind, prefix=f"methods.{name}.config") from error
