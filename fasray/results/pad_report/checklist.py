"""What laboratories ask at three levels of attack, and what the data of a run can and cannot show of it.

The figures are those commonly published of iBeta's levels; only a laboratory's own documents bind, and only its own
test passes anything. No row here is a certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fasray.metrics.pad import PadCounts, Presentations, presentations_needed

PRESENTATIONS = 150
"""Of each species."""
MET, MISSED, UNKNOWN = "met by these data", "not met", "cannot be shown"


@dataclass(frozen=True)
class Level:
    """The requirements of one level."""

    number: int
    attacks: str
    """What the attacks of the level are."""
    types: tuple[str, ...]
    """Attack types of which one at least is wanted."""
    apcer: float
    """The highest APCER of a species that is allowed, fraction."""
    bpcer: float
    live: int
    """Bona fide presentations, at least; 0: not said."""


LEVELS = (
    Level(1, "prints and screens, made in hours from what everybody has", ("print", "replay"), 0.0, 0.15, 50),
    Level(2, "masks and dolls of paper, resin or latex, made in days", ("mask",), 0.01, 0.15, 250),
    Level(3, "masks made to measure for the attacked person, by experts", ("mask",), 0.0, 0.10, 0),
)


@dataclass(frozen=True)
class Requirement:
    """One requirement and what these data say of it."""

    level: int
    what: str
    found: str
    verdict: str
    """``MET``, ``MISSED`` or ``UNKNOWN``."""


def checklist(counts: PadCounts, generated: bool) -> tuple[Requirement, ...]:
    """Return every requirement of every level with what a counted score set says of it.

    Generated faces meet nothing: whatever was counted, the verdict is that it cannot be shown.
    """
    found = [row for level in LEVELS for row in _level(level, counts)]
    if generated:
        found = [Requirement(row.level, row.what, row.found, UNKNOWN) for row in found]
    return tuple(found)


def _level(level: Level, counts: PadCounts) -> list[Requirement]:
    there = [each for each in counts.species if each.name in level.types and each.count]
    names = ", ".join(each.name for each in there)
    kinds = MET if there and level.number < 3 else UNKNOWN
    rows = [Requirement(level.number, level.attacks, names or f"no {' or '.join(level.types)} in these data", kinds)]
    few = [each for each in there if each.count < PRESENTATIONS]
    enough = UNKNOWN if few or not there else MET
    listed = ", ".join(f"{each.name} {each.count}" for each in there) or "-"
    rows.append(Requirement(level.number, f"{PRESENTATIONS} presentations of each species", listed, enough))
    rows.append(_apcer(level, there))
    rows.append(_bpcer(level, counts.live))
    if level.live:
        verdict = MET if counts.live.count >= level.live else UNKNOWN
        what = f"{level.live} bona fide presentations"
        rows.append(Requirement(level.number, what, str(counts.live.count), verdict))
    what = "attacks by testers who try, in sight of the system's answers"
    rows.append(Requirement(level.number, what, "recorded videos, made without the system", UNKNOWN))
    return rows


def _apcer(level: Level, there: Sequence[Presentations]) -> Requirement:
    what = "no attack accepted" if level.apcer == 0 else f"APCER at most {100 * level.apcer:g} % of each species"
    shown = ", ".join(f"{each.name} {each.errors} of {each.count} ({_bound(each)})" for each in there) or "-"
    if not there:
        return Requirement(level.number, what, shown, UNKNOWN)
    if any(each.rate > level.apcer for each in there):
        return Requirement(level.number, what, shown, MISSED)
    if any(each.count < PRESENTATIONS for each in there):
        return Requirement(level.number, what, shown, UNKNOWN)
    return Requirement(level.number, what, shown, MET)


def _bpcer(level: Level, live: Presentations) -> Requirement:
    what = f"BPCER at most {100 * level.bpcer:g} %"
    verdict = MET if live.rate <= level.bpcer else MISSED
    return Requirement(level.number, what, f"{100 * live.rate:.1f} % ({_bound(live)})", verdict)


def _bound(each: Presentations) -> str:
    return f"at most {100 * each.upper():.1f} %, 95 %"


def how_many() -> str:
    """Return how many presentations without an error show what, as a sentence."""
    two, one = presentations_needed(0.02), presentations_needed(0.01)
    return (
        f"No error in {PRESENTATIONS} independent presentations shows a rate of at most 2.0 % (one-sided, 95 %); {two}"
        f" are enough for that, and {one} for 1 %."
    )
