"""The PAD report in a real browser: quiet, alone, as wide as the screen, and a few pages of paper."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from browsing import WIDTHS, open_at, requests
from made_runs import Size, write_run

from fasray.results.pad_report import PadOptions, build_pad_report, pad_report_html
from fasray.runs.record import read_run


@pytest.fixture(scope="module")
def pad_page(site: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("pad") / "run"
    write_run(folder, Size(methods=("erm",), protocols=("O&C&I->M",), searched=0), card={"kind": "synthetic"})
    report = build_pad_report(read_run(str(folder)), PadOptions("erm", "O&C&I->M", iapar=0.04, frr=0.02))
    address: str = site.put("/pad", pad_report_html(report))
    return address


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_it_says_nothing_asks_nothing_and_fits(browser: Any, pad_page: str, asked: list[str], width: int) -> None:
    open_at(browser, pad_page, width)
    assert browser.get_log("browser") == []
    assert requests(browser) == [pad_page]
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    shown = "return document.querySelector('.loud').getBoundingClientRect().top"
    assert browser.execute_script(shown) < 300  # the warning is what is read first


def test_it_is_a_few_pages_of_paper(browser: Any, pad_page: str) -> None:
    open_at(browser, pad_page, 794, media="print")
    sheet = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", sheet)) <= 7
