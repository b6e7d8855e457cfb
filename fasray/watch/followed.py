"""Reads the log of a run as it grows, in a thread of its own, and hands what is new to the event loop of the server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from fasray import storage
from fasray.errors import DataError, FasrayError
from fasray.runs.driver import now
from fasray.runs.event_log import LogTail
from fasray.runs.events import Event
from fasray.runs.lock import Holder, holder_of
from fasray.runs.record import read_head
from fasray.watch.confirmed import figures
from fasray.watch.state import RunState

log = logging.getLogger(__name__)

SECONDS_BETWEEN_READS = 0.5
SECONDS_BETWEEN_REQUESTS = 1.0
"""The same where the run is on a store: one request for the log and two or three for the lock."""
_TRIES = 5
"""How often in a row a damaged log is read again: a file may be packed away between listing and reading it."""


class Followed:
    """A run that is watched. ``state`` belongs to the event loop once :meth:`start` was called.

    Args:
        run: local path or URI of the run directory.

    Raises:
        DataError: this is not a run directory, or a file of it is damaged.
        StorageError: the store cannot be reached, or refuses.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.state = RunState(read_head(run))
        self._remote = storage.is_remote(run)
        self._tail = LogTail(run)
        self.state.extend(self._tail.read(), "")
        if (age := self._tail.seconds_since_written()) is not None and self.state.events:
            self.state.last = (datetime.now(UTC) - timedelta(seconds=age)).isoformat(timespec="seconds")
        self.state.note(holder_of(run), "")
        self._ending = threading.Event()
        self._read = time.monotonic()

    def silence(self) -> float:
        """Return the seconds since the log was last read; a store that does not answer is asked for minutes."""
        return time.monotonic() - self._read

    def start(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        """Follow the log until :meth:`stop`; ``changed`` is called in the loop after every change."""
        threading.Thread(target=self._follow, args=(loop, changed), name="fasray-watch", daemon=True).start()

    def stop(self) -> None:
        """Follow the log no longer."""
        self._ending.set()

    def _follow(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        pause = SECONDS_BETWEEN_REQUESTS if self._remote else SECONDS_BETWEEN_READS
        failures, holder, error = 0, self.state.holder, ""
        while not self._ending.wait(pause):
            events: Sequence[Event] = ()
            try:
                events = self._tail.read()
                holder = holder_of(self.run)  # after the log: a driver takes the lock before it is in there
                failures, error, self._read = 0, "", time.monotonic()
            except FasrayError as problem:
                failures += isinstance(problem, DataError)
                if failures > _TRIES or not isinstance(problem, DataError):
                    error = _words(problem)
                log.debug("the run cannot be read: %s", problem)
            if not _call(loop, self._apply, events, holder, error, changed):
                return
            if failures > _TRIES:
                return

    def _apply(self, events: Sequence[Event], holder: Holder, error: str, changed: Callable[[], None]) -> None:
        before = self.state.changes
        if events:
            try:
                self.state.extend(events, now())
            except DataError as problem:
                error = _words(problem)
                self.stop()
        self.state.note(holder, error)
        if self.state.changes != before:
            changed()


class Confirmed:
    """Computes the figures of confirmed cells, one after the other in a thread of its own.

    Args:
        runs: that are watched.
    """

    def __init__(self, runs: Sequence[Followed]) -> None:
        self._runs = runs
        self._busy = False

    def look(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        """Compute the figures of the next confirmed cell, if there is one; to be called in the event loop."""
        found = next(((run, cell) for run in self._runs for cell in run.state.sealed_no_more()), None)
        if self._busy or found is None:
            return
        self._busy = True
        run, cell = found
        trials = [trial.id for trial in run.state.trials_of(cell) if trial.stage == "confirm" and not trial.variant]
        events = list(run.state.events)

        def compute() -> None:
            computed = figures(run.state.head, events, trials)
            _call(loop, take, computed)

        def take(computed: list[dict[str, object]] | str) -> None:
            self._busy = False
            run.state.unseal(cell, computed)
            changed()

        threading.Thread(target=compute, name="fasray-watch-figures", daemon=True).start()


def _words(error: FasrayError) -> str:
    """Return what is wrong, without the folders of this machine."""
    where = error.where.rsplit("/", 1)[-1]
    return f"{where}: {error.what}" if where else error.what


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object) -> bool:
    """Call a function in the loop; return whether the loop still runs."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # closed meanwhile
        return False
    return True
