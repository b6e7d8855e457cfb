"""Plots keep their labels inside, say in words what they show, and give the same bytes for the same numbers."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from fasray.metrics import Videos
from fasray.results import plots
from fasray.results.plots import Band, Curve, DifferenceRow, DomainScores, GapRow, HeatMap, Plot, Sample, style

LONG = "a long name of a method that nobody would type twice"


def band(label: str, level: float = 0.3) -> Band:
    far = np.linspace(0, 1, 30)
    frr = level * (1 - far) ** 2
    return Band(label, far, frr, frr * 0.7, np.minimum(frr * 1.3, 1), honest=((0.1, 0.2), (0.0, 1.0)))


def domain_scores(domain: str, kinds: tuple[str, ...] = ("print", "replay")) -> DomainScores:
    rng = np.random.default_rng(len(domain))
    label = np.arange(40) % 2
    kind = np.where(label == 1, "live", np.array(kinds)[np.arange(40) % len(kinds)])
    score = np.clip(0.3 + 0.4 * label + rng.normal(0, 0.1, 40), 0, 1)
    names = np.array([f"v{n}" for n in range(40)])
    videos = Videos(names, score, label.astype(np.int8), np.full(40, domain), kind, np.ones(40, np.int64))
    return DomainScores(domain, "target, unseen", videos)


def samples(*columns: list[object]) -> list[Sample]:
    rows = list(zip(*columns, strict=True))
    return [
        Sample(row, 0.5 + 0.4 * number / len(rows), cut=number % 3 == 1, won=number == len(rows) - 1)
        for number, row in enumerate(rows)
    ]


WEIGHTS: list[object] = [float(w) for w in np.geomspace(1e-4, 0.5, 12)]
WORDS: list[object] = ["sgd with momentum", "adam", "a third one that is long"] * 4
SWITCH: list[object] = [True, False] * 6
CURVES = [
    Curve((100, 200, 300), (0.7, 0.8, 0.9)),
    Curve((100,), (0.5,), cut=True),
    Curve((100, 200, 300), (0.6, 0.9, 0.95), (0.5, 0.6, 0.7), chosen=300),
]
GAPS = [GapRow(m, p, 0.3, 0.02, 0.2) for m in ("erm", LONG) for p in ("O&C&I->M", "an&even&longer&list&of&domains->X")]
PLOTS: dict[str, Callable[[], Plot]] = {
    "heat": lambda: plots.heat_map(
        HeatMap(("erm", LONG), ("O&C&I->M", "O&M&I->C"), np.array([[0.1, np.nan], [0.4, 0.5]]), "HTER")
    ),
    "heat of one": lambda: plots.heat_map(HeatMap(("erm",), ("O&C&I->M",), np.array([[0.1]]), "HTER (ACER for OULU)")),
    "gap": lambda: plots.honest_and_oracle(GAPS),
    "gap of many": lambda: plots.honest_and_oracle(GAPS * 10),
    "parts": lambda: plots.what_parts_add(
        [DifferenceRow("erm, no map", 0.05, 0.01, 0.09, True), DifferenceRow(LONG, -0.02, np.nan, np.nan, False)],
        "mean",
    ),
    "roc": lambda: plots.roc_plot("roc", "ROC", "M", [band("erm")]),
    "roc of seven": lambda: plots.roc_plot("roc", "ROC", "M", [band(f"{LONG} {n}", n / 7) for n in range(7)]),
    "det": lambda: plots.det_plot("det", "DET", "M", [band("erm"), band("ssdg", 0.9)]),
    "scores": lambda: plots.score_histograms("s", "c", 0, [domain_scores("O"), domain_scores(LONG)], 0.5),
    "many attacks": lambda: plots.score_histograms("s", "c", 0, [domain_scores("O", tuple("abcdefg"))], 0.5),
    "learning": lambda: plots.learning_curves("l", "c", CURVES[2:], CURVES[:2]),
    "search only": lambda: plots.learning_curves("l", "c", [], CURVES[:2]),
    "response": lambda: plots.responses("r", "c", ["weight"], samples(WEIGHTS))[0],
    "response of words": lambda: plots.responses("r", "c", ["optimizer"], samples(WORDS))[0],
    "interaction": lambda: plots.interactions("i", "c", [LONG, "optimizer"], samples(WEIGHTS, WORDS))[0],
    "words with words": lambda: plots.interactions("i", "c", ["optimizer", "flip"], samples(WORDS, SWITCH))[0],
}


@pytest.mark.parametrize("make", PLOTS.values(), ids=PLOTS)
def test_no_label_is_cut_and_words_tell_the_same(make: Callable[[], Plot]) -> None:
    plot = make()
    with style.drawn(plot) as figure:
        figure.savefig(io.BytesIO(), format="png")
        outside = [text.get_text() for text in visible_texts(figure) if not inside(figure, text)]
    assert outside == []
    assert len(plot.alt) > 40
    assert not re.search(r"\bnan\b", plot.alt)


@pytest.mark.parametrize("name", ["heat", "roc", "scores", "learning", "interaction"])
def test_the_same_numbers_give_the_same_bytes(name: str) -> None:
    for kind in ("svg", "png"):
        assert plots.encode(PLOTS[name](), kind) == plots.encode(PLOTS[name](), kind)
    assert plots.to_page_svg(PLOTS[name]()) == plots.to_page_svg(PLOTS[name]())


def test_files_are_what_their_format_says() -> None:
    svg, png = plots.to_svg(PLOTS["det"]()), plots.to_png(PLOTS["det"]())
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 (our own bytes)
    assert "<text" not in svg  # letters are outlines: no font is needed to read it
    assert png.startswith(b"\x89PNG\r\n\x1a\n")


def test_two_plots_on_a_page_share_no_identifier() -> None:
    ids = [
        set(re.findall(r' id="([^"]+)"', plots.to_page_svg(replace(PLOTS["det"](), name=name)))) for name in ("a", "b")
    ]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_on_a_page_the_palette_follows_the_scheme() -> None:
    svg = plots.to_page_svg(PLOTS["det"]())
    assert "var(--blue)" in svg
    assert "var(--ink)" in svg
    assert style.BLUE not in svg


@pytest.mark.parametrize("value", np.linspace(0, 1, 11))
def test_numbers_stand_out_from_their_shade(value: float) -> None:
    ground, letters = (
        [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in plots.shade(value, 0, 1)
    )
    luminance = [
        sum(
            w * (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4)
            for w, c in zip((0.2126, 0.7152, 0.0722), colour, strict=True)
        )
        for colour in (ground, letters)
    ]
    assert (max(luminance) + 0.05) / (min(luminance) + 0.05) >= 4.5


def test_a_field_with_one_value_has_no_curve_and_no_map() -> None:
    rows = samples([0.1] * 12, WEIGHTS)
    assert [plot.title for plot in plots.responses("r", "c", ["fixed", "weight"], rows)] == ["Response to weight"]
    assert plots.interactions("i", "c", ["fixed", "weight"], rows) == []


def test_means_leave_out_trials_that_were_cut() -> None:
    rows = [Sample((kind,), auc, cut, False) for kind, auc, cut in [("a", 0.9, False), ("a", 0.1, True)] * 4]
    rows += [Sample(("b",), 0.7, False, False)] * 2
    with style.drawn(plots.responses("r", "c", ["kind"], rows)[0]) as figure:
        (line,) = (line for line in figure.axes[0].lines if line.get_label() == "its mean")
        assert line.get_ydata() == pytest.approx([90, 70])


@pytest.mark.parametrize("text", ["$x$", "_first", "a\nb\tc", "\u05e9\u05dc\u202e", "x" * 500, "", "<b>"])
def test_any_text_makes_a_label_of_one_line(text: str) -> None:
    label = style.plain(text)
    assert len(label) <= 31
    assert label.isprintable() or label.startswith("\N{THIN SPACE}")
    draw = partial(plots.roc_plot, "n", "t", text)
    assert ET.fromstring(plots.to_page_svg(draw([band(text), band("other")])).replace("href=", "h="))  # noqa: S314


def visible_texts(figure: Figure) -> list[Text]:
    found = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    hidden = {
        id(text)
        for axes in figure.axes
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in (tick.label1, tick.label2)
        if not axis.get_visible() or not min(low, high) - 1e-9 <= tick.get_loc() <= max(low, high) + 1e-9
    }
    return [text for text in found if id(text) not in hidden]


def inside(figure: Figure, text: Text) -> bool:
    box, page = text.get_window_extent(), figure.bbox
    return bool(box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.x1 + 1 and box.y1 <= page.y1 + 1)
