"""Published figures, to be compared with ours: what they are, how far they are verified, and how they were selected.

``published.csv`` holds HTER and AUC in percent. Status ``V``: checked in a table of a later paper's repository (that of
GAC-FAS, or the list FAS_Results), not in the paper itself. ``R``: recalled from memory and not verified; quote none of
them without looking it up. ``-``: none found. As far as is known, every one of them was selected on the target: none
is comparable with an honest figure.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import pandas as pd

Status = Literal["V", "R", "-"]
SELECTION = "published"
STATUS_NOTE = (
    "published: V checked in a later paper's table, R recalled and not verified, - none found. Those whose rule is "
    "known were selected on the target, which no honest figure was: compare them with the oracles."
)
PUBLISHED_COLUMNS: dict[str, str] = {
    "status": "V checked in a later paper's table, R recalled and unverified, - none found; empty for our own rows",
    "published_rule": "how the published figure was selected; empty for our own rows",
    "note": "what else is to be known of a published figure",
}
"""Columns that ``with_published`` adds to the result frame."""


@dataclass(frozen=True)
class Published:
    """One published figure."""

    method: str
    """Our name of the method; empty if fasray does not have it."""
    name: str
    """The name in the literature."""
    protocol: str
    hter: float
    """A fraction; NaN if none was found."""
    auc: float
    status: Status
    rule: str
    note: str


def _read() -> tuple[Published, ...]:
    text = resources.files("fasray.results.tables").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(
        Published(
            row["method"],
            row["name"],
            row["protocol"],
            _fraction(row["hter_percent"]),
            _fraction(row["auc_percent"]),
            row["status"],  # type: ignore[arg-type]
            row["rule"],
            row["note"],
        )
        for row in csv.DictReader(io.StringIO(text))
    )


def _fraction(percent: str) -> float:
    return round(float(percent) / 100, 6) if percent else math.nan


PUBLISHED = _read()


def of_cell(method: str, protocol: str, figures: Sequence[Published]) -> list[Published]:
    """Return the figures that were published for one of our cells; SSDG has two, SSDG-R and SSDG-M."""
    return [figure for figure in figures if (figure.method, figure.protocol) == (method, protocol)]


def with_published(frame: pd.DataFrame, figures: Sequence[Published]) -> pd.DataFrame:
    """Return the result frame with a row for each published figure on its protocols; see ``PUBLISHED_COLUMNS``.

    Their ``selection`` is ``published``, their ``method`` the name in the literature; what is not known is missing.
    """
    shown = set(frame["protocol"])
    ours = frame.assign(**dict.fromkeys(PUBLISHED_COLUMNS, ""))
    rows = [
        {
            **{name: _unknown(frame, name) for name in frame.columns},
            "method": figure.name,
            "protocol": figure.protocol,
            "selection": SELECTION,
            "oracle": True,
            "hter": figure.hter,
            "auc": figure.auc,
            "status": figure.status,
            "published_rule": figure.rule,
            "note": figure.note,
        }
        for figure in figures
        if figure.protocol in shown
    ]
    theirs = pd.DataFrame(rows, columns=list(ours.columns)).astype(ours.dtypes.to_dict())
    return pd.concat([ours, theirs], ignore_index=True) if rows else ours


def _unknown(frame: pd.DataFrame, name: str) -> object:
    """Return the missing value of a column: an empty list, NaN, zero or an empty word."""
    if name in ("trials", "seeds", "steps", "thresholds"):
        return []
    kind = frame[name].dtype
    if pd.api.types.is_float_dtype(kind):
        return math.nan
    return 0 if pd.api.types.is_integer_dtype(kind) else ""
