"""Ray clusters of several nodes on one machine, each node with its own pool folder, as it would have elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml
from object_store import free_ports
from small_sweeps import wait_until

RAY = Path(sys.executable).parent / "ray"
STARTED = "Ray runtime started"
_CLUSTER, _NODE = "FASRAY_TEST_CLUSTER", "FASRAY_TEST_NODE"
_PATH = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
_HEAD_ID = "f" * 51 + "00000"
_SOON = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "4",
}
"""A lost node is noticed within seconds."""


class SmallCluster:
    """A head, and nodes that are added and killed; as a context it is ended at the end, process by process.

    Args:
        folder: of its logs and pools.
        cpus: of the head.
        most_nodes: of one CPU, that an autoscaler may add; None: there is no autoscaler.
        gpus: of each of those.
    """

    def __init__(self, folder: Path, cpus: int = 1, most_nodes: int | None = None, gpus: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.pools = folder, folder / "pools"
        self._short = tempfile.TemporaryDirectory(prefix="fr")  # sockets need short paths
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FASRAY_", "TUNE_"))}
        self._env = {
            **kept, **_SOON, _CLUSTER: str(folder), "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *_PATH]), "FASRAY_TEST_POOLS": str(self.pools),
        }  # fmt: skip
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._cpus, self._most_nodes, self._gpus = cpus, most_nodes, gpus

    @property
    def client(self) -> dict[str, str]:
        """What a driver must have in its environment."""
        return {"RAY_ADDRESS": self._address, "RAY_AUTH_MODE": "disabled"}

    @property
    def file(self) -> Path:
        """What it was made with, if there is an autoscaler."""
        return self.folder / "cluster.yaml"

    def __enter__(self) -> SmallCluster:
        head = [
            "--head", f"--port={self._address.rsplit(':', 1)[1]}", f"--temp-dir={self._short.name}",
            "--include-dashboard=false", f"--num-cpus={self._cpus}",
        ]  # fmt: skip
        more = {}
        if self._most_nodes is not None:
            self.file.write_text(yaml.safe_dump(_autoscaled(self._address, self._most_nodes, self._gpus)))
            head.append(f"--autoscaling-config={self.file}")
            more = {
                "RAY_FAKE_CLUSTER": "1",
                "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
                "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            }
        self._start("head", head, more)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._nodes.values():
            process.terminate()
        for process in self._nodes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
        self._kill(_CLUSTER, str(self.folder))
        for process in self._nodes.values():
            process.wait(20)
        self._short.cleanup()

    def add(self, name: str, cpus: int = 1) -> None:
        """Start a node and wait until it has joined."""
        self._start(name, [f"--address={self._address}", f"--num-cpus={cpus}"], {})

    def kill(self, name: str) -> None:
        """End every process of a node with SIGKILL, as a machine that loses power does."""
        self._kill(_NODE, f"{self.folder}/{name}")
        self._nodes.pop(name).wait(20)

    def raylets(self) -> int:
        """Return how many nodes there are.

        Commands are counted, not processes: what a raylet has just forked has its command for a moment.
        """
        return len({command for _, command in _processes(_CLUSTER, str(self.folder)) if b"raylet/raylet" in command})

    def pool_cards(self, node: str) -> list[Path]:
        """Return the cards of the finished pools of a node."""
        return sorted((self.pools / node).glob("*/pool.json"))

    def _start(self, name: str, arguments: list[str], more: dict[str, str]) -> None:
        log = self.folder / f"{name}.log"
        env = {**self._env, **more, _NODE: f"{self.folder}/{name}", "FASRAY_POOL_DIR": str(self.pools / name)}
        own = ["--node-ip-address=127.0.0.1", "--dashboard-agent-listen-port=0", "--object-store-memory=100000000",
               f"--metrics-export-port={free_ports(1)[0]}", "--disable-usage-stats", "--block"]  # fmt: skip
        with log.open("w") as file:
            node = self._nodes[name] = subprocess.Popen(
                [RAY, "start", *arguments, *own], env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        wait_until(lambda: STARTED in log.read_text() or node.poll() is not None, 120)
        assert node.poll() is None, log.read_text()

    def _kill(self, variable: str, value: str) -> None:
        while found := [pid for pid, _ in _processes(variable, value)]:
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


class Watch(threading.Thread):
    """Looks again and again at how many nodes a cluster has; as a context it does so while the block runs."""

    def __init__(self, cluster: SmallCluster) -> None:
        super().__init__(daemon=True)
        self.seen: list[int] = []
        """The numbers, each change once."""
        self._cluster, self._over = cluster, threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            number = self._cluster.raylets()
            if self.seen[-1:] != [number]:
                self.seen.append(number)

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def _processes(variable: str, value: str) -> Iterator[tuple[int, bytes]]:
    """Living processes with this variable in their environment, and their commands."""
    mark = f"{variable}={value}".encode()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name), (entry / "cmdline").read_bytes()


def _autoscaled(address: str, most_nodes: int, gpus: int) -> dict[str, object]:
    head, empty = "ray.head.default", ("initialization_commands", "setup_commands", "head_setup_commands",
        "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files",
        "rsync_exclude", "rsync_filter")  # fmt: skip
    return {
        "cluster_name": "small", "max_workers": most_nodes, "head_node_type": head, "idle_timeout_minutes": 0.2,
        "upscaling_speed": 1.0, "auth": {}, "docker": {}, "file_mounts": {}, "file_mounts_sync_continuously": False,
        "provider": {
            "type": "external", "module": "own_pools.OwnPools", "use_node_id_as_ip": True,
            "disable_node_updaters": True, "disable_launch_config_check": True, "gcs_address": address,
        },
        "available_node_types": {
            head: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "small": {
                "resources": {"CPU": 1, **({"GPU": gpus} if gpus else {}), "object_store_memory": 100_000_000},
                "node_config": {}, "min_workers": 0, "max_workers": most_nodes,
            },
        },
        **{name: [] for name in empty},
    }  # fmt: skip
