"""One driver at a time: who has a run, how it is seen that he is gone, and who takes it over.

On a local disk the lock is the operating system's and dies with its owner. On S3 it is a lease: a file
``lock/<number>.json`` that is written under the condition that it is not there yet, so that of several drivers one
wins, and then again and again as a sign of life. Who takes over writes the next number; who sees a higher number than
his own has lost the run.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from fasray import storage
from fasray.errors import DataError, FasrayError, SpecError

log = logging.getLogger(__name__)

LOCK = "lock"
LEASE_SECONDS = 30.0
_SIGNS_PER_LEASE = 4
_WAIT_FOR_IT = "wait for it, stop it, or choose another --out"


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Lock(Protocol):
    """The right to drive a run."""

    @property
    def taken_over_from(self) -> str:
        """The driver that died with the lock; empty if the last one let go of it, or there was none."""

    def check(self) -> None:
        """Make sure that the run is still ours; SpecError if it is not."""

    def release(self) -> None:
        """Let go of the run."""


def take_lock(run: str) -> Lock:
    """Take a run for this process.

    Raises:
        SpecError: another living driver has it, or the store cannot tell two drivers apart.
        OSError: a local folder cannot be written.
        StorageError: the store cannot be reached, or refuses.
    """
    return Lease(run) if storage.is_remote(run) else RunLock(Path(run))


def driven_by(owner: str, run: str) -> SpecError:
    """Return the error of one who comes while ``owner`` drives the run."""
    return SpecError(f"this run is being driven by {owner}", where=run, remedy=_WAIT_FOR_IT)


class RunLock:
    """The lock of a local run directory; a dead driver's is free at once.

    Args:
        folder: the run directory.

    Raises:
        SpecError: another living driver has the run.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise driven_by(owner, str(folder)) from error
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


class Owner(BaseModel):
    """A driver, and how others see whether it lives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    pid: int
    host: str
    machine: str
    """Hash over the running kernel and the process's view of process ids; empty where that cannot be told."""
    born: str
    """When the process started, in the kernel's ticks: process ids are used again."""
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    def alive(self) -> bool | None:
        """Tell whether it lives, ``None`` if that cannot be seen from here."""
        if not self.machine or self.machine != _machine():
            return None
        return _born(self.pid) == self.born


def this_process() -> Owner:
    """Return this process as the owner of a run."""
    pid = os.getpid()
    return Owner(
        token=secrets.token_hex(8), pid=pid, host=socket.gethostname(), machine=_machine(), born=_born(pid), since=now()
    )


def _machine() -> str:
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        processes = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{kernel} {processes}".encode()).hexdigest()[:16]


def _born(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


class _Claim(BaseModel):
    """What stands in a file of the lease."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Owner
    seconds: float
    """How long it holds after the last sign of life."""
    signs: int = 0
    """Signs of life so far; a number, so that no two clocks are compared."""
    released: bool = False

    def to_bytes(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


class Lease:
    """The lock of a run on S3, kept alive by a thread.

    A driver of the same machine is known to be dead at once. Of any other, the lease must have run out, by the clock of
    the store: at most ``seconds`` after its last sign of life.

    Args:
        run: URI of the run directory.
        seconds: how long it holds without a sign of life.
        owner: who takes it; left out: this process.

    Raises:
        SpecError: another living driver has the run, or the store ignores conditions, so that it could not be told.
        StorageError: the store cannot be reached, or refuses.
    """

    def __init__(self, run: str, seconds: float = LEASE_SECONDS, owner: Owner | None = None) -> None:
        self._run, self._folder = run, storage.join(run, LOCK)
        self._number, self.taken_over_from = self._wait_for_turn()
        self._claim = _Claim(owner=owner or this_process(), seconds=seconds)
        self._lost_to = ""
        self._abandoned = False
        if not storage.write_once(self._uri(self._number), self._claim.to_bytes()):
            raise driven_by(str(self._read(self._number).owner), run)
        if not storage.keeps_conditions(self._uri(self._number), self._claim.to_bytes()):
            self._write(released=True)
            raise SpecError(
                "this store overwrites files that it was told not to (If-None-Match), so two drivers could not be "
                "kept apart",
                where=run,
                remedy="use a store that keeps the condition, or a local --out that you copy afterwards",
            )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._live, name="fasray-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that nobody else has taken the run, as far as this process has heard.

        Raises:
            SpecError: somebody has; nothing must be written any more.
        """
        if self._lost_to:
            raise SpecError(
                f"this run was taken over by {self._lost_to}: no sign of life had come from here for "
                f"{self._claim.seconds:.0f} s",
                where=self._run,
                remedy="leave it to that driver",
            )

    def lose(self) -> None:
        """Note that someone else writes to the run.

        Raises:
            SpecError: always.
        """
        self._lost_to = self._successor() or "another driver"
        self.check()

    def abandon(self) -> None:
        """Note that the store is out of reach, so that letting go does not wait for it once more."""
        self._abandoned = True

    def release(self) -> None:
        """Let go of the run; the next driver need not wait."""
        self._ending.set()
        if self._abandoned:
            return
        self._thread.join()
        if not self._lost_to:
            self._write(released=True)

    def _wait_for_turn(self) -> tuple[int, str]:
        """Return the number to claim and the dead driver that it is taken from, if any."""
        first: _Claim | None = None
        while True:
            numbers = self._numbers()
            if not numbers:
                return 1, ""
            claim = self._read(numbers[-1])
            if claim.released:
                return numbers[-1] + 1, ""
            alive = claim.owner.alive()
            if alive or (first is not None and claim != first):
                raise driven_by(str(claim.owner), self._run)
            age = storage.seconds_since_written(self._uri(numbers[-1]))
            if alive is False or age > claim.seconds + 1:
                return numbers[-1] + 1, str(claim.owner)
            if first is None:
                log.warning(
                    "waiting to see whether %s is still at work, up to %.0f s", claim.owner, claim.seconds - age
                )
            first = claim
            time.sleep(0.5)

    def _live(self) -> None:
        while not self._ending.wait(self._claim.seconds / _SIGNS_PER_LEASE):
            try:
                self._lost_to = self._successor()
                if self._lost_to:
                    return
                self._claim = self._claim.model_copy(update={"signs": self._claim.signs + 1})
                self._write()
            except FasrayError as error:
                log.debug("no sign of life could be given: %s", error)

    def _successor(self) -> str:
        """Return who has taken the run over, empty if nobody has."""
        newest = self._numbers()[-1:]
        return str(self._read(newest[0]).owner) if newest and newest[0] > self._number else ""

    def _write(self, released: bool = False) -> None:
        claim = self._claim.model_copy(update={"released": released})
        storage.write_bytes(self._uri(self._number), claim.to_bytes())

    def _numbers(self) -> list[int]:
        names = (name.removesuffix(".json") for name in storage.listing(self._folder))
        return sorted(int(name) for name in names if name.isdecimal())

    def _read(self, number: int) -> _Claim:
        uri = self._uri(number)
        try:
            return _Claim.model_validate_json(storage.read_bytes(uri))
        except ValidationError as error:
            raise DataError(
                "this file of the lock is damaged", where=uri, remedy="delete it if no driver runs"
            ) from error

    def _uri(self, number: int) -> str:
        return storage.join(self._folder, f"{number:06d}.json")
