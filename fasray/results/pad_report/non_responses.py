"""Which presentations of a target had no response: videos in whose frames the preparation found no face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fasray import protocols
from fasray.errors import FasrayError
from fasray.faces.record import ATTACK_TYPES
from fasray.faces.sets.preparations import parts
from fasray.protocols.crossing import TARGET_SPLITS
from fasray.runs.record import RunRecord

_LIVE = ATTACK_TYPES[0]


@dataclass(frozen=True)
class NonResponses:
    """Videos of a target without a response, as far as the face set's card counts them."""

    known: bool
    """Whether they were counted at all; a generated set has a face in every frame, and none is missing."""
    live: int = 0
    attacks: tuple[tuple[str, int], ...] = ()
    """(attack type, videos), by name, where there are any."""
    unreadable: int = 0
    """Files that could not be read: damaged data, no presentations."""
    note: str = ""
    """Where the numbers are from, or why there are none."""


def non_responses(run: RunRecord, protocol: str) -> NonResponses:
    """Return what the card of a run's faces says of the target of a protocol."""
    if run.generated and run.data.card.get("kind") == "synthetic":
        return NonResponses(True, note="Generated faces: a face in every frame.")
    try:
        chosen = protocols.parse(protocol, run.spec.get("target_split", "train+test"))
    except FasrayError:
        return NonResponses(False, note="The protocol is not known to this version, nor which videos it leaves out.")
    # Counts are of whole splits of one corpus: of a protocol that judges a part of them they would say too much.
    domains = [part.domain for part in chosen.target_parts]
    both_sides = chosen.target in [part.domain for part in chosen.source_parts]
    if domains != [chosen.target] or both_sides or chosen.shots or chosen.oulu:
        return NonResponses(False, note=f"Preparation counts whole splits; {protocol} judges a part of them.")
    counts = _counts_of(run.data.card, chosen.target)
    if counts is None:
        note = f"The card of the faces does not count the videos of {chosen.target} apart."
        return NonResponses(False, note=note)
    rows = [row for row in counts if row["split"] in TARGET_SPLITS[chosen.target_split]]
    missing: dict[str, int] = {}
    for row in rows:
        missing[row["attack_type"]] = missing.get(row["attack_type"], 0) + int(row["without_face"])
    attacks = tuple(sorted((name, count) for name, count in missing.items() if name != _LIVE and count))
    unreadable = sum(int(row["unreadable"]) for row in rows)
    note = "Videos in whose frames the detector found no face, from the card of the faces."
    return NonResponses(True, missing.get(_LIVE, 0), attacks, unreadable, note)


def _counts_of(card: Mapping[str, Any], domain: str) -> Sequence[Mapping[str, Any]] | None:
    """Return the counts of a domain's videos; None if not all of them were counted, or not apart from others."""
    found: list[Mapping[str, Any]] = []
    for domains, part in parts(card):
        if domains and domain not in domains:
            continue
        alone = domains[0] if len(domains) == 1 else ""
        rows = [(row.get("domain") or alone, row) for row in part.get("counts", ())]
        if not rows or not all(at for at, _ in rows):
            return None
        found += [row for at, row in rows if at == domain]
    return found or None
