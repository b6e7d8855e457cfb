"""The Ray-free state machine of a sweep: which trial is next, what becomes of it, and what the log says of both.

Every change of state is an event that is logged before it takes effect. ``replay`` feeds the events of an earlier
driver through the same code, so that a resumed sweep is exactly where the log ends.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fasray.errors import DataError
from fasray.runs.events import (
    ENDED,
    Decision,
    Ended,
    Event,
    OutOfMemory,
    Reported,
    Retried,
    Stage,
    StoppedLate,
    Suggested,
    TrialRecord,
    Won,
    cell_protocol,
    fold,
    gc_paused,
)
from fasray.runs.reading import Reading
from fasray.runs.schedule import CellScheduler, LateStop
from fasray.sweep.cell_state import CellState, PlannedTrial
from fasray.sweep.plan import Cell, Plan
from fasray.sweep.reuse import Known, OtherRuns
from fasray.training.trial import Trial

_MOST_ON_WHOLE_CARDS = 2
"""Of a trial: how often it may run out of memory there."""


@dataclass(frozen=True)
class Assignment:
    """A trial to run, or to go on with."""

    trial: Trial
    cell: Cell
    stage: Stage
    reported_step: int


class Coordinator:
    """Hands out trials cell by cell, decides over their results and moves each cell from search to confirmation.

    Args:
        plan: what is to be done.
        log: writes one event durably; it has returned before the event takes effect.
        others: runs whose trials are taken over instead of trained again.
    """

    def __init__(self, plan: Plan, log: Callable[[Event], None], others: OtherRuns | None = None) -> None:
        self.plan, self._others = plan, others
        self.records: dict[str, TrialRecord] = {}
        self.out_of_memory: dict[tuple[str, str], float] = {}
        """The largest share of a card with which a trial ran out of its memory, by method and kind of card."""
        self._log = log
        self._trials: dict[str, Trial] = {}
        self._suggested: dict[str, Trial] = {}
        self._cell_of: dict[str, CellState] = {}
        self._running: set[str] = set()
        self._on_whole_cards: Counter[str] = Counter()
        self._not_known: dict[tuple[str, str], int] = {}
        """Number of the next trial of each cell that no other run has."""
        self._left_over: deque[str] = deque()
        self._late: deque[LateStop] = deque()
        """Decided and not yet logged."""
        self._cells = {(cell.method, cell.protocol.name): CellState(plan, cell, self.records) for cell in plan.cells}

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what earlier drivers logged; what they left unfinished is handed out first.

        Raises:
            DataError: the log does not fit the plan, or a decision in it is not the one that its results give.
        """
        with gc_paused():
            for event in self._checked(events):
                self._apply(event)
        late = {stop.trial for stop in self._late}
        left = (trial for trial, record in self.records.items() if record.status == "running" and trial not in late)
        self._left_over.extend(left)

    def _checked(self, events: Iterable[Event]) -> Iterator[Event]:
        """Return the events one by one, once the schedulers have come to the same decisions."""
        for event in events:
            match event:
                case Reported() if self._decide(event.trial, event) != event.decision:
                    raise _other_decision(event.decision, event.trial, event.step)
                case StoppedLate():
                    if LateStop(event.trial, event.step) not in self._late:
                        raise _other_decision("stop", event.trial, event.step)
                    self._late.remove(LateStop(event.trial, event.step))
            yield event

    def retry_failed(self) -> None:
        """Retry failed trials where that can still change something."""
        for record in list(self.records.values()):
            if record.status == "failed" and (record.stage != "search" or not self._cell_of[record.id].won):
                self._record(Retried(trial=record.id))
                self._left_over.append(record.id)

    def close_finished_searches(self) -> None:
        """Log the late stops that a dead driver did not log, and close every search that has nothing left to run."""
        self._close_trials([])
        for state in self._cells.values():
            self._close_search(state)

    def take_over(self) -> None:
        """Take over all that other runs have, up to where a suggestion waits for what is to be trained."""
        for name, state in self._cells.items() if self._others else ():
            while state.ready and self._not_known.get(name) != len(state.trials):
                planned = state.next()
                if (known := self._known(state.cell, planned)) is None:
                    self._not_known[name] = len(state.trials)
                    break
                self._suggest(state, planned, known)
                if self.records[planned.trial.id].status == "running":
                    self._left_over.append(planned.trial.id)

    @property
    def finished(self) -> bool:
        """Whether every trial of every cell has ended."""
        return not self._running and not self._left_over and all(state.finished for state in self._cells.values())

    @property
    def running(self) -> frozenset[str]:
        """Ids of the trials that are handed out and have not ended."""
        return frozenset(self._running)

    @property
    def waiting(self) -> int:
        """Number of trials that could start now; confirming runs count once their cell's search is over."""
        return len(self._left_over) + sum(state.ready for state in self._cells.values())

    def confirms(self, cell: Cell) -> int:
        """Return the confirming runs of a cell, see :attr:`CellState.confirming`."""
        return self._cells[cell.method, cell.protocol.name].confirming

    def next_assignment(self, fits: Callable[[str, str], bool] = lambda method, trial: True) -> Assignment | None:
        """Return the next trial: what a dead driver left first, then the cell with the fewest running trials.

        Args:
            fits: returns whether a trial of a method could start now; its second argument is the id of a trial that is
                taken up again, empty for a new one. What does not fit is passed over.
        """
        self.take_over()
        for trial in self._left_over:
            if fits(self.records[trial].method, trial):
                self._left_over.remove(trial)
                return self._hand_out(trial)
        ready = [state for state in self._cells.values() if state.ready]
        ready.sort(key=lambda s: (len(self._running & s.trials), len(s.trials)))
        state = next((state for state in ready if fits(state.cell.method, "")), None)
        if state is None:
            return None
        planned = state.next()
        self._suggest(state, planned)
        return self._hand_out(planned.trial.id)

    def _known(self, cell: Cell, planned: PlannedTrial) -> Known | None:
        """Return a planned trial as another run has it."""
        if self._others is None:
            return None
        return self._others.find(planned.trial, planned.stage, cell.scores_target(planned.stage))

    def _suggest(self, state: CellState, planned: PlannedTrial, known: Known | None = None) -> None:
        """Make the next trial of a cell; what another run has of it is taken over."""
        trial, cell = planned.trial, state.cell
        if known is not None and self._others is not None:
            self._others.take(known, trial)
        self._suggested[trial.id] = trial
        self._record(
            Suggested(
                trial=trial.id, method=cell.method, protocol=trial.protocol, stage=planned.stage, seed=trial.seed,
                config=cell.logged(trial.config), searched=cell.searched, total_steps=cell.training.steps,
                variant=planned.variant,
            )
        )  # fmt: skip
        if known is not None:
            self._record(known.event)
            for reading in known.readings:
                if self.report(trial.id, reading) != "continue":
                    break
            if known.record.status == "diverged":
                self.end(trial.id, "diverged", known.record.reason)

    def report(self, trial: str, reading: Reading) -> Decision:
        """Take a result of a running trial and decide; a step that is on record already changes nothing.

        Other trials, which had trained on credit, may be stopped late by it; they learn that at their next result.
        """
        record = self.records[trial]
        known = [*record.readings, *record.on_credit]
        if known and reading.step <= known[-1].step:
            return "stop" if record.status in ENDED else "continue"
        if record.status in ENDED and record.status != "stopped":
            return "stop"
        decision = self._decide(trial, reading)
        self._record(Reported(trial=trial, decision=decision, **dict(reading)))
        self._close_trials([trial] if decision != "continue" else [])
        return decision

    def _decide(self, trial: str, reading: Reading) -> Decision:
        """Return what becomes of a trial; what its result decides over others is in ``_late`` then."""
        if self.records[trial].status == "stopped":
            return "stop"
        scheduler = self._scheduler(trial)
        decision = scheduler.report(trial, reading.step, reading.source_dev_auc)
        self._late.extend(scheduler.late_stops())
        return decision

    def _close_trials(self, ended: Iterable[str]) -> None:
        """Take out trials that have ended, log and take out those that were stopped late, and close their searches."""
        closed = list(ended)
        while self._late:
            self._record(StoppedLate(trial=self._late[0].trial, step=self._late[0].step))
            closed.append(self._late.popleft().trial)
        for trial in closed:
            self._running.discard(trial)
            if trial in self._left_over:
                self._left_over.remove(trial)
        for trial in closed:
            self._close_search(self._cell_of[trial])

    def end(self, trial: str, status: str, reason: str) -> None:
        """Note that a running trial diverged or failed; a trial that has ended stays as it is."""
        if self.records[trial].status in ENDED:
            return
        self._record(Ended.model_validate({"trial": trial, "status": status, "reason": reason}))
        self._close_trials([trial])

    def ran_out_of_memory(self, trial: str, gpus: float, card: str, peak_bytes: int) -> None:
        """Take back a trial that ran out of its card's memory; after the second time on whole cards it has failed.

        Args:
            trial: that is running; one that is not stays as it is.
            gpus: that each of its workers held.
            card: kind of card that it was tied to.
            peak_bytes: what it had taken of the card by then.
        """
        if trial not in self._running:
            return
        self._record(OutOfMemory(trial=trial, gpus=gpus, card=card, peak_bytes=peak_bytes))
        if self._on_whole_cards[trial] < _MOST_ON_WHOLE_CARDS:
            self.requeue(trial)
            return
        self.end(
            trial,
            "failed",
            f"out of memory on a whole card{f' ({card})' if card else ''}, twice: {peak_bytes / 2**30:.1f} GiB were "
            "taken; lower training.images or training.image_size, set training.precision: bf16, or use a larger card",
        )

    def requeue(self, trial: str) -> None:
        """Take back a running trial whose process was lost; it is handed out before any new one."""
        if self.records[trial].status not in ENDED:
            self._running.discard(trial)
            self._left_over.append(trial)

    def failures(self) -> list[TrialRecord]:
        """Return the trials that failed or diverged."""
        return [record for record in self.records.values() if record.status in ("failed", "diverged")]

    def cells_without_winner(self) -> list[Cell]:
        """Return the cells whose search ended without one finished trial."""
        return [state.cell for state in self._cells.values() if state.won and not state.confirming]

    def _record(self, event: Event) -> None:
        self._log(event)
        self._apply(event)

    def _apply(self, event: Event) -> None:
        if isinstance(event, Suggested):
            self._take(event)
        fold(self.records, event)
        if isinstance(event, Ended):
            self._scheduler(event.trial).end(event.trial)
            self._late.extend(self._scheduler(event.trial).late_stops())
        if isinstance(event, OutOfMemory):
            key = self.records[event.trial].method, event.card
            self.out_of_memory[key] = max(event.gpus, self.out_of_memory.get(key, 0.0))
            self._on_whole_cards[event.trial] += event.gpus >= 1
        if isinstance(event, Retried):
            self._on_whole_cards[event.trial] = 0
        if isinstance(event, Won):
            self._cells[event.method, event.protocol].close_search(event.config)

    def _take(self, event: Suggested) -> None:
        """Take a suggestion off what the cell has left; the log's word is held against the plan's, where it has one."""
        state = self._cells.get((event.method, cell_protocol(event)))
        expected = None if state is None else self._suggested.pop(event.trial, None) or state.expected(event)
        if state is None or expected is None or expected.id != event.trial:
            raise DataError(
                f"the log has trial {event.trial} where the plan has another",
                remedy="the log was changed by hand, or this version plans otherwise: start a new run",
            )
        state.take(event)
        self._trials[event.trial] = expected
        self._cell_of[event.trial] = state

    def _hand_out(self, trial: str) -> Assignment:
        record, state = self.records[trial], self._cell_of[trial]
        self._running.add(trial)
        return Assignment(
            self._trials[trial], state.cell, record.stage, record.readings[-1].step if record.readings else -1
        )

    def _scheduler(self, trial: str) -> CellScheduler:
        return self._cell_of[trial].scheduler(self.records[trial].stage)

    def _close_search(self, state: CellState) -> None:
        """Name the winner of a cell once every search trial of it has ended."""
        if (won := state.outcome()) is not None:
            self._record(won)


def _other_decision(decision: str, trial: str, step: int) -> DataError:
    return DataError(
        f"the log says {decision!r} for step {step} of trial {trial}, but its results give another decision",
        remedy="the log was changed by hand, or the scheduler's code has changed: start a new run",
    )
