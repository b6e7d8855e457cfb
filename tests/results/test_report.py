"""The report is one page that needs nothing else, says what was asked, and lets no name escape."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_runs import Size, write_run
from score_runs import MadeTrial, made_reading, make_run

from fasray.results.frame import compute_results
from fasray.results.report import build_report, render_report, to_html, write_plots
from fasray.runs.record import RunRecord, read_run

HOSTILE = "<script>alert(1)</script>"
QUOTES = "\"><img src=x onerror='alert(1)'>"
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd\u202egnp.exe"
LONG = "a-very-long-name-without-a-single-break-" * 8
VOID = {"meta", "link", "img", "br", "hr"}


class Page(HTMLParser):
    """Collects pictures, addresses, identifiers and handlers, and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href"} and value]
        if tag == "img":
            self.pictures.append(found.get("alt") or "")
        if tag == "svg":
            assert found.get("role") == "img"
            self.pictures.append(found.get("aria-label") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def searched(name: str, auc: float, **facts: object) -> MadeTrial:
    readings = (made_reading(10, auc - 0.1), made_reading(20, auc))
    config = {"weight": auc / 2, "kind": f"k{int(auc * 100) % 3}", "other": 0.1}
    return replace(
        MadeTrial(name, stage="search", steps=(10, 20), readings=readings, config=config, searched=("weight", "kind")),
        **facts,  # type: ignore[arg-type]
    )


def trials() -> list[MadeTrial]:
    aucs = (0.6, 0.7, 0.72, 0.75, 0.81, 0.9)
    search = [
        searched(f"s{n}", auc, status="done" if n in (0, 5) else "stopped", seed=100) for n, auc in enumerate(aucs)
    ]
    winner = search[-1].config
    readings = tuple(made_reading(step, 0.8, seconds=30.0) for step in (10, 20, 30))
    return [
        *search,
        MadeTrial("a", config=winner, searched=("weight", "kind"), readings=readings),
        MadeTrial("b", seed=1, config=winner, searched=("weight", "kind"), readings=readings),
        MadeTrial("c", method="sa$fas", protocol="O->I"),
        MadeTrial("d", method="sa$fas", config={"note": HOSTILE}),
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return make_run(
        tmp_path_factory.mktemp("run"),
        trials(),
        spec={"name": HOSTILE},
        card={"kind": "synthetic", "settings": {"author": HOSTILE}},
        versions={"fasray": "0.1.0"},
    )


@pytest.fixture(scope="module")
def page(run: RunRecord) -> str:
    return render_report(run)


def test_nothing_is_loaded_from_outside(page: str) -> None:
    found = Page(page)
    assert found.addresses
    assert all(address.startswith(("data:", "#")) for address in found.addresses)
    assert "script" not in found.tags
    assert not found.handlers
    assert not re.search(r"@import|https?://|url\((?!#)", page)


def test_every_picture_says_in_words_what_it_shows(page: str) -> None:
    pictures = Page(page).pictures
    assert len(pictures) >= 10
    for words in pictures:
        assert len(words) > 40
        assert not re.search(r"\bnan\b", words)


def test_links_lead_somewhere_and_identifiers_are_unique(page: str) -> None:
    found = Page(page)
    assert len(set(found.ids)) == len(found.ids)
    assert {address[1:] for address in found.addresses if address.startswith("#")} <= set(found.ids)


def test_the_same_run_gives_the_same_bytes(run: RunRecord, page: str) -> None:
    assert render_report(run) == page


@pytest.mark.parametrize(
    "names", [(HOSTILE, RIGHT_TO_LEFT, "_hidden", "$x^2$"), (QUOTES, LONG, "a\x00b\nc", "]]>&amp;")]
)
def test_hostile_names_are_shown_and_not_run(tmp_path: Path, names: tuple[str, ...]) -> None:
    name, *others = names
    made = [replace(t, method=name, searched=(name,), config={name: t.config["weight"]}) for t in trials()[:8]]
    made += [MadeTrial(f"x{n}", method=other, config={"x": other}) for n, other in enumerate(others)]
    run = make_run(tmp_path, made, spec={"name": name}, versions={name: name}, card={name: name})
    page = render_report(run)
    found = Page(page)
    assert "script" not in found.tags
    assert not found.handlers
    assert all(address.startswith(("data:", "#")) for address in found.addresses)
    assert all(len(words) > 40 for words in found.pictures)
    paths = write_plots(build_report(run, compute_results(run), False), str(tmp_path / "plots"), "svg")
    assert all(Path(path).parent == tmp_path / "plots" for path in paths)
    assert len(set(paths)) == len(paths)
    assert not any(b"<script" in Path(path).read_bytes() for path in paths)


def test_generated_data_is_said_on_top(page: str) -> None:
    assert page.index("Generated data.") < page.index("<h2>Results</h2>")
    assert "no evidence" in page


def test_real_data_carries_no_such_warning(tmp_path: Path) -> None:
    page = render_report(make_run(tmp_path, [MadeTrial("a")], card={"kind": "prepared"}))
    assert "Generated data." not in page


def test_the_summary_says_what_was_asked_and_what_it_took(page: str) -> None:
    summary = page[: page.index("<h2>Results</h2>")]
    for text in ("erm or sa$fas", "2 methods on 2 protocols: 3 cells", "2 fresh seeds (0, 1)", "Best honest cell"):
        assert text in summary
    assert "10 trials: 6 done, 4 stopped" in summary


def test_specification_provenance_trials_and_cost_are_told(page: str) -> None:
    for text in ("m" * 64, "0.1.0", "name: &lt;script&gt;", ">s1<", "weight = 0.45", "HTER†", "weight (searched)"):
        assert text in page
    assert re.search(r"<td>8</td><td>180</td><td>18 s</td><td>3 min</td><td>3 min</td>", page)


def test_a_cell_with_a_search_shows_its_response_and_interaction(run: RunRecord) -> None:
    report = build_report(run, compute_results(run), with_pictures=False)
    names = {plot.title for plot in report.cells[0].plots}
    assert {"Response to weight", "Response to kind", "weight with kind", "Learning curves"} <= names
    assert "4 of them cut by ASHA" in next(plot.alt for plot in report.cells[0].plots if plot.title.startswith("Learn"))


def test_two_tried_configurations_make_no_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path, [searched("s0", 0.6), searched("s1", 0.7), MadeTrial("a")])
    report = build_report(run, compute_results(run), with_pictures=False)
    assert not any(plot.title.startswith("Response") for plot in report.cells[0].plots)
    assert "2 configurations were tried: too few" in render_report(run)


def test_a_run_without_confirmed_trials_has_a_report(tmp_path: Path) -> None:
    found = render_report(make_run(tmp_path, [MadeTrial("a", stage="search", status="stopped")]))
    assert "No confirmed runs yet." in found
    assert "No confirmed runs yet." in render_report(make_run(tmp_path, []))


def test_a_cell_of_failed_runs_has_a_report(tmp_path: Path) -> None:
    made = [MadeTrial("a"), MadeTrial("b", method="bad", status="diverged", steps=())]
    assert "(+1 failed)" in render_report(make_run(tmp_path, made))


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    made = [MadeTrial("a"), MadeTrial("b", status="running", seed=1, steps=(10,))]
    assert "The run is not finished: 1 trial not ended." in render_report(make_run(tmp_path, made))


def test_ablations_are_a_section_of_their_own(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Size(methods=("erm",), searched=0, ablations=("no map", HOSTILE)))
    run = read_run(str(tmp_path / "run"))
    report = build_report(run, compute_results(run), with_pictures=False)
    assert report.ablations is not None
    assert [row[:3] for row in report.ablations.table.rows if row[1] == "map"] == [
        ("erm", "map", "O&C&I->M"),
        ("erm", "map", "O&M&I->C"),
        ("erm", "map", "mean"),
    ]
    assert report.ablations.plot in report.every_plot
    assert [row.method for row in report.heat] == ["erm"]
    assert len(report.video.rows) == 2
    assert "2 parts of the methods were switched off one at a time" in " ".join(report.question)
    assert sum(row.trials for row in report.cost) == len(run.trials) == 2 * 3 * 3
    assert "script" not in Page(to_html(report)).tags


def test_averages_over_the_runs_of_a_protocol_do_not_count_twice(tmp_path: Path) -> None:
    names = [f"oulu-npu-3.{run}" for run in range(1, 7)]
    made = [MadeTrial(f"{method}{n}", method=method, protocol=n) for method in ("erm", "x") for n in names]
    run = make_run(tmp_path, made)
    report = build_report(run, compute_results(run), with_pictures=False)
    assert report.figure == "ACER"
    assert report.protocols == (*names, "oulu-npu-3")
    assert report.tiles[0].note.startswith(f"{report.heat[0].mean} % honest ACER, mean over 6 protocols")
    assert report.heat[0].mean == report.heat[0].cells[-1].error
    assert "lowest of 12" in report.tiles[1].note
