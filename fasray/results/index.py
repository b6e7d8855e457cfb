"""The rows that a run's cells last gave, kept beside the run, so that the table of a long sweep is there at once.

``index.json`` in the run directory is derived: it can be deleted, and is made again. Each entry is the rows of one cell
under one rule, and holds only as long as all that they follow from is as it was: the trials in the log, the stamps of
their score files (``fasray.storage.stamps``), and the code that computed them. Whatever differs is computed anew from
the score files. A file that is damaged, of other code or of another format counts as none. ``fasray verify`` does not
look at it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import fasray
from fasray import storage
from fasray.errors import FasrayError
from fasray.results.evaluations import Trial
from fasray.results.frame import CellFigures, Key
from fasray.results.judging import TrialFigures
from fasray.results.select import Choice, Pick, selection
from fasray.sweep.ledger import trial_folder

log = logging.getLogger(__name__)

INDEX_FILE = "index.json"
LEAST_SCORE_FILES = 1000
"""Of a run, for an index to be written: smaller ones are read as fast."""
SETTLED_S = 2.0
"""Age of the youngest score file from which a cell's rows are kept; younger ones may still change within a tick."""
_FORMAT = 1


class RowIndex:
    """Gives the rows that still hold, and takes new ones.

    Args:
        run: local path or URI of the run directory.
        settled_s: in place of ``SETTLED_S``.
    """

    def __init__(self, run: str, settled_s: float | None = None) -> None:
        self._run, self._settled_s = run, SETTLED_S if settled_s is None else settled_s
        self._uri = storage.join(run, INDEX_FILE)
        self._entries = _read(self._uri)
        self._stamps: dict[str, dict[str, storage.Stamp]] = {}
        self._prints: dict[tuple[Key, bool], str] = {}
        self.changed = False
        """Whether there is something to save."""

    def rows(self, key: Key, rule: str, trials: Sequence[Trial]) -> Sequence[CellFigures] | None:
        """Return the rows that a rule gave for a cell of these trials, ``None`` if that is not known any more."""
        entry = self._entries.get(_name(key, rule))
        fingerprint = self._fingerprint(key, rule, trials)  # before anything is read: what changes later is seen
        if entry is None or not fingerprint or entry["fingerprint"] != fingerprint:
            return None
        return [_row(stored) for stored in entry["rows"]]

    def keep(self, key: Key, rule: str, trials: Sequence[Trial], rows: Sequence[CellFigures]) -> None:
        """Take the rows that have been computed since ``rows`` was asked for the same."""
        fingerprint = self._fingerprint(key, rule, trials)
        if fingerprint:
            self._entries[_name(key, rule)] = {"fingerprint": fingerprint, "rows": [_stored(row) for row in rows]}
            self.changed = True

    def save(self) -> None:
        """Write what is new; a place that cannot be written to is none that an index is kept in."""
        if not self.changed:
            return
        body = json.dumps({"format": _FORMAT, "code": _code(), "entries": self._entries}).encode()
        try:
            storage.write_bytes(self._uri, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except (FasrayError, OSError) as error:
            log.debug("no index is kept: %s", error)

    def _fingerprint(self, key: Key, rule: str, trials: Sequence[Trial]) -> str:
        """Return what changes whenever something changes that the rows follow from; empty if nobody can tell."""
        every = selection(rule).any_trial
        if (key, every) not in self._prints:
            self._prints[key, every] = self._print_of([t for t in trials if every or t.stage == "confirm"])
        return self._prints[key, every]

    def _print_of(self, trials: Sequence[Trial]) -> str:
        self._look([trial.id for trial in trials if trial.id not in self._stamps])
        youngest = time.time() - self._settled_s
        parts = []
        for trial in trials:
            parts.append(f"{trial.id} {trial.stage} {trial.status} {trial.seed}")
            there = self._stamps[trial.id]
            for step in trial.steps:
                stamp = there.get(f"eval-{step:08d}.parquet")
                if stamp is None or not stamp.text or stamp.changed_at > youngest:
                    return ""
                parts.append(f"{step} {stamp.text}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _look(self, trials: Sequence[str]) -> None:
        folders = [trial_folder(self._run, trial) for trial in trials]
        self._stamps.update(zip(trials, storage.at_once(storage.stamps, folders, self._run), strict=True))


def _read(uri: str) -> dict[str, dict[str, Any]]:
    """Return the entries of an index file; none if it is not there, damaged, or of other code."""
    try:
        digest, _, body = storage.read_bytes(uri).partition(b"\n") if storage.exists(uri) else (b"", b"", b"")
    except FasrayError:
        return {}
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return {}
    found = json.loads(body)
    return dict(found["entries"]) if (found["format"], found["code"]) == (_FORMAT, _code()) else {}


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


@cache
def _code() -> str:
    """Return what changes with the code that figures follow from."""
    package = Path(fasray.__file__).parent
    sources = sorted([*package.glob("metrics/*.py"), *package.glob("results/*.py"), package / "faces" / "record.py"])
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    return hashlib.sha256(" ".join([fasray.__version__, np.__version__, *parts]).encode()).hexdigest()
