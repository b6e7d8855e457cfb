"""What is known of the memory that trials take on this node's cards; kept next to the pool that they train on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fasray.faces.loading.pool import pool_folder
from fasray.sweep.backbones import SETTING, listed
from fasray.sweep.plan import Plan
from fasray.training.trial import Trial

STEPS = 4
"""Optimizer steps of a short run: the whole schedule of a trial in a few steps, so that all its parts take part."""


@dataclass(frozen=True)
class Measured:
    """What short runs on one card of a kind have shown."""

    card: str
    """Name of the card."""
    card_bytes: int
    peaks: Mapping[str, int] = field(default_factory=dict)
    """Most bytes that a trial took, by method; a method one of whose runs failed is missing, and gets whole cards."""


class MemoryFile:
    """The file of one pool.

    Args:
        pool: key of the pool.
        by: what else the measurements depend on.
    """

    def __init__(self, pool: str, by: str = "") -> None:
        folder = pool_folder(pool)
        self.path = folder.parent / f"{folder.name}.memory.json"
        self._by = by
        self._entries = _read(self.path)

    def peak(self, trial: Trial, card: str) -> int | None:
        """Return what a short trial takes of a card; None if it was not measured."""
        entry = self._entries.get(self._key(trial, card))
        return None if entry is None else int(entry["peak_bytes"])

    def add(self, trial: Trial, card: str, card_bytes: int, peak: int) -> None:
        """Keep what a short trial took of a card; a full disk is no error, for it can be measured again."""
        entry = {"method": trial.method, "card": card, "card_bytes": card_bytes, "peak_bytes": peak}
        self._entries = {**_read(self.path), **self._entries, self._key(trial, card): entry}
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            part.write_text(json.dumps(self._entries, indent=1))
            part.replace(self.path)

    def peaks(self, trials: Iterable[Trial], card: str) -> dict[str, int]:
        """Return the most that short trials of each method take of a card, of those methods whose are all measured."""
        measured = [(trial.method, self.peak(trial, card)) for trial in trials]
        missing = {method for method, peak in measured if peak is None}
        found: dict[str, int] = {}
        for method, peak in measured:
            if method not in missing:
                found[method] = max(found.get(method, 0), peak or 0)
        return found

    def known(self, trials: Iterable[Trial]) -> Measured | None:
        """Return what is known of these short trials on the card of most of them; None if nothing is."""
        trials = list(trials)
        cards = {str(entry["card"]): int(entry["card_bytes"]) for entry in self._entries.values()}
        found = [Measured(card, size, self.peaks(trials, card)) for card, size in cards.items()]
        return max((one for one in found if one.peaks), key=lambda one: len(one.peaks), default=None)

    def _key(self, trial: Trial, card: str) -> str:
        import torch

        training = trial.training.model_dump(mode="json")
        parts = [trial.method, trial.config, trial.protocol, training, card, str(torch.__version__), self._by]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def short_trials(plan: Plan) -> list[Trial]:
    """Return short trials of each method of a plan: one, and one for each backbone of its search and ablations.

    All are on the protocol with most domains.
    """
    found: dict[str, Trial] = {}
    for cell in {cell.method: cell for cell in sorted(plan.cells, key=lambda cell: cell.domains)}.values():
        whole = cell.configuration({})
        searched = (cell.configuration({SETTING: name}) for name in listed(plan.spec.space(cell.method)))
        swapped = ({**whole, **changes} for changes in cell.ablations.values() if SETTING in changes)
        for config in (whole, *searched, *swapped):
            trial = plan.trial(cell, config, plan.spec.search.seed)
            training = trial.training.model_copy(update={"steps": STEPS, "evaluations": 1})
            found[trial.id] = trial.model_copy(update={"training": training})
    return list(found.values())


def measurements() -> list[dict[str, Any]]:
    """Return all that is known on this node: ``method``, ``card``, ``card_bytes`` and ``peak_bytes`` of each entry."""
    files = sorted(pool_folder("x").parent.glob("*.memory.json"))
    return [entry for file in files for entry in _read(file).values()]


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    return {}
