"""Who drives a run, and how another process sees whether that process is still alive."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fasray.errors import SpecError


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def already_locked_error(owner: str, run: str) -> SpecError:
    """Return the error for a second driver of a run."""
    return SpecError(
        f"this run is already being driven by {owner}",
        where=run,
        remedy="wait for it, stop it, or choose another --out",
    )


class Owner(BaseModel):
    """A driver, and how others see whether it is alive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    pid: int
    host: str
    machine: str
    """Hash over the running kernel and the process's view of process ids; empty where that is unknown."""
    born: str
    """When the process started, in the kernel's ticks: process ids are reused."""
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    def alive(self) -> bool | None:
        """Return whether it is alive, ``None`` if that cannot be seen from here."""
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
