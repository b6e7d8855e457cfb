"""A run as its page shows it: the event log, folded as it comes, and what changed since a browser last heard of it.

Everything in here follows from the log, and the log holds source-dev figures only. What is known of the target comes
from outside, through :meth:`RunState.unseal`, which takes it for confirmed cells alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fasray.errors import DataError
from fasray.results.costs import cost_of
from fasray.runs.events import ENDED, Closed, Event, Opened, TrialRecord, Won, cell_protocol, fold
from fasray.runs.lock import Holder
from fasray.runs.reading import Reading
from fasray.runs.record import RunRecord
from fasray.sweep.progress import Work, seconds_left
from fasray.watch.outline import CellOutline, outline
from fasray.watch.sentences import sentence

TAIL = 200
"""Lines of the log that a page starts with."""
TRIAL_FIELDS = (
    "number", "id", "cell", "stage", "seed", "variant", "status", "steps", "total", "auc", "best_step", "seconds",
    "searched", "curve", "reason", "origin",
)  # fmt: skip
"""Of the row of a trial, in this order; ``curve`` is step, source-dev AUC, step, source-dev AUC, ..."""
_DIGITS = 5

CellKey = tuple[str, str]
"""Method and protocol of a cell."""


@dataclass
class _Cell:
    """A cell, planned or only seen in the log."""

    number: int
    key: CellKey
    planned: CellOutline | None
    seeds: float
    """Confirming runs of the winner; infinite if that is not known."""
    trials: list[TrialRecord] = field(default_factory=list)
    won: Won | None = None

    @property
    def searches(self) -> int:
        """Search trials: planned ones, or as many as there were once the search is over."""
        there = sum(trial.stage == "search" for trial in self.trials)
        return there if self.won or self.planned is None else max(there, self.planned.searches)

    @property
    def confirms(self) -> int:
        """Trials after the search, inner ones included."""
        there = sum(trial.stage != "search" for trial in self.trials)
        if self.planned is None or (self.won and self.won.config is None):
            return there
        return max(there, self.planned.confirms(self.won.config if self.won else None))

    @property
    def outcomes(self) -> set[str]:
        """What became of the confirming runs of the winner; empty until all of them have come to their end."""
        found = [trial.status for trial in self.trials if trial.stage == "confirm" and not trial.variant]
        return set(found) if len(found) >= self.seeds and set(found) <= {"done", "diverged"} else set()

    @property
    def confirmed(self) -> bool:
        """Whether the target of the cell is no longer sealed."""
        return "done" in self.outcomes

    def phase(self) -> str:
        """Return how far the cell is, as the page has it."""
        if self.won and self.won.config is None:
            return "no winner"
        if self.outcomes:
            return "confirmed" if self.confirmed else "all diverged"
        if self.won or any(trial.stage != "search" for trial in self.trials):
            return "confirming"
        return "searching" if self.trials else "waiting"


class _Digest(NamedTuple):
    """What the page shows of a trial's readings."""

    top: Reading | None
    seconds: float
    cpu_seconds: float
    gpu_seconds: float


class RunState:
    """What is known of one run.

    Args:
        head: of the run, without its events.
    """

    def __init__(self, head: RunRecord) -> None:
        self.head = head
        self.events: list[Event] = []
        self.records: dict[str, TrialRecord] = {}
        self.error = ""
        """Why the log can be read no further, or not just now."""
        self.holder = Holder("", False)
        self.last = ""
        """When the last event came, UTC; empty if that is not known."""
        self.changes = 0
        """Rises with every change, of the log or not."""
        self._at: list[str] = []
        self._number: dict[str, int] = {}
        self._of_event: list[int] = []
        """Number of the trial of each event, 0 where it is about none."""
        self._cells: dict[CellKey, _Cell] = {}
        self._of_trial: dict[str, _Cell] = {}
        self._digests: dict[str, _Digest] = {}
        self._stale: set[str] = set()
        """Trials whose digest is to be made anew."""
        self._targets: dict[int, Sequence[Mapping[str, Any]] | str] = {}
        self._summary: tuple[int, dict[str, Any]] = (-1, {})
        for planned in outline(head.spec):
            self._cell((planned.method, planned.protocol), planned)

    def extend(self, events: Iterable[Event], at: str) -> None:
        """Take what has come to the log.

        Args:
            events: the next ones, in order.
            at: when they were seen to come; empty for those that were there before.

        Raises:
            DataError: an event is about a trial that was never suggested.
        """
        for event in events:
            trial = str(getattr(event, "trial", "") or "")
            try:
                fold(self.records, event)
                if trial and trial not in self._number:
                    self._take(self.records[trial])
            except KeyError as error:
                raise DataError(f"event {len(self.events) + 1} of the log is about an unknown trial") from error
            if isinstance(event, Won):
                self._cell((event.method, event.protocol)).won = event
            if trial:
                self._stale.add(trial)
            self.events.append(event)
            self._of_event.append(self._number.get(trial, 0))
            self._at.append(event.at if isinstance(event, Opened | Closed) else at)
            self.last = self._at[-1] or self.last
        self.changes += 1

    def note(self, holder: Holder, error: str) -> None:
        """Take who drives the run, and why its log cannot be read."""
        if (holder, error) != (self.holder, self.error):
            self.holder, self.error = holder, error
            self.changes += 1

    def sealed_no_more(self) -> list[int]:
        """Return the numbers of the confirmed cells whose figures on the target are not known yet."""
        return [cell.number for cell in self._cells.values() if cell.confirmed and cell.number not in self._targets]

    def unseal(self, cell: int, figures: Sequence[Mapping[str, Any]] | str) -> None:
        """Take the figures of a confirmed cell on its target, or why there are none.

        Raises:
            ValueError: the cell is not confirmed.
        """
        if not self._by_number(cell).confirmed:
            raise ValueError(f"cell {cell} is not confirmed")
        self._targets[cell] = figures
        self.changes += 1

    def trials_of(self, cell: int) -> list[TrialRecord]:
        """Return the trials of a cell, in the order in which they were suggested; IndexError if there is no such."""
        return self._by_number(cell).trials

    def number_of(self, trial: str) -> int:
        """Return the number of a trial, from 1."""
        return self._number[trial]

    def planned(self, cell: int) -> CellOutline | None:
        """Return what was planned of a cell; None if that is not known."""
        return self._by_number(cell).planned

    def view(self, since: int = 0) -> dict[str, Any]:
        """Return what the page shows, or what of it has changed since so many events, as JSON values.

        Trials and cells that are the same are left out; ``head`` comes with the first view only. A browser that has
        seen more events than there are gets everything, marked ``whole``.
        """
        if not 0 < since <= len(self.events):
            since = 0
        changed = {number for number in self._of_event[since:] if number}
        ids = list(self._number)
        trials = [self.records[ids[number - 1]] for number in sorted(changed)]
        cells = {self._of_trial[trial.id].number for trial in trials}
        cells |= {self._cell(key).number for key in self._won_since(since)}
        first = max(since, len(self.events) - TAIL)
        self._digest()
        view: dict[str, Any] = {
            "version": len(self.events),
            "whole": since == 0,
            "summary": self._summarized(),
            "cells": [self._cell_row(c) for c in self._cells.values() if since == 0 or c.number in cells],
            "trials": [self._trial_row(trial) for trial in trials],
            "log": [
                [n + 1, self._at[n], *sentence(self.events[n], self._of_event[n])] for n in range(first, len(self._at))
            ],
        }
        return view if since else {"head": self._head(), **view}

    def _digest(self) -> None:
        for trial in self._stale:
            record = self.records[trial]
            cost = cost_of(record.paid)
            self._digests[trial] = _Digest(record.best, cost.seconds, cost.cpu_seconds, cost.gpu_seconds)
        self._stale.clear()

    def _leader(self, trials: Iterable[TrialRecord]) -> list[float | int | None] | None:
        """Return the best source-dev AUC and the number of its trial, inner ones left out; None if there is none."""
        known = [(self._digests[trial.id].top, self._number[trial.id]) for trial in trials if trial.stage != "inner"]
        found = [(-top.source_dev_auc, number) for top, number in known if top is not None]
        return [_number(-min(found)[0]), min(found)[1]] if found else None

    def _won_since(self, since: int) -> list[CellKey]:
        return [(event.method, event.protocol) for event in self.events[since:] if isinstance(event, Won)]

    def _cell(self, key: CellKey, planned: CellOutline | None = None) -> _Cell:
        if key not in self._cells:
            seeds = planned.seeds if planned else len(self.head.spec.get("confirm", {}).get("seeds", ())) or math.inf
            self._cells[key] = _Cell(len(self._cells), key, planned, seeds)
        return self._cells[key]

    def _by_number(self, cell: int) -> _Cell:
        return list(self._cells.values())[cell]

    def _take(self, record: TrialRecord) -> None:
        cell = self._cell((record.method, cell_protocol(record)))
        cell.trials.append(record)
        self._of_trial[record.id] = cell
        self._number[record.id] = len(self._number) + 1

    def _head(self) -> dict[str, Any]:
        return {
            "name": self.head.name,
            "folder": self.head.uri.rstrip("/").rsplit("/", 1)[-1],
            "generated": self.head.generated,
            "fields": TRIAL_FIELDS,
        }

    def _summarized(self) -> dict[str, Any]:
        if self._summary[0] != self.changes:
            self._summary = (self.changes, self._summarize())
        return self._summary[1]

    def _summarize(self) -> dict[str, Any]:
        records, cells = list(self.records.values()), list(self._cells.values())
        count = Counter(record.status for record in records)
        state, words = self._state()
        left = None
        if state in ("running", "unknown") and all(cell.planned for cell in cells):
            work = [
                Work(*cell.key, cell.planned.steps[-1], cell.searches, cell.confirms) for cell in cells if cell.planned
            ]
            left = seconds_left(work, records, count["running"])
        return {
            "state": state, "words": words, "driver": self.holder.who, "error": self.error, "last": self.last,
            "statuses": dict(count), "trials": sum(cell.searches + cell.confirms for cell in cells),
            "planned": all(cell.planned for cell in cells) and bool(cells),
            "best": self._leader(records), **self._cost(records), "left": _number(left),
            "targets": [[cell, figures] for cell, figures in self._targets.items()],
        }  # fmt: skip

    def _cost(self, trials: Iterable[TrialRecord]) -> dict[str, float | None]:
        """Return the seconds of trials by kind; None where nothing was measured."""
        digests = [self._digests[trial.id] for trial in trials]
        kinds = {name: [getattr(digest, name) for digest in digests] for name in _Digest._fields[1:]}
        known = {name: [value for value in values if not math.isnan(value)] for name, values in kinds.items()}
        return {name: _number(math.fsum(values)) if values else None for name, values in known.items()}

    def _state(self) -> tuple[str, str]:
        """Return what becomes of the run just now, in a word and in a sentence."""
        last = next((event for event in reversed(self.events) if isinstance(event, Opened | Closed)), None)
        if isinstance(last, Closed):  # its driver lets go of the lock a moment later
            return last.status, {
                "complete": "Every trial has ended.",
                "interrupted": "It was stopped on request; the same command goes on.",
                "failed": "Parts of it failed; the same command tries them again.",
            }[last.status]
        if self.holder.alive:
            return "running", f"Driven by {self.holder.who}."
        if last is None and not self.holder.who:
            return "waiting", "No driver has taken it yet."
        if self.holder.alive is None:
            return "unknown", f"Driven by {self.holder.who}, on another machine; whether it lives cannot be seen here."
        return "dead", "Its driver has died without a word; the same command goes on from the log."

    def _cell_row(self, cell: _Cell) -> dict[str, Any]:
        searched = [trial for trial in cell.trials if trial.stage == "search"]
        after = [trial for trial in cell.trials if trial.stage != "search"]
        return {
            "number": cell.number, "method": cell.key[0], "protocol": cell.key[1], "phase": cell.phase(),
            "searched": sum(trial.status in ENDED for trial in searched), "searches": cell.searches,
            "confirmed": sum(trial.status in ENDED for trial in after), "confirms": cell.confirms,
            "running": sum(trial.status == "running" for trial in cell.trials),
            "failed": sum(trial.status in ("failed", "diverged") for trial in cell.trials),
            "stopped": sum(trial.status == "stopped" for trial in cell.trials),
            "best": self._leader(cell.trials),
            "winner": self._number.get(cell.won.trial or "", 0) if cell.won else 0,
            "seconds": self._cost(cell.trials)["seconds"],
            "rungs": cell.planned.rungs if cell.planned else [],
        }  # fmt: skip

    def _trial_row(self, trial: TrialRecord) -> list[Any]:
        top = self._digests[trial.id].top
        curve = [value for reading in trial.readings for value in (reading.step, _number(reading.source_dev_auc))]
        return [
            self._number[trial.id], trial.id, self._of_trial[trial.id].number, trial.stage, trial.seed, trial.variant,
            trial.status, trial.paid[-1].step if trial.paid else 0, trial.total_steps,
            _number(top.source_dev_auc) if top else None, top.step if top else None,
            _number(self._digests[trial.id].seconds),
            {name: finite(trial.config.get(name)) for name in trial.searched}, curve, trial.reason,
            trial.origin.run if trial.origin else "",
        ]  # fmt: skip


def _number(value: float | None) -> float | None:
    """Return a number as JSON may have it, to a few digits."""
    return None if value is None or not math.isfinite(value) else round(value, _DIGITS)


def finite(value: Any) -> Any:
    """Return a JSON value with words in place of numbers that JSON cannot hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): finite(each) for name, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value
