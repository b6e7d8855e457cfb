"""A headless Chromium and a server on the loopback that counts what it is asked for."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from browsing import HOSTILE
from made_runs import Size, write_run

from fasray.results.report import render_report
from fasray.runs.record import read_run

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@dataclass
class Site:
    """Pages by path; ``asked`` is every path that was requested, in order."""

    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def put(self, path: str, page: str) -> str:
        self.pages[path] = page.encode()
        return self.address + path


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    found = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            page = found.pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *args: Any) -> None:
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
    if not (driver and chromium):
        pytest.skip("needs Chromium and its driver: on Debian, apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="session")
def report_page(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of the report of a small run with searches, several seeds and a name that wants to be a script."""
    folder = tmp_path_factory.mktemp("made") / "run"
    write_run(folder, Size(), card={"kind": "synthetic", "settings": {"author": HOSTILE}}, name=HOSTILE)
    return site.put("/report", render_report(read_run(str(folder))))


@pytest.fixture
def no_other_page(browser: Any) -> None:
    """Leave the page of the test before, which misses its server."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get_log("performance")


@pytest.fixture
def asked(site: Site, browser: Any) -> list[str]:
    """What the site is asked for during the test."""
    browser.get_log("browser")
    browser.get_log("performance")
    site.asked.clear()
    return site.asked
