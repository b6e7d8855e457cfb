"""How far a sweep is, as a snapshot that a terminal can show."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fasray.runs.events import TrialRecord, cell_protocol

if TYPE_CHECKING:
    from fasray.sweep.coordinator import Coordinator

_LEAST_PAUSE_S = 0.1
_MOST_SHARE = 0.02
"""Of the driver's time."""


@dataclass(frozen=True)
class Progress:
    """State of a sweep at one moment. Source-dev figures only."""

    cells: int
    cells_done: int
    trials: int
    running: int
    stopped: int
    done: int
    failed: int
    best_cell: str
    best_source_dev_auc: float | None
    seconds_left: float | None
    """None as long as no trial has been timed."""


class ThrottledReporter:
    """Reports progress whenever it has changed, but so rarely that counting takes a small share of the time.

    Args:
        coordinator: of the running sweep.
        slots: returns how many trials run at once; it may ask the cluster.
        report: called with each snapshot.
    """

    def __init__(self, coordinator: Coordinator, slots: Callable[[], int], report: Callable[[Progress], None]) -> None:
        self._coordinator, self._slots, self._report = coordinator, slots, report
        self._due = 0.0
        self._pending = False

    def changed(self) -> None:
        """Note that something has changed; it is reported now or at a later call."""
        self._pending = True
        if time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        """Report what has not been reported yet."""
        if not self._pending:
            return
        began = time.monotonic()
        self._report(snapshot(self._coordinator, max(self._slots(), 1)))
        ended = time.monotonic()
        self._due = ended + max(_LEAST_PAUSE_S, (ended - began) / _MOST_SHARE)
        self._pending = False


def snapshot(coordinator: Coordinator, slots: int) -> Progress:
    """Count what is done and estimate what is left.

    The estimate charges every outstanding step with the mean measured time per step of its method; searches not yet
    started are expected to be cut as those of the same method were so far.

    Args:
        coordinator: of the running sweep.
        slots: trials that run at once.
    """
    records = list(coordinator.records.values())
    count = Counter(record.status for record in records)
    read = [(record.best, record) for record in records if record.stage != "inner"]
    ranked = [(best.source_dev_auc, record) for best, record in read if best is not None]
    best_auc, best = max(ranked, key=lambda pair: pair[0], default=(None, None))
    plan = coordinator.plan
    confirms = {(cell.method, cell.protocol.name): coordinator.confirms(cell) for cell in plan.cells}
    confirmed = Counter(
        (record.method, cell_protocol(record))
        for record in records
        if record.stage != "search" and record.status == "done"
    )
    return Progress(
        cells=len(plan.cells),
        cells_done=sum(1 for cell, n in confirmed.items() if n == confirms[cell]),
        trials=plan.search_trials + sum(confirms.values()),
        running=len(coordinator.running),
        stopped=count["stopped"],
        done=count["done"],
        failed=count["failed"] + count["diverged"],
        best_cell=f"{best.method} {best.protocol}" if best else "",
        best_source_dev_auc=best_auc,
        seconds_left=seconds_left(
            [
                Work(cell.method, cell.protocol.name, cell.training.steps, cell.searches, coordinator.confirms(cell))
                for cell in plan.cells
            ],
            records,
            slots,
        ),
    )


class Work(NamedTuple):
    """What one cell takes in all."""

    method: str
    protocol: str
    steps: int
    """Of each of its trials."""
    searches: int
    confirms: int
    """Confirming runs, those of ablations and inner trials included."""


def seconds_left(cells: Iterable[Work], records: Iterable[TrialRecord], slots: int) -> float | None:
    """Estimate the seconds until a sweep is done, see :func:`snapshot`; None as long as no trial has been timed."""
    records = list(records)
    pace = _seconds_per_step(records)
    if not pace:
        return None
    usual = sum(pace.values()) / len(pace)
    lengths = _usual_lengths(records)
    of_cells: defaultdict[tuple[str, str], list[TrialRecord]] = defaultdict(list)
    for record in records:
        of_cells[record.method, cell_protocol(record)].append(record)
    seconds = 0.0
    for cell in cells:
        of_cell = of_cells[cell.method, cell.protocol]
        searched = sum(record.stage == "search" for record in of_cell)
        outstanding: float = sum(cell.steps - (r.steps[-1] if r.steps else 0) for r in of_cell if r.status == "running")
        outstanding += (cell.searches - searched) * lengths.get(cell.method, cell.steps)
        outstanding += (cell.confirms - (len(of_cell) - searched)) * cell.steps
        seconds += outstanding * pace.get(cell.method, usual)
    return seconds / max(slots, 1)


def _seconds_per_step(records: Iterable[TrialRecord]) -> dict[str, float]:
    """Return measured seconds per optimizer step, evaluation included, by method."""
    seconds: defaultdict[str, float] = defaultdict(float)
    steps: defaultdict[str, int] = defaultdict(int)
    for record in records:
        timed = [reading for reading in record.readings if reading.seconds > 0]
        if timed:
            seconds[record.method] += sum(reading.seconds for reading in timed)
            steps[record.method] += round(len(timed) / len(record.readings) * record.steps[-1])
    return {method: seconds[method] / steps[method] for method in steps if steps[method]}


def _usual_lengths(records: Iterable[TrialRecord]) -> dict[str, float]:
    """Return the mean steps that ended search trials took, by method; without those of which none has ended."""
    ended: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.stage == "search" and record.status in ("stopped", "done"):
            ended[record.method].append(record.steps[-1])
    return {method: sum(steps) / len(steps) for method, steps in ended.items()}
