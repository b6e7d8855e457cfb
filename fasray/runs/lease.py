"""The lock of a run on S3: a lease that is kept alive by a thread, and that others take over when it has run out.

It is a file ``lock/<number>.json``, written under the condition that it is not there yet, so that of several drivers
one wins, and then as a regular heartbeat. Who takes over writes the next number; who sees a higher number
than his own has lost the run.
"""

from __future__ import annotations

import logging
import threading
import time

from pydantic import BaseModel, ConfigDict, ValidationError

from fasray import storage
from fasray.errors import DataError, FasrayError, SpecError
from fasray.runs.driver import Owner, already_locked_error, this_process
from fasray.runs.layout import LOCK

log = logging.getLogger(__name__)

LEASE_SECONDS = 30.0
_SIGNS_PER_LEASE = 4


class _Claim(BaseModel):
    """The content of a file of the lease."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Owner
    seconds: float
    """How long it holds after the last heartbeat."""
    signs: int = 0
    """Signs of life so far; a number, so that no two clocks are compared."""
    released: bool = False

    def to_bytes(self) -> bytes:
        return self.model_dump_json(indent=1).encode()


class Lease:
    """The lock of a run on S3, kept alive by a thread.

    A driver of the same machine is known to be dead at once. Of any other, the lease must have run out, by the clock of
    the store: at most ``seconds`` after its last heartbeat.

    Args:
        run: URI of the run directory.
        seconds: how long it holds without a heartbeat.
        owner: who takes it; left out: this process.

    Raises:
        SpecError: another living driver has the run, or the store ignores conditions, so that a second
            driver would go unnoticed.
        StorageError: the store cannot be reached, or refuses.
    """

    def __init__(self, run: str, seconds: float = LEASE_SECONDS, owner: Owner | None = None) -> None:
        self._run, self._folder = run, storage.join(run, LOCK)
        self._number, self.taken_over_from = self._wait_for_turn()
        self._claim = _Claim(owner=owner or this_process(), seconds=seconds)
        self._lost_to = ""
        self._abandoned = False
        if not storage.write_once(_uri(self._folder, self._number), self._claim.to_bytes()):
            raise already_locked_error(str(_read(self._folder, self._number).owner), run)
        if not storage.supports_conditional_writes(_uri(self._folder, self._number), self._claim.to_bytes()):
            self._write(released=True)
            raise SpecError(
                "this store ignores If-None-Match, so two drivers could not be kept apart",
                where=run,
                remedy="use a store that keeps the condition, or a local --out that you copy afterwards",
            )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._live, name="fasray-lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that no other driver has taken the run over, as far as this process knows.

        Raises:
            SpecError: somebody has; nothing must be written any more.
        """
        if self._lost_to:
            raise SpecError(
                f"this run was taken over by {self._lost_to}: it had no heartbeat from here for "
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
            numbers = _numbers(self._folder)
            if not numbers:
                return 1, ""
            claim = _read(self._folder, numbers[-1])
            if claim.released:
                return numbers[-1] + 1, ""
            alive = claim.owner.alive()
            if alive or (first is not None and claim != first):
                raise already_locked_error(str(claim.owner), self._run)
            age = storage.seconds_since_written(_uri(self._folder, numbers[-1]))
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
                log.debug("the heartbeat could not be written: %s", error)

    def _successor(self) -> str:
        """Return the driver that has taken the run over, empty if none has."""
        newest = _numbers(self._folder)[-1:]
        return str(_read(self._folder, newest[0]).owner) if newest and newest[0] > self._number else ""

    def _write(self, released: bool = False) -> None:
        claim = self._claim.model_copy(update={"released": released})
        storage.write_bytes(_uri(self._folder, self._number), claim.to_bytes())


def lease_holder(run: str) -> tuple[str, bool]:
    """Return who drives a run on S3, and whether that driver is alive; nobody if the last one let go of it.

    Raises:
        DataError: a file of the lock is damaged.
        StorageError: the store cannot be reached, or refuses.
    """
    folder = storage.join(run, LOCK)
    numbers = _numbers(folder)
    claim = _read(folder, numbers[-1]) if numbers else None
    if claim is None or claim.released:
        return "", False
    alive = claim.owner.alive()
    if alive is None:
        alive = storage.seconds_since_written(_uri(folder, numbers[-1])) <= claim.seconds + 1
    return str(claim.owner), alive


def _numbers(folder: str) -> list[int]:
    names = (name.removesuffix(".json") for name in storage.listing(folder))
    return sorted(int(name) for name in names if name.isdecimal())


def _read(folder: str, number: int) -> _Claim:
    uri = _uri(folder, number)
    try:
        return _Claim.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise DataError("this file of the lock is damaged", where=uri, remedy="delete it if no driver runs") from error


def _uri(folder: str, number: int) -> str:
    return storage.join(folder, f"{number:06d}.json")
