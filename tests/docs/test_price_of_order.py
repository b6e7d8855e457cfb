"""The price of order is what the code says, and what is promised of it holds: whole sweeps on a virtual clock."""

import importlib
from types import ModuleType

import pytest
from locations import ROOT

FOLDER = ROOT / "docs" / "explanation"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        return importlib.import_module("price_of_order")


def test_with_as_many_cells_as_slots_order_costs_hardly_anything(script: ModuleType) -> None:
    """The tables of the page say how much; here the worst of ten worlds is held against what is promised."""
    prices = {(price.cells, price.slots): price for price in script.prices(script.PRICE_WORLDS)}
    assert max(prices[28, 16].credit) <= 5
    assert max(prices[28, 16].longer) <= 3
    assert all(max(prices[cells, 1].credit) == max(prices[cells, 1].longer) == 0 for cells in script.CELLS)


def test_winners_are_not_worse_and_asha_keeps_them_for_a_quarter_of_the_grid(script: ModuleType) -> None:
    for search in script.SEARCHES:
        _, _, high = script.searched(search, script.QUALITY_WORLDS).better()
        assert high >= 0, f"{search}: winners under order are worse"
    found = script.searched(script.Search(64, 3, 0.05), script.QUALITY_WORLDS)
    assert found.cost[0].mean() <= 0.25
    assert found.kept(0) >= 0.95


def test_the_tables_of_the_page_are_those_of_the_code(script: ModuleType) -> None:
    page = script.PAGE.read_text(encoding="utf-8")
    assert page.count("\n| --- |") == 3
    assert script.renewed(page) == page, "python docs/explanation/price_of_order.py writes them anew"
