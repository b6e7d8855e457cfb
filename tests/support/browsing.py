"""Pages in a headless browser: opened at a width, and what they asked the network for."""

from __future__ import annotations

import json
from typing import Any


def open_at(browser: Any, address: str, width: int, **media: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items() if name != "media"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media.get("media", ""), "features": features})
    browser.get(address)


def requests(browser: Any) -> list[str]:
    """Every address that the page asked the network for; what it holds itself is no request."""
    told = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [each["params"]["request"]["url"] for each in told if each["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]
