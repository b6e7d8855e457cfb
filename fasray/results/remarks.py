"""What must be said under a run's tables because it holds for the run as a whole."""

from __future__ import annotations

from fasray.faces.sets.preparations import difference_note
from fasray.runs.record import RunRecord


def remarks(run: RunRecord, of_search: bool = True) -> tuple[str, ...]:
    """Return what a reader of the run's numbers has to know, one sentence each; nothing if there is nothing unusual.

    Args:
        run: whose numbers are shown.
        of_search: whether to say which oracles the search left out.
    """
    differ = difference_note(run.data.card)
    return (*_devices(run), *(_sealed(run) if of_search else ()), *([differ] if differ else []))


def _sealed(run: RunRecord) -> list[str]:
    if not run.sealed:
        return []
    return ["There is no oracle-search: search trials did not score the target (search.score_target)."]


def _devices(run: RunRecord) -> list[str]:
    if len(run.devices) < 2:
        return []
    counts = ", ".join(f"{count} on {device}" for device, count in sorted(run.devices.items()))
    return [f"Trials were computed on different kinds of devices ({counts}), which round differently."]
