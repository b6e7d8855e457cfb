"""Runs the parts of a check one after another, each within its share of the time, and keeps the record up to date."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from fasray.bench.gpu.page import write
from fasray.bench.gpu.record import Part, Record, Row
from fasray.errors import FasrayError

Say = Callable[[str], None]


class Check(ABC):
    """One part of a check: a row for each item, most often a method."""

    name: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    share: ClassVar[float]
    """Of the time that is left, relative to the shares of the parts that follow."""
    judges: ClassVar[bool] = False
    """Whether its results can be wrong, not only slow."""

    def unavailable(self) -> str:
        """Return why this part cannot be measured here; empty if it can."""
        return ""

    def items(self, methods: Sequence[str]) -> Sequence[str]:
        """Return what gets a row each: methods, if nothing else is said."""
        return methods

    def expected_seconds(self) -> float:
        """Return how long an item is expected to take before one was measured."""
        return 0.0

    @abstractmethod
    def measure(self, item: str) -> Row:
        """Return the row of one item."""

    def wrong(self, rows: Sequence[Row]) -> list[str]:
        """Return what is outside its tolerance, one sentence each."""
        return []

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Return what the rows mean."""
        return []

    def settings(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the part of a sweep file that follows."""
        return {}


def run_checks(record: Record, checks: Sequence[Check], methods: Sequence[str], folder: Path, say: Say) -> Record:
    """Measure the parts in order and return the completed record; both files are written anew after every row.

    An item is begun only if the part's time is expected to do for it, judged by the longest so far. What a part leaves
    over goes to those that follow. An exception ends an item, not the check.

    Args:
        record: with everything but its parts.
        checks: the parts, the most valuable first.
        methods: names, in order.
        folder: for the record and its page.
        say: called with what begins.
    """
    began = time.perf_counter()
    end = began + 60 * record.minutes
    for number, check in enumerate(checks):
        left = end - time.perf_counter()
        deadline = time.perf_counter() + left * check.share / sum(later.share for later in checks[number:])
        part = Part(
            name=check.name, title=check.title, about=check.about, columns=dict(check.columns), judges=check.judges
        )
        record.parts.append(part)
        for _ in _measured(check, part, check.items(methods), deadline, say):
            record.seconds = time.perf_counter() - began
            write(record, folder)
    record.complete = True
    record.seconds = time.perf_counter() - began
    write(record, folder)
    return record


def _measured(check: Check, part: Part, items: Sequence[str], deadline: float, say: Say) -> Any:
    """Measure the items of a part that its time does for; yield after each, and at the end."""
    part.reason = check.unavailable()
    if part.reason:
        part.status = "skipped"
        yield
        return
    began, longest, failed = time.perf_counter(), check.expected_seconds(), []
    for place, item in enumerate(items):
        now = time.perf_counter()
        if now + longest > deadline:
            part.status = "partly" if part.rows else "skipped"
            part.reason = f"no time was left for {', '.join(items[place:])}"
            break
        say(f"{check.title}: {item}")
        try:
            part.rows.append(check.measure(item))
        except FasrayError as error:
            failed.append(f"{item}: {error.what}")
        except Exception as error:  # noqa: BLE001 - on a rented card one part must not take the others with it
            traceback.print_exc()
            failed.append(f"{item}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        longest = max(longest, time.perf_counter() - now)
        part.seconds = time.perf_counter() - began
        part.findings, part.wrong = check.findings(part.rows), check.wrong(part.rows)
        part.settings = check.settings(part.rows)
        yield
    if failed:
        part.status = "partly" if part.rows else "failed"
        part.reason = "; ".join(filter(None, (part.reason, *failed)))
    yield
