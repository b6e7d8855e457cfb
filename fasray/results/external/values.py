"""Single values of score files: numbers with a dot or a decimal comma, labels, kinds of attack."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fasray.errors import DataError
from fasray.names import canonical as composed

_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_LARGEST_FRAME = 2**53
_LIVE_WORDS = {"live", "bonafide", "real", "genuine", "liveface", "realface", "realaccess", "authentic", "noattack"}
_NO_WORDS = {"", "none", "nan", "null", "na", "n/a"}


def is_number(text: str) -> bool:
    """Return whether a text is a number, with a dot or with a decimal comma."""
    try:
        float(text)
    except ValueError:
        return _COMMA.fullmatch(text) is not None
    return "_" not in text  # Python's spelling, and no one else's


def _float(value: Any) -> float | None:
    if isinstance(value, str) and "_" in value:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def numbers(values: Sequence[Any], places: Sequence[str], name: str, uri: str, *, whole: bool = False) -> list[float]:
    """Return a column of numbers; NaN is one.

    A comma is the decimal one where no number has a dot and one of them could not have thousands.

    Raises:
        DataError: one of them is no number, or, where they must be ``whole``, not a whole one; with its line.
    """
    texts = [value for value in values if isinstance(value, str)]
    comma = any("," in text for text in texts) and not any("." in text for text in texts)
    if comma and all(_THOUSANDS.fullmatch(text) for text in texts if "," in text):
        place = next(place for value, place in zip(values, places, strict=True) if "," in str(value))
        raise DataError(
            f"{name} with a comma that may stand for the decimal point or for thousands",
            where=f"{uri}, {place}",
            remedy="write numbers with a dot",
        )
    found = []
    for value, place in zip(values, places, strict=True):
        number = _float(value.replace(",", ".") if comma and _COMMA.fullmatch(str(value)) else value)
        if number is None:
            what = f"{name} {shown(value)} is not a number"
            raise DataError(what, where=f"{uri}, {place}", remedy="give a number with a dot")
        if whole and not (number.is_integer() and abs(number) <= _LARGEST_FRAME):
            what = f"{name} {shown(value)} is not a frame index"
            raise DataError(what, where=f"{uri}, {place}", remedy="give whole numbers")
        found.append(number)
    return found


def canonical(value: Any) -> str:
    """Return a label as one word: 1, 1.0 and "1" are the same, and so are True and "true"."""
    word = composed(str(value)).strip().casefold() if value is not None else ""
    number = _float(word)
    return str(int(number)) if number is not None and number.is_integer() else word


def is_live_word(kind: str) -> bool:
    """Return whether the name of an attack type says that there is no attack."""
    return re.sub(r"[\s_-]+", "", kind.casefold()) in _LIVE_WORDS


def is_no_word(kind: str) -> bool:
    """Return whether the name of an attack type says nothing."""
    return kind.strip().casefold() in _NO_WORDS


def shown(value: Any) -> str:
    """Return a value as a message shows it: quoted, escaped and short."""
    return ascii(value if value is None or len(str(value)) <= 40 else f"{str(value)[:40]}...")
