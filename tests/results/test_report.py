"""The report is one page that needs nothing else, tells pictures in words, and lets no name escape."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from score_runs import MadeReading, MadeTrial, make_run

from fasray.results import plots
from fasray.results.frame import compute_results
from fasray.results.report import render_report

HOSTILE = "<script>alert(1)</script>"
VOID = {"meta", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """Collects images and resource addresses and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        found = dict(attrs)
        self.addresses += [value for name, value in attrs if name in {"src", "href"} and value]
        if tag == "img":
            self.images.append(found)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    readings = (MadeReading(10, 0.6), MadeReading(20, 0.7))
    trials = [
        MadeTrial("s1", stage="search", status="stopped", steps=(10, 20), readings=readings, config={"lr": 0.1}),
        MadeTrial("a", config={"note": HOSTILE}),
        MadeTrial("b", seed=1),
        MadeTrial("c", method="sa$fas", protocol="O->I"),
    ]
    run = make_run(
        tmp_path_factory.mktemp("run"),
        trials,
        name=HOSTILE,
        spec_text=f"name: {HOSTILE}\n",
        data_card={"kind": "synthetic", "settings": {"author": HOSTILE}},
        versions={"fasray": "0.1.0"},
        manifest_hash="abc123",
    )
    return render_report(run)


def test_nothing_is_loaded_from_outside(page: str) -> None:
    found = Page(page)
    assert found.addresses
    assert all(address.startswith("data:") for address in found.addresses)
    assert "script" not in found.tags
    assert not re.search(r"url\(|@import", page)


def test_every_picture_is_an_svg_with_a_text_alternative(page: str) -> None:
    images = Page(page).images
    assert len(images) == 2 + 2 * 2
    for image in images:
        assert len(image["alt"] or "") > 40
        assert "nan" not in (image["alt"] or "").lower()
        svg = base64.b64decode((image["src"] or "").split("base64,")[1])
        assert ET.fromstring(svg).tag.endswith("svg")  # noqa: S314 (our own bytes)


def test_hostile_names_are_shown_and_not_run(page: str) -> None:
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_generated_data_is_said_on_top(page: str) -> None:
    warning = page.index("Generated data.")
    assert warning < page.index("<h2>Results</h2>")
    assert "no evidence" in page


def test_real_data_carries_no_such_warning(tmp_path: Path) -> None:
    page = render_report(make_run(tmp_path, [MadeTrial("a")], data_card={"kind": "prepared"}))
    assert "Generated data." not in page


def test_specification_provenance_and_trials_are_told(page: str) -> None:
    for text in ("abc123", "0.1.0", "name: &lt;script&gt;", ">s1<", "lr = 0.1", "HTER†"):
        assert text in page


def test_a_run_without_confirmed_trials_has_a_report(tmp_path: Path) -> None:
    found = render_report(make_run(tmp_path, [MadeTrial("a", stage="search", status="stopped")]))
    assert "No confirmed runs yet." in found
    assert "No confirmed runs yet." in render_report(make_run(tmp_path, []))


def test_a_cell_of_failed_runs_has_a_report(tmp_path: Path) -> None:
    trials = [MadeTrial("a"), MadeTrial("b", method="bad", status="diverged", steps=())]
    assert "(+1 failed)" in render_report(make_run(tmp_path, trials))


def test_pictures_of_the_same_numbers_are_the_same_bytes(tmp_path: Path) -> None:
    results = compute_results(make_run(tmp_path, [MadeTrial("a"), MadeTrial("b", method="x")]))
    assert plots.heat_map(results.frame) == plots.heat_map(results.frame)
    assert plots.honest_and_oracle(results.frame) == plots.honest_and_oracle(results.frame)
