"""How every plot looks, and how it becomes SVG or PNG: one palette, one size, no display, the same bytes each time.

Colours are Okabe and Ito's, safe for colour-blind readers; no plot says anything by colour alone. Plots are
as wide as a phone, so that a page can set them side by side where there is room and their text stays readable.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PlotFormat = Literal["svg", "png"]

INK, SOFT, LINE, PAPER = "#1f2937", "#5b6472", "#d5d9e0", "#ffffff"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072b2", "#d55e00", "#009e73", "#b0568f", "#c98500", "#3f9fd6"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
DASHES: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()), (0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (4, 1, 1, 1, 1, 1)), (0, (9, 3)), (0, (1, 1)),
)  # fmt: skip
"""As long as ``CYCLE``: a line has a dash of its own as well as a colour."""
HONEST, ORACLE = BLUE, ORANGE
LIVE, ATTACKS = BLUE, (VERMILLION, ORANGE, PURPLE, GREEN, INK)

WIDTH = 3.6
"""Inches; 360 pixels of a page."""
_DPI = 200
_LONGEST = 30

_VARIABLES = {
    INK: "ink", SOFT: "soft", LINE: "line", PAPER: "paper", BLUE: "blue", VERMILLION: "vermillion", GREEN: "green",
    PURPLE: "purple", ORANGE: "orange", SKY: "sky",
}  # fmt: skip
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_REFERENCE = re.compile(r"(?:^|url\()#([^)]+)")
_DECIMALS = re.compile(r"\d+\.\d{3,}")
_COLOUR = re.compile("#[0-9a-f]{6}")
_RC: dict[Any, Any] = {
    "font.size": 8.0, "axes.titlesize": 8.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "legend.fontsize": 7.5, "legend.frameon": False, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": SOFT, "axes.linewidth": 0.8,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK,
    "ytick.labelcolor": INK, "axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "lines.linewidth": 1.4, "lines.markersize": 4, "figure.facecolor": "none", "axes.facecolor": "none",
    "text.parse_math": False, "hatch.linewidth": 0.6,
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A plot that can be drawn when it is needed."""

    name: str
    """Unique in a report; stem of its file, see ``file_stem``."""
    title: str
    alt: str
    """The same in words, for those who do not see it."""
    draw: Callable[[], Figure]


def to_svg(plot: Plot) -> str:
    """Return the plot as an SVG document on white; its letters are outlines, so it needs no font."""
    return _svg(plot, "path", PAPER)


def to_png(plot: Plot) -> bytes:
    """Return the plot as a PNG of 200 dots an inch on white."""
    with drawn(plot) as figure:
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=_DPI, facecolor=PAPER, metadata={"Software": None})
        return sink.getvalue()


def to_page_svg(plot: Plot) -> str:
    """Return the plot as an ``<svg>`` element for an HTML page that has its palette as ``--ink``, ``--blue`` ...

    It carries its text alternative. Identifiers inside are unique to the plot's name.
    """
    root = ET.fromstring(_svg(plot, "none", "none"))  # noqa: S314 - matplotlib wrote it
    for child in list(root):
        # A style sheet would hold for the whole page.
        if child.tag == f"{_SVG}metadata" or child.find(f"{_SVG}style") is not None:
            root.remove(child)
    used = {name for element in root.iter() for value in element.attrib.values() for name in _REFERENCE.findall(value)}
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.text, element.tail = (text if text and text.strip() else None for text in (element.text, element.tail))
        element.attrib = {
            name.removeprefix(_XLINK): _page_value(name, value)
            for name, value in element.attrib.items()
            if name != "id" or value in used
        }
    root.attrib = {"role": "img", "aria-label": plot.alt, "viewBox": root.attrib["viewBox"]}
    return ET.tostring(root, encoding="unicode")


def encode(plot: Plot, kind: PlotFormat) -> bytes:
    """Return the bytes of the plot's file."""
    return to_png(plot) if kind == "png" else to_svg(plot).encode()


def file_stem(*parts: str) -> str:
    """Return a plain name for a file out of any texts; different texts may give the same."""
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-.")[:60] or "x" for part in parts)


def new_plot(
    height: float, *, left: float = 0.52, right: float = 0.12, top: float = 0.12, bottom: float = 0.46
) -> tuple[Figure, Axes]:
    """Return a figure of the usual width with one pair of axes; margins in inches, constant so that plots align."""
    figure = Figure(figsize=(WIDTH, height))
    place = (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - top - bottom) / height)
    return figure, figure.add_axes(place)


def legend_above(axes: Axes, columns: int = 3) -> None:
    """Put the legend in the margin above the axes; leave about 0.2 inches a row for it."""
    axes.legend(
        ncols=columns, loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.1, handlelength=2.2,
        columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def plain(text: object, longest: int = _LONGEST) -> str:
    """Return a text from a run as a label: one line, no control characters, not too long."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))
    shown = shown if len(shown) <= longest else shown[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    # matplotlib leaves labels that begin with an underscore out of legends.
    return "\N{THIN SPACE}" + shown if shown.startswith("_") else shown


def line_look(number: int) -> tuple[str, tuple[int, tuple[float, ...]]]:
    """Return colour and dash of the ``number``-th line of a plot."""
    return CYCLE[number % len(CYCLE)], DASHES[(number + number // len(CYCLE)) % len(DASHES)]


def listed(items: Sequence[str], most: int = 12) -> str:
    """Return items in one sentence, the rest counted."""
    more = len(items) - most
    return "; ".join(items[:most]) + (f"; and {more} more" if more > 0 else "")


def _svg(plot: Plot, font: str, background: str) -> str:
    with drawn(plot, {"svg.fonttype": font, "svg.hashsalt": f"fasray {plot.name}"}) as figure:
        sink = io.StringIO()
        figure.savefig(sink, format="svg", facecolor=background, metadata={"Date": None, "Creator": None})
        return sink.getvalue()


@contextmanager
def drawn(plot: Plot, settings: dict[Any, Any] | None = None) -> Iterator[Figure]:
    """Draw the plot in the house style, which holds while the figure is in use; ``settings`` are matplotlib's."""
    with mpl.rc_context({**_RC, **(settings or {})}), warnings.catch_warnings():
        # A name in a script that the bundled font lacks is drawn as boxes in files; that is no error.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield plot.draw()


def _page_value(name: str, value: str) -> str:
    """Return an attribute for a page: two decimals, colours of the palette as variables, the page's own font."""
    if name in ("d", "x", "y", "transform"):
        return " ".join(_DECIMALS.sub(lambda number: f"{float(number[0]):.2f}", value).split())
    if name != "style":
        return value
    value = re.sub(r"font-family: [^;]*", "font-family: inherit", value)
    return _COLOUR.sub(lambda found: f"var(--{_VARIABLES[found[0]]})" if found[0] in _VARIABLES else found[0], value)
