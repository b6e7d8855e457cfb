"""The decisions in a run's log, taken once more over the results in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fasray.runs.events import Decision, Ended, Reported, StoppedLate, Suggested
from fasray.runs.record import RunRecord
from fasray.runs.schedule import CellScheduler, LateStop, evaluation_steps, search_scheduler


def wrong_decisions(record: RunRecord) -> Iterator[str]:
    """Return a line for each decision over a search trial that the results before it do not give.

    A late stop that is due may be missing only where the log ends.
    """
    cells: dict[tuple[str, str], CellScheduler] = {}
    cell_of: dict[str, CellScheduler] = {}
    due: set[LateStop] = set()
    stopped: set[str] = set()
    for event in record.events:
        if isinstance(event, Suggested) and event.stage == "search":
            key = event.method, event.protocol
            cell_of[event.trial] = cells.setdefault(key, _scheduler(record.spec, event))
            cell_of[event.trial].suggest(event.trial)
        elif isinstance(event, Ended) and event.trial in cell_of:
            cell_of[event.trial].end(event.trial)
            due |= set(cell_of[event.trial].late_stops())
        elif isinstance(event, StoppedLate):
            stopped.add(event.trial)
            if (stop := LateStop(event.trial, event.step)) in due:
                due.remove(stop)
            else:
                yield f"trial {event.trial} was stopped at step {event.step}, and its cell's results do not give that"
        elif isinstance(event, Reported) and event.trial in cell_of:
            decision: Decision = "stop"
            if event.trial not in stopped:
                decision = cell_of[event.trial].report(event.trial, event.step, event.source_dev_auc)
                due |= set(cell_of[event.trial].late_stops())
            if decision != event.decision:
                yield (
                    f"the decision at step {event.step} of trial {event.trial} is {event.decision!r}, "
                    f"its cell's results give {decision!r}"
                )


def _scheduler(spec: Mapping[str, Any], trial: Suggested) -> CellScheduler:
    scheduler, method = spec["scheduler"], spec["methods"][trial.method]
    evaluations = {**spec["training"], **method.get("training", {})}["evaluations"]
    steps = evaluation_steps(trial.total_steps, evaluations)
    return search_scheduler(steps, None if scheduler == "fifo" else scheduler["asha"])
