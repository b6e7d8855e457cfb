"""The Ray-free state machine of a sweep: which trial is next, what becomes of it, and what the log says of both.

Every change of state is an event that is logged before it takes effect. ``replay`` feeds the events of an earlier
driver through the same code, so that a resumed sweep stands exactly where the log ends.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fasray.errors import DataError
from fasray.runs.events import (
    ENDED,
    Decision,
    Ended,
    Event,
    Reported,
    Retried,
    Stage,
    Suggested,
    TrialRecord,
    Won,
    cell_protocol,
    fold,
    gc_paused,
)
from fasray.runs.reading import Reading
from fasray.sweep.plan import Cell, Plan
from fasray.sweep.schedule import CellScheduler
from fasray.sweep.search import Tried
from fasray.training.trial import Trial


@dataclass(frozen=True)
class Assignment:
    """A trial to run, or to go on with."""

    trial: Trial
    cell: Cell
    stage: Stage
    reported_step: int


@dataclass(frozen=True)
class _Waiting:
    stage: Stage
    trial: Trial
    variant: str = ""


@dataclass
class _CellState:
    """Its search has trials left until as many are suggested as the cell plans; after it ``waiting`` is filled."""

    cell: Cell
    search: CellScheduler
    confirm: CellScheduler
    waiting: deque[_Waiting] = field(default_factory=deque)
    suggested: dict[Stage, list[str]] = field(default_factory=lambda: {"search": [], "confirm": [], "inner": []})
    won: bool = False

    @property
    def searches_left(self) -> int:
        return 0 if self.won else self.cell.searches - len(self.suggested["search"])


class Coordinator:
    """Hands out trials cell by cell, decides over their results and moves each cell from search to confirmation.

    Args:
        plan: what is to be done.
        log: writes one event durably; it has returned before the event takes effect.
    """

    def __init__(self, plan: Plan, log: Callable[[Event], None]) -> None:
        self.plan = plan
        self.records: dict[str, TrialRecord] = {}
        self._log = log
        self._trials: dict[str, Trial] = {}
        self._cell_of: dict[str, _CellState] = {}
        self._running: set[str] = set()
        self._left_over: deque[str] = deque()
        self._cells = {
            (cell.method, cell.protocol.name): _CellState(
                cell, plan.scheduler(cell, "search"), plan.scheduler(cell, "confirm")
            )
            for cell in plan.cells
        }

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what earlier drivers logged; what they left unfinished is handed out first.

        Raises:
            DataError: the log does not fit the plan, or a decision in it is not the one that its results give.
        """
        with gc_paused():
            for event in self._checked(events):
                self._apply(event)
        self._left_over.extend(trial for trial, record in self.records.items() if record.status == "running")

    def _checked(self, events: Iterable[Event]) -> Iterator[Event]:
        """Return the events one by one, once the schedulers have come to the same decisions."""
        for event in events:
            if (
                isinstance(event, Reported)
                and self._scheduler(event.trial).report(event.trial, event.step, event.source_dev_auc) != event.decision
            ):
                raise DataError(
                    f"the log says {event.decision!r} for step {event.step} of trial {event.trial}, "
                    "but its results give another decision",
                    remedy="the log was changed by hand, or the scheduler's code has changed: start a new run",
                )
            yield event

    def retry_failed(self) -> None:
        """Take up failed trials again where that can still change something."""
        for record in list(self.records.values()):
            if record.status == "failed" and (record.stage != "search" or not self._cell_of[record.id].won):
                self._record(Retried(trial=record.id))
                self._left_over.append(record.id)

    def close_finished_searches(self) -> None:
        """Close every search that has nothing left to run."""
        for state in self._cells.values():
            self._settle(state)

    @property
    def finished(self) -> bool:
        """Whether every trial of every cell has ended."""
        idle = not any(state.waiting or state.searches_left for state in self._cells.values())
        return not self._running and not self._left_over and idle

    @property
    def running(self) -> frozenset[str]:
        """Ids of the trials that are handed out and have not ended."""
        return frozenset(self._running)

    @property
    def waiting(self) -> int:
        """Number of trials that could start now; confirming runs count once their cell's search is over."""
        return len(self._left_over) + sum(self._ready(state) for state in self._cells.values())

    def confirms(self, cell: Cell) -> int:
        """Return the confirming runs of a cell, inner trials included.

        As planned, and once its search is over, as many as there really are: a cell without a winner has none, and an
        ablation that changes nothing of the winner is not run.
        """
        state = self._cells[cell.method, cell.protocol.name]
        suggested = len(state.suggested["confirm"]) + len(state.suggested["inner"])
        return suggested + len(state.waiting) if state.won else self.plan.after_search_in(cell)

    def rungs(self, method: str, protocol: str) -> Mapping[int, Mapping[str, float]]:
        """Return what the rungs of a cell's search have recorded."""
        return self._cells[method, protocol].search.rungs()

    def next_assignment(self) -> Assignment | None:
        """Return the next trial: what a dead driver left first, then the cell with the fewest running trials."""
        if self._left_over:
            return self._hand_out(self._left_over.popleft())
        ready = [state for state in self._cells.values() if self._ready(state)]
        if not ready:
            return None
        state = min(ready, key=lambda s: (self._running_in(s), sum(map(len, s.suggested.values()))))
        waiting, cell = self._next_of(state), state.cell
        trial = waiting.trial
        self._trials[trial.id] = trial
        self._record(
            Suggested(
                trial=trial.id, method=cell.method, protocol=trial.protocol, stage=waiting.stage, seed=trial.seed,
                config=dict(trial.config), searched=cell.searched, total_steps=cell.training.steps,
                variant=waiting.variant,
            )
        )  # fmt: skip
        return self._hand_out(trial.id)

    def report(self, trial: str, reading: Reading) -> Decision:
        """Take a result of a running trial and decide; a step that is on record already changes nothing."""
        record = self.records[trial]
        if record.status in ENDED:
            return "stop"
        if record.readings and reading.step <= record.readings[-1].step:
            return "continue"
        decision = self._scheduler(trial).report(trial, reading.step, reading.source_dev_auc)
        self._record(Reported(trial=trial, decision=decision, **dict(reading)))
        if decision != "continue":
            self._close_trial(trial)
        return decision

    def end(self, trial: str, status: str, reason: str) -> None:
        """Note that a running trial diverged or failed; a trial that has ended stays as it is."""
        if self.records[trial].status in ENDED:
            return
        self._record(Ended.model_validate({"trial": trial, "status": status, "reason": reason}))
        self._close_trial(trial)

    def requeue(self, trial: str) -> None:
        """Take back a running trial whose process was lost; it is handed out again, before any new one."""
        if self.records[trial].status not in ENDED:
            self._running.discard(trial)
            self._left_over.append(trial)

    def failures(self) -> list[TrialRecord]:
        """Return the trials that failed or diverged."""
        return [record for record in self.records.values() if record.status in ("failed", "diverged")]

    def cells_without_winner(self) -> list[Cell]:
        """Return the cells whose search ended without one finished trial."""
        return [state.cell for state in self._cells.values() if state.won and not self._confirmable(state)]

    def _confirmable(self, state: _CellState) -> bool:
        return bool(state.waiting or state.suggested["confirm"])

    def _record(self, event: Event) -> None:
        self._log(event)
        self._apply(event)

    def _apply(self, event: Event) -> None:
        if isinstance(event, Suggested):
            self._take(event)
        fold(self.records, event)
        if isinstance(event, Won):
            state = self._cells[event.method, event.protocol]
            state.won = True
            if event.config is not None:
                self._queue_confirm(state, event.config)

    def _take(self, event: Suggested) -> None:
        """Take a suggestion off what the cell has left; the log's word is held against the plan's, where it has one."""
        state = self._cells.get((event.method, cell_protocol(event)))
        expected = None if state is None else self._expected(state, event)
        if state is None or expected is None or expected.id != event.trial:
            raise DataError(
                f"the log has trial {event.trial} where the plan has another",
                remedy="the log was changed by hand, or this version plans otherwise: start a new run",
            )
        if event.stage != "search":
            state.waiting.popleft()
        state.suggested[event.stage].append(event.trial)
        self._trials[event.trial] = expected
        self._cell_of[event.trial] = state

    def _expected(self, state: _CellState, event: Suggested) -> Trial | None:
        """Return the trial that the plan has next in this stage of the cell.

        What a learning searcher suggested is taken from the log: another machine may round its arithmetic otherwise.
        """
        if event.stage != "search":
            return state.waiting[0].trial if state.waiting else None
        if not state.searches_left:
            return None
        if event.trial in self._trials and event.trial not in self._cell_of:
            return self._trials[event.trial]  # suggested just now
        known = state.cell.searcher.known(len(state.suggested["search"]))
        config = event.config if known is None else state.cell.configuration(known)
        return self.plan.trial(state.cell, config, self.plan.spec.search.seed)

    def _ready(self, state: _CellState) -> int:
        """Return how many trials of a cell could be suggested now."""
        most = state.cell.searcher.at_once
        if not state.searches_left or most is None:
            return len(state.waiting) + state.searches_left
        return max(0, min(state.searches_left, most - self._open_in(state)))

    def _next_of(self, state: _CellState) -> _Waiting:
        """Return what a cell tries next."""
        if not state.searches_left:
            return state.waiting[0]
        records = [self.records[trial] for trial in state.suggested["search"]]
        point = state.cell.searcher.next([_tried(record) for record in records])
        trial = self.plan.trial(state.cell, state.cell.configuration(point), self.plan.spec.search.seed)
        return _Waiting("search", trial)

    def _hand_out(self, trial: str) -> Assignment:
        record, state = self.records[trial], self._cell_of[trial]
        self._running.add(trial)
        return Assignment(
            self._trials[trial], state.cell, record.stage, record.readings[-1].step if record.readings else -1
        )

    def _close_trial(self, trial: str) -> None:
        self._running.discard(trial)
        self._settle(self._cell_of[trial])

    def _running_in(self, state: _CellState) -> int:
        return sum(1 for trial in self._running if self._cell_of[trial] is state)

    def _open_in(self, state: _CellState) -> int:
        return sum(self.records[trial].status not in ENDED for trial in state.suggested["search"])

    def _scheduler(self, trial: str) -> CellScheduler:
        state = self._cell_of[trial]
        return state.search if self.records[trial].stage == "search" else state.confirm

    def _queue_confirm(self, state: _CellState, config: Mapping[str, Any]) -> None:
        """Queue the winner with every confirming seed, then its ablations with the same seeds, then all inner trials.

        An ablation that changes nothing of the winner would be the winner's own runs, and is left out.
        """
        seen: set[str] = set()
        inner: list[_Waiting] = []
        for variant, overrides in {"": {}, **state.cell.ablations}.items():
            for seed in self.plan.spec.confirm_seeds:
                trial = self.plan.trial(state.cell, {**config, **overrides}, seed)
                if trial.id not in seen:
                    seen.add(trial.id)
                    state.waiting.append(_Waiting("confirm", trial, variant))
                    for protocol in state.cell.inner:
                        again = self.plan.trial(state.cell, {**config, **overrides}, seed, protocol)
                        inner.append(_Waiting("inner", again, variant))
        state.waiting.extend(inner)

    def _settle(self, state: _CellState) -> None:
        """Name the winner once every search trial of the cell has ended."""
        searched = [self.records[trial] for trial in state.suggested["search"]]
        if state.won or state.searches_left or any(record.status not in ENDED for record in searched):
            return
        cell = state.cell
        best = winner(searched)
        config = None
        if best is not None:
            config = dict(best.config)
        elif not searched:
            config = cell.configuration(cell.points[0])
        won = Won(method=cell.method, protocol=cell.protocol.name, trial=best.id if best else None, config=config)
        self._record(won)


def _tried(record: TrialRecord) -> Tried:
    """Return what a searcher learns of a trial: its best source-dev AUC, or the last one if it was stopped early."""
    point = {name: record.config[name] for name in record.searched}
    if record.status == "done" and record.best is not None:
        return Tried(point, record.best.source_dev_auc)
    if record.status == "stopped":
        return Tried(point, record.readings[-1].source_dev_auc)
    return Tried(point, -math.inf if record.status == "diverged" else None, open=record.status == "running")


def winner(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the finished trial with the best source-dev AUC at any step; None if none finished.

    Ties are broken by the lower source-dev loss, then by the order of suggestion. Trials that were stopped early lost
    at their rung and are not considered.
    """
    finished = [(record.best, record) for record in records if record.status == "done"]
    ranked = [(-best.source_dev_auc, best.source_dev_loss, n) for n, (best, _) in enumerate(finished) if best]
    return finished[min(ranked)[2]][1] if ranked else None
