"""How far a sweep is, as a snapshot that a terminal can show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from fasray.sweep.coordinator import Coordinator
from fasray.sweep.events import TrialRecord


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
    read = [(record.best, record) for record in records]
    ranked = [(best.source_dev_auc, record) for best, record in read if best is not None]
    best_auc, best = max(ranked, key=lambda pair: pair[0], default=(None, None))
    plan = coordinator.plan
    confirms = {(cell.method, cell.protocol.name): coordinator.confirms(cell) for cell in plan.cells}
    confirmed = Counter(
        (record.method, record.protocol) for record in records if record.stage == "confirm" and record.status == "done"
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
        seconds_left=_seconds_left(coordinator, records, slots),
    )


def _seconds_left(coordinator: Coordinator, records: Iterable[TrialRecord], slots: int) -> float | None:
    records = list(records)
    pace = _seconds_per_step(records)
    if not pace:
        return None
    usual = sum(pace.values()) / len(pace)
    seconds = 0.0
    for cell in coordinator.plan.cells:
        of_cell = [
            record for record in records if (record.method, record.protocol) == (cell.method, cell.protocol.name)
        ]
        searched = [record for record in of_cell if record.stage == "search"]
        planned = cell.searches
        total = cell.training.steps
        outstanding: float = sum(total - (r.steps[-1] if r.steps else 0) for r in of_cell if r.status == "running")
        outstanding += (planned - len(searched)) * _usual_length(records, cell.method, total)
        outstanding += (coordinator.confirms(cell) - (len(of_cell) - len(searched))) * total
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


def _usual_length(records: Iterable[TrialRecord], method: str, total: int) -> float:
    """Return the mean steps that ended search trials of a method took; the full budget if none has ended."""
    ended = [
        record.steps[-1]
        for record in records
        if record.method == method and record.stage == "search" and record.status in ("stopped", "done")
    ]
    return sum(ended) / len(ended) if ended else total
