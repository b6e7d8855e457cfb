"""One driver at a time: on a local disk by the operating system's lock, which dies with its owner; on S3 by a lease."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fasray import storage
from fasray.errors import SpecError
from fasray.runs.driver import already_locked_error, now
from fasray.runs.layout import LOCK
from fasray.runs.lease import Lease, lease_holder


class Lock(Protocol):
    """The right to drive a run."""

    @property
    def taken_over_from(self) -> str:
        """The driver that died with the lock; empty if the last one let go of it, or there was none."""

    def check(self) -> None:
        """Make sure that the run is still ours; SpecError if it is not."""

    def release(self) -> None:
        """Let go of the run."""


@dataclass(frozen=True)
class Holder:
    """Who drives a run, as another process sees it."""

    who: str
    """Process and host; empty if no driver has the run, or the last one let go of it."""
    alive: bool | None
    """None if that cannot be seen from here."""


def holder_of(run: str) -> Holder:
    """Return who drives a run. The lock is only looked at, never taken: a driver that starts meanwhile is not refused.

    Raises:
        DataError: a file of the lock is damaged.
        StorageError: the store cannot be reached, or refuses.
    """
    if storage.is_remote(run):
        return Holder(*lease_holder(run))
    path = storage.local_path(run) / LOCK
    try:
        who, inode = path.read_text(encoding="utf-8").strip(), path.stat().st_ino
    except OSError:
        return Holder("", False)
    found = re.fullmatch(r"process (\d+) on (.*) since .*", who)
    if found is None or found[2] != socket.gethostname():
        return Holder(who, None if who else False)
    try:
        held = Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return Holder(who, None)
    return Holder(who, re.search(rf"FLOCK .* {found[1]} [0-9a-f:]+:{inode} ", held) is not None)


def take_lock(run: str) -> Lock:
    """Take a run for this process; a local folder is made if need be.

    Raises:
        SpecError: another living driver has it, the store cannot tell two drivers apart, or a local folder cannot be
            written.
        StorageError: the store cannot be reached, or refuses.
    """
    if storage.is_remote(run):
        return Lease(run)
    folder = storage.local_path(run)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return RunLock(folder)
    except OSError as error:
        raise cannot_be_written(error, run) from error


def cannot_be_written(error: OSError, run: str) -> SpecError:
    """Return the error of a run directory on a disk that refuses."""
    return SpecError(
        f"this folder cannot be written: {error.strerror or error}", where=f"--out {run}",
        remedy="check its permissions and the free space, or choose another --out",
    )  # fmt: skip


class RunLock:
    """The lock of a local run directory; a dead driver's is free at once.

    Args:
        folder: the run directory.

    Raises:
        SpecError: another living driver has the run.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK
        try:
            self._file = storage.lock_file(path, wait=False)
        except BlockingIOError as error:
            owner = path.read_text(encoding="utf-8").strip() or "another process"
            raise already_locked_error(owner, str(folder)) from error
        self._file.seek(0)
        self.taken_over_from = self._file.read().strip()
        self._write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")

    def check(self) -> None:
        """Do nothing: the lock cannot be lost."""

    def release(self) -> None:
        """Let go of the run."""
        self._write("")
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()
