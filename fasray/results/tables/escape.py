"""Words from data, sweeps and methods made harmless in each format: shown as they are, never obeyed."""

from __future__ import annotations

import re
import unicodedata

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet take a cell for a formula, full-width forms included."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": "{`}",  # no ligature with ? or !
    "[": r"{[}",  # the argument of a line break or of \item
    "]": r"{]}",
    "*": r"{*}",  # \\* is a command too
}
_ARROW = "\u2192"
_SYMBOLS = {
    "\u00b1": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2020": r"$\dagger$",
    "\u2021": r"$\ddagger$",
    "\u00a7": r"\S{}",
    _ARROW: r"$\rightarrow$",
}
_MARKDOWN = re.compile(r"([\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")
_ENTITY = re.compile(r"&(?=#?\w+;)")


def plain(text: str) -> str:
    """Return text for a terminal: control and invisible characters as escapes, so that none is obeyed."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def markdown(text: str) -> str:
    """Return text for a cell of a markdown table: no markup, no HTML, one line."""
    shown = _MARKDOWN.sub(r"\\\1", plain(text))
    return _ENTITY.sub("&amp;", shown).replace("<", "&lt;")


def csv_word(text: str) -> str:
    """Return text for a csv cell: control characters as escapes, and an apostrophe before what would be a formula."""
    shown = plain(text)
    runs = len(shown) > 1 and shown.lstrip().startswith(_FORMULA)
    return f"'{shown}" if runs else shown


def latex(text: str) -> str:
    """Return text for LaTeX: every special character is shown, ``->`` as an arrow.

    Accents that plain pdfLaTeX may not know are dropped, other characters beyond ASCII are written as ``?``.
    """
    arrows = plain(text).replace("->", _ARROW)
    shown = "".join(_LATEX.get(c) or (c if " " <= c <= "~" else _beyond_ascii(c)) for c in arrows)
    return re.sub("-(?=-)", "-{}", shown)  # two in a row would become a dash


def _beyond_ascii(character: str) -> str:
    letters = "".join(c for c in unicodedata.normalize("NFKD", character) if "A" <= c <= "z" and c.isalpha())
    return _SYMBOLS.get(character) or letters or "?"
