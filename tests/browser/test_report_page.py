"""The report in a real browser: quiet, alone, readable on a desk and on a phone, usable by keyboard, printable."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from browsing import WIDTHS, assert_readable, open_at, requests

OPEN_ALL = "document.querySelectorAll('details').forEach(part => part.open = true)"
SMALLEST_TEXT = 8.5
"""CSS pixels; the labels of a plot on a phone."""


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_it_says_nothing_asks_nothing_and_fits(browser: Any, report_page: str, asked: list[str], width: int) -> None:
    open_at(browser, report_page, width)
    browser.execute_script(OPEN_ALL)
    assert browser.get_log("browser") == []
    assert requests(browser) == [report_page]
    assert asked == ["/report"]
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert browser.execute_script("return document.documentElement.scrollHeight") > 3000


def test_a_name_that_is_a_script_is_only_shown(browser: Any, report_page: str) -> None:
    open_at(browser, report_page, 1440)
    assert "fasray report" in browser.title
    assert browser.execute_script("return document.querySelector('h1').textContent").startswith("<script>")
    assert browser.execute_script("return document.scripts.length") == 0


def test_every_picture_has_a_text_alternative(browser: Any, report_page: str) -> None:
    open_at(browser, report_page, 1440)
    browser.execute_script(OPEN_ALL)
    pictures = browser.execute_script(
        "return [...document.querySelectorAll('img, svg')].map(p => {const box = p.getBoundingClientRect();"
        " return [p.alt || p.getAttribute('aria-label') || '', p.localName, p.getAttribute('role'), box.height]})"
    )
    assert len(pictures) > 20
    for words, kind, role, height in pictures:
        assert len(words) > 40
        assert kind == "img" or role == "img"
        assert height > 40


def test_labels_of_plots_stay_readable_on_a_phone(browser: Any, report_page: str) -> None:
    open_at(browser, report_page, 390)
    browser.execute_script(OPEN_ALL)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('svg text')].map(t => parseFloat(getComputedStyle(t).fontSize)"
        " * t.ownerSVGElement.getBoundingClientRect().width / t.ownerSVGElement.viewBox.baseVal.width)"
    )
    assert len(sizes) > 100
    assert min(sizes) >= SMALLEST_TEXT


def test_labels_of_plots_are_inside_them(browser: Any, report_page: str) -> None:
    open_at(browser, report_page, 1440)
    browser.execute_script(OPEN_ALL)
    outside = browser.execute_script(
        "return [...document.querySelectorAll('svg text')].filter(t => {const a = t.getBoundingClientRect(),"
        " b = t.ownerSVGElement.getBoundingClientRect(); return a.left < b.left - 1 || a.right > b.right + 1 ||"
        " a.top < b.top - 1 || a.bottom > b.bottom + 1}).map(t => t.textContent)"
    )
    assert outside == []


def test_the_keyboard_reaches_everything_in_order(browser: Any, report_page: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    open_at(browser, report_page, 1440)
    press = ActionChains(browser)
    press.send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "Skip to the results"
    press.send_keys(Keys.ENTER).perform()
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    open_at(browser, report_page, 1440)
    stops = browser.execute_script(
        "return [...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')]"
        ".filter(part => part.checkVisibility({contentVisibilityAuto: true})).length"
    )
    places, outlines = [], []
    for _ in range(stops):
        press.send_keys(Keys.TAB).perform()
        place, outline = browser.execute_script(
            "const part = document.activeElement, all = [...document.querySelectorAll('*')];"
            " return [all.indexOf(part), getComputedStyle(part).outlineStyle]"
        )
        places.append(place)
        outlines.append(outline)
    assert places == sorted(places)
    assert len(set(places)) == stops
    assert "none" not in outlines


def test_a_cell_unfolds_by_key_and_from_the_heat_map(browser: Any, report_page: str) -> None:
    from selenium.webdriver import Keys
    from selenium.webdriver.common.by import By

    open_at(browser, report_page, 1440)
    cells = browser.find_elements(By.CSS_SELECTOR, "details.cell")
    folded = next(cell for cell in cells if not cell.get_property("open"))
    folded.find_element(By.CSS_SELECTOR, "summary").send_keys(Keys.ENTER)
    assert folded.get_property("open")
    open_at(browser, report_page, 1440)
    for link in browser.find_elements(By.CSS_SELECTOR, ".heat a"):
        link.send_keys(Keys.ENTER)
    assert all(cell.get_property("open") for cell in browser.find_elements(By.CSS_SELECTOR, "details.cell"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, report_page: str, scheme: str) -> None:
    open_at(browser, report_page, 1440, prefers_color_scheme=scheme)
    assert_readable(browser, ["body", ".soft", ".lead", "nav a", ".marked", "svg text"], scheme)


def test_printing_shows_what_is_folded_and_leaves_the_links_out(browser: Any, report_page: str) -> None:
    open_at(browser, report_page, 794, media="print")
    heights = browser.execute_script(
        "return [...document.querySelectorAll('details.cell:not([open]) > :not(summary)')]"
        ".map(part => part.getBoundingClientRect().height)"
    )
    assert heights
    assert min(heights) > 0
    assert not browser.execute_script("return document.querySelector('nav').checkVisibility()")
    sheet = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    assert sheet.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", sheet)) >= 4
