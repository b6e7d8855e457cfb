"""Pages in a headless browser: opened at a width, what they asked the network for, and how their colours differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

WIDTHS = {"desk": 1440, "phone": 390}
HOSTILE = "<script>document.title='taken'</script>\"'><img src=x onerror=\"document.title='taken'\">"


def open_at(browser: Any, address: str, width: int, **media: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items() if name != "media"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("media", ""), "features": features})
    browser.get(address)


def requests(browser: Any) -> list[str]:
    """Every address that the page asked the network for, without what it holds itself and the browser's own pages."""
    told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [each["params"]["request"]["url"] for each in told if each["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith(("data:", "chrome:", "chrome-untrusted:"))]


def wait(browser: Any, reached: Callable[[], bool], seconds: float = 30) -> None:
    """Look twenty times a second."""
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, seconds, poll_frequency=0.05).until(lambda _: reached())


def text(browser: Any, selector: str) -> str:
    """What the first element of a selector says; empty if there is none."""
    return str(browser.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", selector))


def tile(browser: Any, label: str) -> str:
    """The figure of a summary's tile."""
    script = (
        "return [...document.querySelectorAll('.tiles div')].find(t => t.firstChild.textContent === arguments[0])"
        "?.querySelector('.value').textContent ?? ''"
    )
    return str(browser.execute_script(script, label))


def assert_readable(browser: Any, selectors: Sequence[str], scheme: str) -> None:
    """Check that the letters of the first element of each selector stand out from what is below them.

    Args:
        browser: with the page.
        selectors: the first one is of something on the page's own ground.
        scheme: ``light`` or ``dark``, which that ground must be.
    """
    colours = browser.execute_script(
        "const ground = part => {const colour = getComputedStyle(part).backgroundColor;"
        " return colour === 'rgba(0, 0, 0, 0)' ? ground(part.parentElement) : colour};"
        " return arguments[0].map(name => {const part = document.querySelector(name), style = getComputedStyle(part);"
        " return [name, part instanceof SVGElement ? style.fill : style.color, ground(part)]})",
        selectors,
    )
    for name, letters, ground in colours:
        assert contrast(letters, ground) >= 4.5, name
    assert (luminance(colours[0][2]) < 0.1) == (scheme == "dark")


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
