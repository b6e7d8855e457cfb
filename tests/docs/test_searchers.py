"""What the page about searches claims is what they do: its table of two interacting weights, made again."""

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from locations import ROOT

SCRIPT = ROOT / "docs" / "explanation" / "searchers.py"


@pytest.fixture
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("searchers", SCRIPT)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        yield module


def test_multivariate_tpe_finds_more_than_random_draws_where_weights_interact(script: ModuleType) -> None:
    world = script.WORLDS["two weights that interact"]
    drawn, learned = (script.regrets(algorithm, world, 32, 8) for algorithm in ("random", "tpe"))
    assert learned.mean() < drawn.mean()
    assert (learned < drawn).sum() > 4


@pytest.mark.slow
def test_the_page_says_what_fifty_searches_give(script: ModuleType) -> None:
    """Better than random with 32 trials; not shown to be with 16."""
    page = SCRIPT.with_suffix(".md").read_text(encoding="utf-8")
    world = script.WORLDS["two weights that interact"]
    for trials, shown in ((16, False), (32, True)):
        line = script.row(world, trials)
        assert f"| {' | '.join(line)} |" in page, "python docs/explanation/searchers.py writes the tables anew"
        assert line[5].startswith("**-") == shown
