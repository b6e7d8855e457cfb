"""The ordered log of a run, in the two forms that a place allows: one growing file, or numbered files.

A local disk has ``events.jsonl``: one line an event, synchronised line by line. S3 cannot append, so an event there is
a file of its own, ``events/<number>.json``, written under the condition that it is not there yet. That also fences off
a driver that lost the run without knowing: its next number is taken, for the first event of whoever takes a run over
carries his name. Of a long log the beginning is packed into ``events/<first>-<last>.jsonl``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from fasray import storage
from fasray.errors import DataError, StorageError
from fasray.runs.events import EVENTS, Event, Opened, gc_paused
from fasray.runs.layout import LOG_FILE, LOG_FOLDER
from fasray.runs.lease import Lease
from fasray.runs.lock import Lock

PACK_FROM = 256
"""Loose events of a remote log from which a new driver packs them."""
_LOOSE = re.compile(r"(\d{8})\.json")
_PACK = re.compile(r"(\d{8})-(\d{8})\.jsonl")
_RESTORE = "restore the file from a copy, or start the sweep again in a new folder"


class EventLog(Protocol):
    """Takes events, durably and in order."""

    def append(self, event: Event) -> None:
        """Write one event; it is durable when this returns."""

    def close(self) -> None:
        """Let go of the log."""


def open_log(run: str, lock: Lock) -> tuple[EventLog, tuple[Event, ...]]:
    """Open the log of a run for appending; also return what is in it.

    Args:
        run: local path or URI.
        lock: the right to write to it.
    """
    if isinstance(lock, Lease):
        pack(run, PACK_FROM)
        events = tuple(read_events(run))
        return _NumberedLog(run, lock, len(events)), events
    log = _AppendedLog(storage.local_path(run) / LOG_FILE)
    return log, tuple(read_events(run))


def read_events(run: str) -> list[Event]:
    """Read the log of a run, empty if it has none; a line that a kill cut short was never acted on and is left out.

    Raises:
        DataError: an event is damaged, or one between two others is missing.
        StorageError: the store cannot be reached, or refuses.
    """
    return LogTail(run).read()


class LogTail:
    """Reads a log that another process may be writing: each call returns what has been written since the last one.

    A local log is read from where the last call ended. A remote one costs a request a call for the next number, and a
    listing if it is there, or on every ``LIST_EVERY``-th call, since loose events may have been packed.

    Args:
        run: local path or URI of the run directory.
    """

    LIST_EVERY = 15

    def __init__(self, run: str) -> None:
        self.count = 0
        """Events read so far."""
        self._run, self._calls = run, 0
        self._offset, self._inode = 0, 0

    def read(self) -> list[Event]:
        """Return the new events; a line that is not whole yet, or that a kill cut short, is left for later.

        Raises:
            DataError: an event is damaged, one between two others is missing, or another log is there now.
            StorageError: the store cannot be reached, or refuses.
        """
        events = self._remote() if storage.is_remote(self._run) else self._local()
        self.count += len(events)
        return events

    def seconds_since_written(self) -> float | None:
        """Return how long ago the last event that was read came to the log; None if that is not known."""
        try:
            if storage.is_remote(self._run):
                return storage.seconds_since_written(_loose(self._run, self.count - 1))
            return time.time() - (storage.local_path(self._run) / LOG_FILE).stat().st_mtime
        except (StorageError, OSError):  # packed, or not there
            return None

    def _remote(self) -> list[Event]:
        self._calls += 1
        if self.count and self._calls % self.LIST_EVERY:
            try:
                storage.read_bytes(_loose(self._run, self.count))
            except DataError:  # no such file
                return []
        return [event for _, event in _numbered(self._run, self.count)]

    def _local(self) -> list[Event]:
        path = storage.local_path(self._run) / LOG_FILE
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                file.seek(self._offset)
                data = file.read()
            inode = found.st_ino
            replaced = self._inode not in (0, inode) or found.st_size < self._offset
        except FileNotFoundError:
            data, inode, replaced = b"", 0, self._inode != 0
        except OSError as error:
            raise DataError(f"this file cannot be read: {error.strerror or error}", where=str(path)) from error
        if replaced:
            raise DataError("this log was replaced by another", where=str(path), remedy="open the run again")
        *lines, _ = data.split(b"\n")
        events = _parsed(lines, lambda number: f"{path}, line {self.count + number + 1}")
        self._offset, self._inode = self._offset + sum(map(len, lines)) + len(lines), inode
        return events


def _parsed(lines: Sequence[bytes], where: Callable[[int], str]) -> list[Event]:
    """Return the event of each line; ``where`` names a line by its number, from 0."""
    events: list[Event] = []
    parse = EVENTS.validator.validate_json
    try:
        with gc_paused():
            for line in lines:
                events.append(parse(line))  # noqa: PERF401 - how far it came names the damaged line
    except ValidationError as error:
        raise DataError("this line of the event log is damaged", where=where(len(events)), remedy=_RESTORE) from error
    return events


class _AppendedLog:
    """The log on a local disk. The part of a line that a kill may have left is cut off."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)
        storage.sync_folder(path.parent)

    def append(self, event: Event) -> None:
        self._file.write(EVENTS.dump_json(event) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class _NumberedLog:
    """The log on S3: one file an event, never overwritten."""

    def __init__(self, run: str, lease: Lease, count: int) -> None:
        self._run, self._lease, self._next = run, lease, count
        self._interrupted = b""

    def append(self, event: Event) -> None:
        """Write one event.

        Raises:
            SpecError: another driver has taken the run over; the event is not written.
            StorageError: the store cannot be reached, or refuses; the event may have been written or not.
        """
        self._lease.check()
        uri, line = _loose(self._run, self._next), EVENTS.dump_json(event) + b"\n"
        try:
            written = storage.write_once(uri, line)
        except StorageError:
            self._lease.abandon()
            raise
        except BaseException:  # a signal: the event may have been written or not
            self._interrupted = line
            raise
        if not written and storage.read_bytes(uri) != self._interrupted:
            self._lease.lose()
        self._next += 1
        if not written:
            self.append(event)

    def close(self) -> None:
        """Do nothing: no file is open."""


def _loose(run: str, number: int) -> str:
    return storage.join(run, LOG_FOLDER, f"{number:08d}.json")


def _numbered(run: str, start: int = 0) -> list[tuple[int, Event]]:
    """Return the events of a remote log with their numbers, from ``start`` on."""
    names = storage.listing(storage.join(run, LOG_FOLDER))
    packs = [(int(m[1]), int(m[2]), m[0]) for m in map(_PACK.fullmatch, names) if m]
    loose = [(int(m[1]), m[0]) for m in map(_LOOSE.fullmatch, names) if m]
    begin = end = 0
    wanted: list[str] = []
    for first, last, name in sorted(packs, key=lambda pack: (pack[0], -pack[1])):
        if first == end:
            end = last + 1
            if end > start:
                wanted.append(name)
            else:
                begin = end
    if not wanted:
        begin = end = max(start, end)
    kept = [(number, name) for number, name in sorted(loose) if number >= end]
    for expected, (number, _) in enumerate(kept, end):
        if number != expected:
            raise DataError("this event of the log is missing", where=_loose(run, expected), remedy=_RESTORE)
    uris = [storage.join(run, LOG_FOLDER, name) for name in (*wanted, *(name for _, name in kept))]
    lines = [(line, uri) for uri, data in zip(uris, storage.read_many(uris), strict=True) for line in _lines(data, uri)]
    if len(lines) != end - begin + len(kept):
        raise DataError(
            f"{len(lines)} events instead of {end - begin + len(kept)}", where=storage.join(run, LOG_FOLDER)
        )
    parsed = _parsed([line for line, _ in lines], lambda number: lines[number][1])
    return [(number, event) for number, event in enumerate(parsed, begin) if number >= start]


def _lines(data: bytes, uri: str) -> Iterable[bytes]:
    if not data.endswith(b"\n"):
        raise DataError("this line of the event log is damaged", where=uri, remedy=_RESTORE)
    return data.split(b"\n")[:-1]


def pack(run: str, from_count: int) -> None:
    """Put the loose events of a remote log into one file if there are many; to be called with the lock held.

    The pack is whole before a loose event is deleted. First events of drivers stay: they fence off those before.

    Args:
        run: URI of the run.
        from_count: loose events from which it is done.
    """
    names = storage.listing(storage.join(run, LOG_FOLDER))
    packed = max((int(m[2]) + 1 for m in map(_PACK.fullmatch, names) if m), default=0)
    loose = [int(m[1]) for m in map(_LOOSE.fullmatch, names) if m]
    if sum(number >= packed for number in loose) >= from_count:
        events = _numbered(run, packed)
        data = b"".join(EVENTS.dump_json(event) + b"\n" for _, event in events)
        last = packed + len(events) - 1
        storage.write_once(storage.join(run, LOG_FOLDER, f"{packed:08d}-{last:08d}.jsonl"), data)
        doomed = [number for number, event in events if number in loose and not isinstance(event, Opened)]
        storage.map_concurrently(lambda number: storage.remove(_loose(run, number)), doomed, run)
