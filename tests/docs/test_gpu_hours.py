"""The forecast of a GPU's hours is what the code says: its tables, made again, are those of the page."""

import importlib.util
import sys

import pytest
from locations import ROOT

SCRIPT = ROOT / "docs" / "explanation" / "gpu_hours.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_tables_of_the_page_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("gpu_hours", SCRIPT)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    page = SCRIPT.with_name("gpu-hours.md").read_text(encoding="utf-8")
    assert page.count("\n| --- |") == 6
    assert module.renewed(page) == page, "python docs/explanation/gpu_hours.py writes them anew"
