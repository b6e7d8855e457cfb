"""The documentation as a site: built strictly, in a real browser quiet and alone, on a desk and on a phone."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from browsing import open_at, requests
from locations import ROOT

MISSING = [
    name for name in ("mkdocs", "material", "mkdocstrings", "mkdocs_click") if not importlib.util.find_spec(name)
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}: pip install 'fasray[docs]'")
WIDTHS = {"desk": 1280, "phone": 390}
SAMPLE = ("index.html", "reference/cli.html", "reference/methods/safas.html", "tutorial/first-table.html")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documentation") / "site"
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return folder


@pytest.fixture(scope="module")
def served(built: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def pages(built: Path) -> list[str]:
    return sorted(page.relative_to(built).as_posix() for page in built.rglob("*.html"))


def look_at(browser: Any, address: str, width: int) -> dict[str, Any]:
    """What is wrong with a page at a width, by kind; nothing for a good one."""
    open_at(browser, address, width)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    root = re.match(r"http://[^/]+/", address)
    assert root
    sent = [url for url in requests(browser) if not url.startswith(("blob:", "chrome"))]  # chrome: its own first tab
    strangers = [url for url in sent if not url.startswith(root[0])]
    found = {"console": browser.get_log("browser"), "too wide": wide - width, "asked elsewhere": strangers}
    return {kind: what for kind, what in found.items() if what}


def test_every_page_of_the_documentation_is_in_the_site(built: Path) -> None:
    written = {
        page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for page in (ROOT / "docs").rglob("*.md")
    }
    assert written < set(pages(built))
    assert not list(built.rglob("*.py"))


def test_no_page_loads_anything_from_elsewhere(built: Path) -> None:
    for name in pages(built):
        text = (built / name).read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=\"([^\"]+)", text)
        loaded += re.findall(r"<link\b(?![^>]*rel=\"canonical)[^>]*\bhref=\"([^\"]+)", text)
        assert [url for url in loaded if re.match(r"(?:https?:)?//", url)] == [], name


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_pages_are_quiet_alone_and_fit(browser: Any, served: str, asked: list[str], width: int) -> None:
    assert {name: wrong for name in SAMPLE if (wrong := look_at(browser, served + name, width))} == {}


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_all_pages_are_quiet_alone_and_fit(
    browser: Any, built: Path, served: str, asked: list[str], width: int
) -> None:
    assert {name: wrong for name in pages(built) if (wrong := look_at(browser, served + name, width))} == {}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_navigation_leads_to_another_page(browser: Any, served: str, width: int) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.expected_conditions import element_to_be_clickable, title_contains
    from selenium.webdriver.support.wait import WebDriverWait

    look_at(browser, f"{served}index.html", width)
    wait = WebDriverWait(browser, 20)
    if width == WIDTHS["phone"]:
        wait.until(element_to_be_clickable((By.CSS_SELECTOR, ".md-header label[for='__drawer']"))).click()
        labels = (By.CSS_SELECTOR, ".md-nav--primary > .md-nav__list > li > label")
        named = wait.until(lambda page: [found for found in page.find_elements(*labels) if found.text == "Tutorial"])
        wait.until(element_to_be_clickable(named[0])).click()
    wait.until(
        element_to_be_clickable((By.CSS_SELECTOR, ".md-nav--primary a[href='tutorial/first-table.html']"))
    ).click()
    wait.until(title_contains("A first table"))
    assert browser.current_url == f"{served}tutorial/first-table.html"


def test_the_search_finds_a_page(browser: Any, served: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    look_at(browser, f"{served}index.html", WIDTHS["desk"])
    browser.find_element(By.CSS_SELECTOR, ".md-search__input").send_keys("optimism gap")
    found = WebDriverWait(browser, 20).until(
        lambda page: page.find_elements(By.CSS_SELECTOR, ".md-search-result__link[href*='optimism-gap']")
    )
    assert found
