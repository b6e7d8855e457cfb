"""The watched page in a real browser: live, quiet, alone, on a desk and on a phone, by keyboard, with hostile names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import made_driver
import pytest
from browsing import HOSTILE, WIDTHS, assert_readable, open_at, requests, text, tile, wait
from sweep_fixtures import SWEEP, make_table, plan_of
from virtual_clock import Clock
from watching import GENERATED, new_run, watching, write_log

from fasray import storage
from fasray.runs.events import EVENTS, Closed, Ended, Event, Opened, trials_of
from fasray.runs.ledger import Ledger
from fasray.sweep.plan import Plan

OPENED = Opened(at="2026-01-01T00:00:00+00:00", host="h", pid=1, versions={})
COMPLETE = Closed(at="2026-01-01T09:00:00+00:00", status="complete")
pytestmark = pytest.mark.usefixtures("no_other_page")
AT_BOTH_WIDTHS = pytest.mark.parametrize(
    "width", [pytest.param(WIDTHS["desk"], marks=pytest.mark.slow), WIDTHS["phone"]], ids=WIDTHS
)
TEXTS = (
    ".words", ".badge", ".tiles dt", ".phase", ".confirmed .phase", ".value small", ".log .good", ".no-winner .phase",
    ".log time", ".state-good", ".plain-button", ".legend li", ".failures .reason",
)  # fmt: skip
LONG = "א" * 40 + "\u202e" + "name-without-end" * 30


def ended(events: list[Event]) -> int:
    return sum(trial.status != "running" for trial in trials_of(events).values())


@contextmanager
def driver(run: Path) -> Iterator[None]:
    """Hold the lock of a run as a driver does; it is let go as if the driver were killed."""
    with storage.lock_file(run / "lock") as lock:
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} since now")
        lock.flush()
        yield


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(SWEEP, make_table(), "protocols=['O&C&I->M', 'O&M&I->C']", "search.trials_per_cell=5")


@pytest.fixture(scope="module")
def log(plan: Plan) -> list[Event]:
    clock = Clock(plan, 3, 1, diverging=2)
    clock.run()
    return clock.log


@pytest.fixture
def run(tmp_path: Path, plan: Plan) -> Path:
    return new_run(tmp_path / "run", plan)


@pytest.fixture
def finished(run: Path, log: list[Event]) -> Path:
    write_log(run, [OPENED, *log, COMPLETE])
    return run


@AT_BOTH_WIDTHS
def test_a_sweep_is_seen_to_start_die_resume_and_end(browser: Any, run: Path, log: list[Event], width: int) -> None:
    third = len(log) // 3
    with watching(run) as page:
        open_at(browser, page.address, width)
        wait(browser, lambda: text(browser, ".badge") == "not started")
        with driver(run):
            write_log(run, [OPENED, *log[:third]])
            wait(browser, lambda: tile(browser, "Trials ended").startswith(f"{ended(log[:third])} of "))
            wait(browser, lambda: text(browser, ".badge") == "running")
            running = browser.execute_script("return document.querySelectorAll('.slots li').length")
            assert running == len(trials_of(log[:third])) - ended(log[:third]) > 0
            assert tile(browser, "Time left").startswith("about ")
            assert tile(browser, "Best source-dev AUC").endswith(" %")
        wait(browser, lambda: text(browser, ".badge") == "driver died")
        assert "the same command goes on" in text(browser, ".words")
        with driver(run):
            write_log(run, [OPENED, *log[third:]])
            wait(browser, lambda: tile(browser, "Trials ended") == f"{ended(log)} of {ended(log)}")
            wait(browser, lambda: text(browser, ".badge") == "running")
            write_log(run, [COMPLETE])
            os.truncate(run / "lock", 0)
        wait(browser, lambda: text(browser, ".badge") == "complete")
        assert tile(browser, "Cells confirmed") == "3 of 4"  # of one, all search trials diverged
        assert browser.title.startswith("complete tiny")
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert text(browser, ".log li:last-child").endswith("the driver let go of the run: complete")
        assert browser.get_log("browser") == []
        sent = requests(browser)
        assert sent
        assert [url for url in sent if not url.startswith(page.address)] == []


@pytest.mark.slow
def test_a_driver_of_a_run_on_an_object_store_is_seen_to_start_die_resume_and_end(
    browser: Any, s3: str, tmp_path: Path, plan: Plan, log: list[Event]
) -> None:
    run, file, cuts = f"{s3}/run", tmp_path / "events", (0, len(log) // 3, 2 * len(log) // 3, len(log))
    Ledger(run, plan.spec.identity(), GENERATED).close()
    file.write_bytes(b"".join(EVENTS.dump_json(event) + b"\n" for event in log))

    def start(first: int, last: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(made_driver.__file__)), run, str(file), str(first), str(last)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    lags: list[float] = []

    def shown(words: str, count: int) -> None:
        began = time.monotonic()
        wait(browser, lambda: text(browser, ".badge") == words)
        wait(browser, lambda: tile(browser, "Trials ended").startswith(f"{count} of "))
        lags.append(time.monotonic() - began)

    with watching(run) as page:
        open_at(browser, page.address, WIDTHS["phone"])
        wait(browser, lambda: text(browser, ".badge") == "not started")
        for first, last in pairwise(cuts):
            with start(first, last) as driver:
                assert driver.stdout is not None
                assert driver.stdout.readline() == "written\n"
                if last < len(log):
                    shown("running", ended(log[:last]))
                    driver.kill()
            shown("driver died" if last < len(log) else "complete", ended(log[:last]))
        assert tile(browser, "Cells confirmed") == "3 of 4"
        assert browser.execute_script("return document.documentElement.scrollWidth") == WIDTHS["phone"]
        assert browser.get_log("browser") == []
        assert [url for url in requests(browser) if not url.startswith(page.address)] == []
    print(f"the page had each of {len(lags)} states {max(lags):.2f} s later at most")


@pytest.mark.slow
def test_ten_thousand_trials_that_have_ended_are_there_at_once(browser: Any, tmp_path: Path) -> None:
    large = "search.trials_per_cell=4990", "methods.safas.space={learning_rate: {uniform: [0.01, 0.1]}}"
    clock = Clock(plan_of(SWEEP, make_table(), "protocols=['O&C&I->M']", "confirm.seeds=[0, 1, 2, 3, 4]", *large), 8, 1)
    count = len(clock.run().records)
    run = new_run(tmp_path / "run", clock.plan)
    write_log(run, [OPENED, *clock.log, COMPLETE])
    assert count >= 9990
    began = time.monotonic()
    with watching(run) as page:
        served = time.monotonic()
        open_at(browser, page.address, WIDTHS["desk"])
        wait(browser, lambda: tile(browser, "Trials ended") == f"{count} of {count}", 10)
        shown = time.monotonic()
    print(f"{count} trials, {len(clock.log)} events: read in {served - began:.2f} s, open {shown - served:.2f} s later")


def test_two_runs_are_side_by_side_on_a_desk_and_below_each_other_on_a_phone(
    browser: Any, finished: Path, tmp_path: Path, plan: Plan
) -> None:
    other = new_run(tmp_path / "other", plan)
    with watching(finished, other) as page:
        tops = {}
        for name, width in WIDTHS.items():
            open_at(browser, page.address, width)
            wait(browser, lambda: browser.execute_script("return document.querySelectorAll('.run').length") == 2)
            tops[name] = browser.execute_script(
                "return [...document.querySelectorAll('.run')].map(run => run.getBoundingClientRect().top)"
            )
            assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert tops["desk"][0] == tops["desk"][1]
        assert tops["phone"][0] < tops["phone"][1]
        assert [badge.text for badge in browser.find_elements("css selector", ".badge")] == ["complete", "not started"]


@AT_BOTH_WIDTHS
def test_hostile_names_are_only_shown(browser: Any, run: Path, log: list[Event], width: int) -> None:
    renamed = []
    for event in log:
        changes: dict[str, Any] = (
            {"method": HOSTILE, "protocol": f"{LONG}->{HOSTILE}"} if hasattr(event, "method") else {}
        )
        renamed.append(event.model_copy(update=changes))
    reason = Ended(trial=trials_of(renamed).popitem()[0], status="failed", reason=f"{HOSTILE}\n{LONG}")
    opened = OPENED.model_copy(update={"host": HOSTILE, "versions": {HOSTILE: LONG}})
    write_log(run, [opened, *renamed, reason])
    with watching(run) as page:
        open_at(browser, page.address, width)
        wait(browser, lambda: len(text(browser, ".failures .reason")) > 0)
        for cell in browser.find_elements("css selector", ".board button"):
            browser.execute_script("arguments[0].click()", cell)
        for trial in browser.find_elements("css selector", ".detail .plain-button")[:3]:
            browser.execute_script("arguments[0].click()", trial)
        wait(browser, lambda: HOSTILE in text(browser, ".detail h2"))
        assert "taken" not in browser.title
        assert browser.execute_script("return document.scripts.length") == 1
        assert browser.execute_script("return document.images.length") == 0
        assert browser.execute_script("return document.documentElement.scrollWidth") == width
        assert text(browser, ".failures .reason") == f"{HOSTILE}\n{LONG}"
        assert browser.get_log("browser") == []


def test_the_keyboard_reaches_everything_and_moves_over_the_board(browser: Any, finished: Path) -> None:
    from selenium.webdriver import ActionChains, Keys

    with watching(finished) as page:
        open_at(browser, page.address, WIDTHS["desk"])
        wait(browser, lambda: text(browser, ".detail h2") != "")
        press = ActionChains(browser)
        press.send_keys(Keys.TAB).perform()
        assert browser.switch_to.active_element.text == "Skip to the runs"
        stops = browser.execute_script(
            "return [...document.querySelectorAll('a[href], button, [tabindex=\"0\"]')]"
            ".filter(part => part.checkVisibility() && part.tabIndex === 0).length"
        )
        places, outlines = [], []
        for _ in range(stops - 1):
            press.send_keys(Keys.TAB).perform()
            place, outline = browser.execute_script(
                "const part = document.activeElement, all = [...document.querySelectorAll('*')];"
                " return [all.indexOf(part), getComputedStyle(part).outlineStyle]"
            )
            places.append(place)
            outlines.append(outline)
        assert places == sorted(set(places))
        assert "none" not in outlines
        browser.execute_script("document.querySelector('.board button[tabindex=\"0\"]').focus()")
        press.send_keys(Keys.HOME, Keys.ARROW_UP).perform()
        for key, method, protocol in (
            (Keys.HOME, "erm", "O&C&I->M"),
            (Keys.ARROW_DOWN, "safas", "O&C&I->M"),
            (Keys.ARROW_RIGHT, "safas", "O&M&I->C"),
            (Keys.ARROW_UP, "erm", "O&M&I->C"),
            (Keys.ARROW_RIGHT, "erm", "O&M&I->C"),
        ):
            press.send_keys(key).perform()
            press.send_keys(Keys.ENTER).perform()
            assert text(browser, ".detail h2") == f"{method} on {protocol}"
            assert text(browser, ".board [aria-pressed=true] .where") == protocol
        button = browser.find_element("css selector", ".detail .plain-button")
        button.send_keys(Keys.ENTER)
        assert button.get_attribute("aria-expanded") == "true"
        wait(browser, lambda: "momentum" in text(browser, ".detail td.opened"))
        button.send_keys(Keys.ENTER)
        assert text(browser, ".detail td.opened") == ""


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_text_stands_out_from_its_ground(browser: Any, finished: Path, scheme: str) -> None:
    with watching(finished) as page:
        open_at(browser, page.address, WIDTHS["desk"], prefers_color_scheme=scheme)
        wait(browser, lambda: text(browser, ".log .good") != "")
        browser.execute_script("document.querySelector('.board .confirmed').click()")
        assert_readable(browser, TEXTS, scheme)


@pytest.mark.slow
def test_a_server_that_went_away_is_missed_and_found_again(browser: Any, run: Path, log: list[Event]) -> None:
    write_log(run, [OPENED, *log[:40]])
    with watching(run) as page:
        open_at(browser, page.address, WIDTHS["desk"])
        wait(browser, lambda: text(browser, "#line") == "Live.")
    wait(browser, lambda: text(browser, "#line").startswith("No answer from the server"))
    write_log(run, log[40:])
    with watching(run, port=page.port):
        wait(browser, lambda: text(browser, "#line") == "Live.")
        wait(browser, lambda: tile(browser, "Cells confirmed") == "3 of 4")
        lines = browser.execute_script("return [...document.querySelectorAll('.log li')].map(l => l.dataset.key)")
        assert lines == [str(number + 1) for number in range(len(log) + 1)][-len(lines) :]


def test_the_login_page_opens_the_runs(browser: Any, finished: Path) -> None:
    with watching(finished, token="correct-horse-battery-staple") as page:  # noqa: S106
        open_at(browser, page.address, WIDTHS["phone"])
        browser.find_element("css selector", "#token").send_keys("correct-horse-battery-staple\n")
        wait(browser, lambda: text(browser, ".badge") == "complete")
        assert browser.current_url == f"{page.address}/"
        assert browser.get_log("browser") == []
