"""How the parts of a face set were prepared, by its card, and in what they differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fasray.faces.sets.manifest import canonical_json

_SOURCES = {
    "": "found in whole pictures",
    "whole": "that came cut out",
    "detect": "found in pictures that came cut out",
}


def parts(card: Mapping[str, Any], domains: Sequence[str] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield (domains, card) of every set that a set was merged of, in order; of a set that was not, its own card.

    Args:
        card: of a manifest.
        domains: of the set, where they are known.
    """
    if not card.get("sets"):
        yield tuple(domains), card
    for part in card.get("sets") or ():
        yield from parts(part["card"], part.get("domains", ()))


def way(card: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return how the faces of a set that was not merged were made; None if its card does not say.

    Returns:
        The settings of its preparation; ``{"generated": True}`` if its faces were drawn and never cut out.
    """
    plan = card.get("plan")
    if isinstance(plan, Mapping) and isinstance(plan.get("settings"), Mapping):
        found: Mapping[str, Any] = plan["settings"]
        return found
    return {"generated": True} if card.get("kind") == "synthetic" else None


def differences(card: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in what the parts of a set were prepared differently, one line each, with their domains; empty if alike.

    A part whose card does not say how it was prepared is left out.
    """
    known = [(domains, _facts(part)) for domains, part in parts(card) if way(part) is not None]
    lines = []
    for name in dict.fromkeys(name for _, facts in known for name in facts):
        values: dict[str, list[str]] = {}
        for domains, facts in known:
            values.setdefault(facts[name], []).extend(domains)
        if len(values) > 1:
            lines.append(f"{name} " + ", ".join(f"{value} ({' '.join(where)})" for value, where in values.items()))
    return tuple(lines)


def difference_note(card: Mapping[str, Any]) -> str:
    """Return the differences as one sentence for readers of results; empty if there are none."""
    found = "; ".join(differences(card))
    return f"The domains were prepared differently, and results over them measure that, too: {found}." if found else ""


def _facts(card: Mapping[str, Any]) -> dict[str, str]:
    """Return what decides the pixels of a part, as text by name."""
    settings, crop = way(card) or {}, card.get("crop") or {}
    frames = f"{settings.get('frames')} evenly spaced" if settings.get("frames") else f"one in {settings.get('every')}"
    return {
        "faces": _SOURCES[settings.get("cropped", "")],
        "margin": f"{float(crop.get('margin', settings.get('margin', 0))):g}",
        "frames": str(crop.get("frame_rule", frames)),
        "images": str(card.get("image") or f"JPEG quality {settings.get('quality')}"),
        "detector": f"{settings['detector']} {_digest(settings.get('models'))}" if "detector" in settings else "none",
    }


def _digest(models: Any) -> str:
    return hashlib.sha256(canonical_json(models).encode()).hexdigest()[:8]
