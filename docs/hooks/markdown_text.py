"""Pieces of Markdown that the generated pages are made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; bars inside a cell are escaped, line ends become blanks."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = [[re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def code(value: object) -> str:
    """Return a value as YAML and JSON write it, in code marks; nothing for nothing."""
    shown = str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    return f"`{shown}`" if shown else ""


def prose(docstring: str | None) -> str:
    """Return a docstring as Markdown: roles become code, and a list gets the blank line that it needs."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", inspect.cleandoc(docstring or "")).replace("``", "`")
    return re.sub(r"(?m)^(?!- |  |$)(.+)\n(?=- )", r"\1\n\n", text)


def sentence(text: str, end: str = ".") -> str:
    """Return a docstring or description as a sentence: a capital first, ``end`` last."""
    text = prose(text).strip()
    return text[:1].upper() + text[1:].rstrip(".") + end if text else text
