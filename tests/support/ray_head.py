"""A real Ray head for tests, as ``ray start --head`` makes it: on loopback, with jobs, a token and its own ports."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from object_store import free_ports

RAY = Path(sys.executable).parent / "ray"
_MARK = "FASRAY_TEST_HEAD"
_COORDINATOR = "_AutoscalingCoordinatorActor"
"""One for a whole cluster, made by Ray Train or Ray Data at their first use; holds nothing."""
_KEPT = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", f"ray::{_COORDINATOR}")
_LOOK = f"""
import json, ray
from ray._private.state import actors
ray.init(logging_level="ERROR", log_to_driver=False)
print(json.dumps({{
    "groups": sum(group["state"] != "REMOVED" for group in ray.util.placement_group_table().values()),
    "actors": [actor["ActorClassName"] for actor in actors().values()
               if actor["State"] != "DEAD" and actor["ActorClassName"] != {_COORDINATOR!r}],
    "cpus_free": ray.available_resources().get("CPU", 0.0),
}}))
"""


@dataclass(frozen=True)
class Said:
    """What a ``ray`` command said."""

    code: int
    text: str


@dataclass(frozen=True)
class Held:
    """What jobs hold of a cluster."""

    groups: int
    """Placement groups."""
    actors: list[str]
    """Classes of living actors that a cluster does not keep anyway."""
    cpus_free: float


class RayHead:
    """A head node; as a context it is stopped at the end, process by process.

    Args:
        folder: what it is known by, and where ``ray start`` is called: jobs without a working directory run there.
        env: environment of all its processes, and so of its jobs.
        cpus: that it says it has.
        gpus: that it says it has; None: those that Ray finds.
        store_bytes: of its object store.
    """

    def __init__(
        self,
        folder: Path,
        env: dict[str, str],
        *,
        cpus: int = 2,
        gpus: int | None = None,
        store_bytes: int = 200_000_000,
    ) -> None:
        self._size = [f"--num-cpus={cpus}", f"--object-store-memory={store_bytes}"]
        self._size += [] if gpus is None else [f"--num-gpus={gpus}"]
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.token = folder, secrets.token_hex(32)
        self._short = tempfile.TemporaryDirectory(prefix="fr")  # sockets need short paths
        self.logs = Path(self._short.name)
        self._ports = free_ports(7)
        self.gcs = f"127.0.0.1:{self._ports[0]}"
        self.dashboard = f"http://127.0.0.1:{self._ports[1]}"
        kept = {name: value for name, value in env.items() if not name.startswith("RAY_")}
        own = {_MARK: str(folder), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        self._env = {**kept, **own, "PATH": f"{RAY.parent}:{env['PATH']}"}  # where jobs find `fasray`

    @property
    def client(self) -> dict[str, str]:
        """Environment of a driver or a ``ray`` command that speaks to this head."""
        return {**self._env, "RAY_ADDRESS": self.gcs, "RAY_API_SERVER_ADDRESS": self.dashboard}

    def start(self) -> None:
        """Start it and wait until it takes jobs."""
        names = ("port", "dashboard-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port",
                 "runtime-env-agent-port", "metrics-export-port", "ray-client-server-port")  # fmt: skip
        ports = [f"--{name}={port}" for name, port in zip(names, self._ports, strict=True)]
        started = subprocess.run(
            [RAY, "start", "--head", *self._size, "--node-ip-address=127.0.0.1", f"--temp-dir={self.logs}",
             "--min-worker-port=0", "--max-worker-port=0",
             "--disable-usage-stats", *ports],
            cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert started.returncode == 0, started.stdout + started.stderr
        last = time.monotonic() + 120
        while self.job("list").code:
            assert time.monotonic() < last, "the head takes no jobs"

    def job(self, *arguments: str | Path, timeout: float = 120, cwd: Path | None = None) -> Said:
        """Call ``ray job`` with these arguments, to its end."""
        ended = subprocess.run(
            [RAY, "job", *arguments], cwd=cwd or self.folder, env=self.client, timeout=timeout, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Said(ended.returncode, ended.stdout)

    def info(self, job: str) -> dict[str, Any]:
        """What the head says of a job: ``status``, ``message``, ``driver_exit_code``."""
        asked = urllib.request.Request(  # noqa: S310 - our own head on loopback
            f"{self.dashboard}/api/jobs/{job}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            described: dict[str, Any] = json.load(answer)
        return described

    def log(self, job: str) -> str:
        """A job's log, as it lies on the head's disk."""
        return self._read(f"job-driver-{job}.log")

    def supervisors_log(self, job: str) -> str:
        """What Ray's supervisor of a job says of its end."""
        return self._read(f"supervisor-{job}.log")

    def _read(self, name: str) -> str:
        session = self.logs / "session_latest"
        return "".join(path.read_bytes().decode() for path in sorted(session.resolve().rglob(name)))

    def processes(self, word: str = "") -> dict[int, str]:
        """Living processes of this head and of its jobs that have ``word`` in their command."""
        mark, found = f"{_MARK}={self.folder}".encode(), {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if word in command:
                        found[int(entry.name)] = command
            except OSError:
                continue
        return found

    def at_work(self, wait: float = 0) -> dict[int, str]:
        """Processes that do something for a job, beyond what every cluster keeps.

        Args:
            wait: seconds that they may take to end.
        """
        last = time.monotonic() + wait
        while (found := self._at_work()) and time.monotonic() < last:
            time.sleep(0.05)
        return found

    def _at_work(self) -> dict[int, str]:
        return {process: name for process, name in self.processes("ray::").items() if not name.startswith(_KEPT)}

    def held(self) -> Held:
        """What is held, as a driver of its own finds it."""
        asked = subprocess.run(
            [sys.executable, "-c", _LOOK], env=self.client, capture_output=True, text=True, timeout=120
        )
        assert asked.returncode == 0, asked.stderr
        return Held(**json.loads(asked.stdout.splitlines()[-1]))

    def stop(self) -> None:
        """End every process of it."""
        last = time.monotonic() + 30
        while living := self.processes():
            assert time.monotonic() < last, living
            for process in living:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)
        self._short.cleanup()

    def __enter__(self) -> RayHead:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
