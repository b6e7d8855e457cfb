"""The columns of a score file: how they are named, found and asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fasray.errors import DataError, SpecError, did_you_mean

OURS = ("score", "label", "subject", "video", "domain", "attack_type", "frame", "role", "path")
"""Columns that are read where they are there, or where ``--column`` names them."""
_BOB = {"claimed_id": "subject", "test_label": "video", "attack_type": "attack_type", "frame_id": "frame",
        "is_bonafide": "label", "score": "score"}  # fmt: skip
_BOB_VIDEO = "video_key"


@dataclass(frozen=True)
class Request:
    """What the caller says of a file's columns."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Where to find ours: a name in the header, a position from 1, or ``-`` to leave it out."""
    live_label: str = "1"
    labelled: bool = True
    """Whether the rows' labels are in the file; False where a list, a pattern or the file itself gives them."""
    keyed: bool = False
    """Whether rows are looked up by name: in a file without a header the first column, before the score in the last."""

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in OURS:
                raise SpecError(f"no column {name!r} is known", where="--column", remedy=did_you_mean(name, OURS))


@dataclass(frozen=True)
class Table:
    """Values by column, and the place of each row in the file."""

    layout: str
    columns: Mapping[str, Sequence[Any]]
    places: Sequence[str]
    notes: tuple[str, ...] = ()
    """How it was read, where that is worth a remark."""

    def __len__(self) -> int:
        return len(self.places)


def columns_of(header: Sequence[str], where: str, request: Request) -> tuple[str, dict[str, int]]:
    """Return the layout, and at which position of the header each of our columns is.

    Names in capitals are the same names.

    Raises:
        DataError: there is no column for the score or the label, or not the one asked for.
    """
    places = {name.casefold(): at for at, name in reversed(list(enumerate(header)))}
    places |= {name: at for at, name in reversed(list(enumerate(header)))}
    asked = {ours: _position(ours, theirs, places, len(header), where) for ours, theirs in request.columns.items()}
    bob = "is_bonafide" in places and "label" not in places and "label" not in asked
    names = {ours: ours for ours in OURS}
    if bob:
        names |= {ours: theirs for theirs, ours in _BOB.items() if theirs in places}
        names |= {"video": _BOB_VIDEO} if _BOB_VIDEO in places else {}
    found = {ours: places[theirs] for ours, theirs in names.items() if theirs in places}
    found = {ours: at for ours, at in (found | asked).items() if at is not None}
    for needed in ("score", "label") if request.labelled else ("score",):
        if needed not in found:
            raise _missing(needed, header, where)
    return "bob.pad csv" if bob else "csv", found


def _position(ours: str, theirs: str, places: Mapping[str, int], width: int, where: str) -> int | None:
    if theirs == "-":
        return None
    if theirs in places or theirs.casefold() in places:
        return places.get(theirs, places.get(theirs.casefold()))
    if theirs.isascii() and theirs.isdecimal() and 1 <= int(theirs) <= width:
        return int(theirs) - 1
    raise DataError(
        f"there is no column {theirs!r} to take as {ours!r}",
        where=where,
        remedy=f"--column {ours}=NAME or --column {ours}=POSITION, from 1 to {width}",
    )


def _missing(needed: str, header: Sequence[str], where: str) -> DataError:
    shown = ", ".join(header) if header else "none"
    remedy = f"name it {needed!r}, or say which it is: --column {needed}=NAME; {did_you_mean(needed, header)}"
    if not header:
        remedy = "give it a header"
    elif len(header) == 1:
        remedy = "separate columns by a comma, semicolon, tab, | or blanks"
    elif needed == "label":
        remedy += "; or give the labels with --labels, --live-path or --attacks"
    return DataError(f"no column {needed!r}; the columns are: {shown}", where=where, remedy=remedy)
