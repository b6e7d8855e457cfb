"""A real sweep that is watched while it runs, is killed, resumed and ends, on a disk and on an object store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from browsing import WIDTHS, open_at, requests, text, tile, wait
from s3_sweeps import remote_place
from small_sweeps import Driver, Place, pause, place
from watching import watching

from fasray.runs.event_log import LogTail

SWEEP = """
name: tiny
data: {data}
protocols: [O&C->I]
methods: {{erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}}}
search: {{algorithm: random, trials_per_cell: 4, seed: 100}}
confirm: {{seeds: [0, 1]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 400, evaluations: 8}}
resources: {{max_concurrent: 1}}
"""
SECONDS = 20.0
"""That a state may take to be on the page where other tests take the processors; without them it takes 2 at most."""


@contextmanager
def on(kind: str, folder: Path, faces: Path) -> Iterator[Place]:
    if kind == "disk":
        yield place(folder, faces, SWEEP)
    else:
        with remote_place(folder, faces, SWEEP) as (_, here):
            yield here


def seen(browser: Any) -> int:
    return int(browser.execute_script("return document.querySelector('.log li:last-child')?.dataset.key ?? 0"))


def shown(browser: Any, lags: list[float], reached: Callable[[], bool]) -> None:
    """Note how long the page takes to show what is the case."""
    began = time.monotonic()
    wait(browser, reached, SECONDS)
    lags.append(time.monotonic() - began)


def look(browser: Any, tail: LogTail, lags: list[float], driver: Driver, most: float = math.inf) -> None:
    """Watch the page show each event of the log until the driver ends, or until there are so many."""
    running = True
    while running and tail.count < most:
        pause()
        running = driver.process.poll() is None
        if tail.read():
            shown(browser, lags, lambda: seen(browser) >= tail.count)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "width"), [("disk", "desk"), ("store", "phone")])
def test_a_sweep_is_watched_from_start_to_end(
    browser: Any, no_other_page: None, tmp_path: Path, small_faces: Path, kind: str, width: str
) -> None:
    lags: list[float] = []
    with on(kind, tmp_path, small_faces) as here, here.start() as sweep:
        sweep.until(lambda: LogTail(here.out).read() != [], 300)
        tail = LogTail(here.out)
        with watching(here.out) as page:
            open_at(browser, page.address, WIDTHS[width])
            wait(browser, lambda: text(browser, ".badge") == "running")
            look(browser, tail, lags, sweep, 12)
            assert sweep.process.poll() is None, "it ended before it could be killed"
            sweep.process.kill()
            sweep.process.wait()
            tail.read()
            shown(browser, lags, lambda: text(browser, ".badge") == "driver died")
            with here.start() as resumed:
                resumed.until(lambda: tail.read() != [], 240)
                shown(browser, lags, lambda: text(browser, ".badge") == "running")
                look(browser, tail, lags, resumed)
                shown(browser, lags, lambda: text(browser, ".badge") == "complete")
                assert resumed.end(seconds=60).code == 0
            wait(browser, lambda: len(browser.find_elements("css selector", ".board .confirmed")) == 1, SECONDS)
            wait(browser, lambda: text(browser, ".confirmed .value small").startswith("HTER"), 60)
            assert tile(browser, "Cells confirmed") == "1 of 1"
            assert seen(browser) == len(LogTail(here.out).read())
            assert browser.execute_script("return document.documentElement.scrollWidth") == WIDTHS[width]
            assert browser.get_log("browser") == []
            assert [url for url in requests(browser) if not url.startswith(page.address)] == []
    print(f"{kind}: {len(lags)} states, each on the page {max(lags):.2f} s later at most, {median(lags):.2f} s mostly")
