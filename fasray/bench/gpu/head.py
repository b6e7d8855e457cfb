"""A Ray head of one GPU for the time of a check, in processes of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fasray.cores import usable_cores
from fasray.errors import RunFailedError
from fasray.execution.hardware import LOGICAL_GPUS_VARIABLE

_START_SECONDS, _END_SECONDS = 120.0, 30.0
_MARK = "OF_GPU_CHECK"
_START = "from ray.scripts.scripts import main; main()"


@contextlib.contextmanager
def ray_head(folder: Path, *, logical: bool = False) -> Iterator[dict[str, str]]:
    """Start a head with one GPU and this machine's cores; give the environment of drivers that use it.

    Args:
        folder: for pools, and what the head is known by.
        logical: the GPU need not be there; trials that hold it compute on the CPU.

    Raises:
        RunFailedError: it does not start.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    port = _free_port()
    env = {
        **kept,
        _MARK: str(folder),
        **({LOGICAL_GPUS_VARIABLE: "1"} if logical else {}),
        "FASRAY_POOL_DIR": str(folder / "pools"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    with tempfile.TemporaryDirectory(prefix="fg") as short:  # names of sockets must be short
        command = [
            sys.executable, "-c", _START, "start", "--head", "--num-gpus=1", f"--num-cpus={usable_cores()}",
            "--node-ip-address=127.0.0.1", f"--port={port}", f"--temp-dir={short}", "--include-dashboard=false",
            "--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0",
        ]  # fmt: skip
        try:
            try:
                started = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_START_SECONDS)  # noqa: S603
            except subprocess.TimeoutExpired as error:
                raise RunFailedError("Ray did not start in time", where="ray start --head") from error
            if started.returncode:
                raise RunFailedError(
                    "Ray does not start", where="ray start --head", remedy=started.stderr.strip()[-500:]
                )
            yield {**env, "RAY_ADDRESS": f"127.0.0.1:{port}"}
        finally:
            _end(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(folder: Path) -> None:
    """Kill every process that carries the head's environment."""
    last = time.monotonic() + _END_SECONDS
    while (living := _processes(folder)) and time.monotonic() < last:
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def _processes(folder: Path) -> list[int]:
    mark, found = f"{_MARK}={folder}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found
