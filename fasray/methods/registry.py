"""The methods by name. A new method is one file and one line here; listing names imports none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from fasray.errors import SpecError, did_you_mean
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
}
"""Where each method's class stands, ``module:class``."""


def names() -> tuple[str, ...]:
    """Return the names of all methods, in the order of their registration."""
    return tuple(METHODS)


def get(name: str) -> type[Method]:
    """Return the class of a method; this imports its module, and with it torch.

    Raises:
        SpecError: there is no method of that name.
    """
    if name not in METHODS:
        raise SpecError(f"unknown method {name!r}", where=f"key methods.{name}", remedy=did_you_mean(name, METHODS))
    module, _, attribute = METHODS[name].partition(":")
    method: type[Method] = getattr(importlib.import_module(module), attribute)
    return method


def config(name: str, overrides: Mapping[str, Any] | None = None) -> MethodConfig:
    """Return a method's configuration: the published defaults with ``overrides`` put over them.

    Raises:
        SpecError: no such method, no such field, or a value outside its bounds; names key, value and remedy.
    """
    kind = get(name).Config
    try:
        return kind.model_validate(dict(overrides or {}))
    except ValidationError as error:
        raise spec_error(error, kind, prefix=f"methods.{name}.config") from error
