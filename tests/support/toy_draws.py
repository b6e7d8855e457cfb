"""The toy draws of ``fasray.testing`` for methods by their registered name."""

from __future__ import annotations

from typing import Any

from fasray import testing
from fasray.methods import registry
from fasray.methods.base import Method
from fasray.testing import context, draws_of, run, toy_draw, weights

__all__ = ["SMALL", "built", "context", "draws_of", "run", "toy_draw", "weights"]

SMALL = {"hfn_mp": {"inner_loops": 2}}
"""Settings that make a method cheap to test, by method."""


def built(name: str, num_domains: int = 3, **options: Any) -> Method:
    return testing.built(registry.get(name), num_domains, **{**SMALL.get(name, {}), **options})
