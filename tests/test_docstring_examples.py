"""The examples in docstrings print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "fasray").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


def test_metrics_search_spaces_and_schedules_have_examples() -> None:
    named = {"metrics.curves", "metrics.rates", "metrics.thresholds", "methods.space", "runs.schedule"}
    assert {f"fasray.{name}" for name in named} <= set(WITH_EXAMPLES)
