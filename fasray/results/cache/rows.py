"""The rows that a run's cells last gave, kept beside the run, so that the table of a long sweep is there at once.

``index.json`` in the run directory is derived: it can be deleted, and is made again. Each entry is the rows of one cell
under one rule; what does not hold any more (``fasray.results.cache.validity``) is computed anew from the score files.
``fasray verify`` does not look at it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fasray import storage
from fasray.results.cache.validity import Stamps, read_kept, write_kept
from fasray.results.figures import TrialFigures
from fasray.results.frame import CellFigures, Key
from fasray.results.selection import Choice, Pick, selection
from fasray.runs.events import TrialRecord

INDEX_FILE = "index.json"


class RowIndex:
    """Gives the rows that still hold, and takes new ones.

    Args:
        run: local path or URI of the run directory.
        settled_s: in place of ``stamped.SETTLED_S``.
    """

    def __init__(self, run: str, settled_s: float | None = None) -> None:
        self._uri = storage.join(run, INDEX_FILE)
        self._stamps = Stamps(run, settled_s)
        kept = read_kept(self._uri)
        self._entries: dict[str, dict[str, Any]] = {} if kept is None else json.loads(kept)
        self._prints: dict[tuple[Key, bool], str] = {}
        self.changed = False
        """Whether there is something to save."""

    def rows(self, key: Key, rule: str, trials: Sequence[TrialRecord]) -> Sequence[CellFigures] | None:
        """Return the rows that a rule gave for a cell of these trials, ``None`` if that is not known any more."""
        entry, fingerprint = self._entries.get(_name(key, rule)), self._fingerprint(key, rule, trials)
        if entry is None or not fingerprint or entry["fingerprint"] != fingerprint:
            return None
        return [_row(stored) for stored in entry["rows"]]

    def keep(self, key: Key, rule: str, trials: Sequence[TrialRecord], rows: Sequence[CellFigures]) -> None:
        """Take the rows that have been computed since ``rows`` was asked for the same."""
        fingerprint = self._fingerprint(key, rule, trials)
        if fingerprint:
            self._entries[_name(key, rule)] = {"fingerprint": fingerprint, "rows": [_stored(row) for row in rows]}
            self.changed = True

    def save(self) -> None:
        """Write what is new, if anything is and the place can be written to."""
        if self.changed:
            write_kept(self._uri, json.dumps(self._entries).encode())

    def _fingerprint(self, key: Key, rule: str, trials: Sequence[TrialRecord]) -> str:
        """Return what changes whenever something changes that the rows follow from; empty if nobody can tell."""
        every = selection(rule).any_trial
        if (key, every) not in self._prints:
            self._prints[key, every] = self._stamps.print_of([t for t in trials if every or t.stage == "confirm"])
        return self._prints[key, every]


def _name(key: Key, rule: str) -> str:
    return json.dumps([*key, rule])


def _stored(row: CellFigures) -> dict[str, Any]:
    runs = [
        {name: value for name, value in vars(run).items() if name not in ("choice", "replicates")} for run in row.runs
    ]
    choices = [asdict(run.choice) for run in row.runs]
    return {**vars(row), "runs": list(zip(runs, choices, strict=True))}


def _row(stored: Mapping[str, Any]) -> CellFigures:
    lists = ("key", "mean", "std", "intervals")
    runs = tuple(_run(run, choice) for run, choice in stored["runs"])
    return CellFigures(**{**stored, **{name: tuple(stored[name]) for name in lists}, "runs": runs})


def _run(run: Mapping[str, Any], choice: Mapping[str, Any]) -> TrialFigures:
    picks = tuple(Pick(**pick) for pick in choice["picks"])
    return TrialFigures(**{**run, "values": tuple(run["values"]), "choice": Choice(**{**choice, "picks": picks})})
