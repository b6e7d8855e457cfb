"""A real object store for tests: SeaweedFS with its S3 front, alone on loopback, started and stopped as needed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import s3fs

SERVER = Path(sys.executable).parent / "weed"
BUCKET = "fasray-test"
STRANGER = "AKSTRANGER"
"""The key of one who may not look into the bucket; his secret is the same."""
_ROOT = "AKROOT"
_SECONDS_TO_START = 60.0


class ObjectStore:
    """One server process over a folder; it can be killed and started again with what it holds.

    Args:
        folder: where it keeps its data and log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.secret = "AK" + secrets.token_hex(8).upper(), secrets.token_hex(20)
        ports = free_ports(8)
        self.endpoint = f"http://127.0.0.1:{ports[0]}"
        names = (
            "s3.port", "s3.port.grpc", "filer.port", "filer.port.grpc", "master.port", "master.port.grpc",
            "volume.port", "volume.port.grpc",
        )  # fmt: skip
        users = {
            self.key: ["Read", "Write", "List", "Tagging"],
            STRANGER: ["Read:elsewhere", "List:elsewhere"],
            _ROOT: ["Admin"],
        }
        settings = {
            "identities": [
                {"name": key, "credentials": [{"accessKey": key, "secretKey": self.secret}], "actions": actions}
                for key, actions in users.items()
            ]
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "s3.json").write_text(json.dumps(settings))
        self._command = [
            str(SERVER), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
            f"-s3.config={folder / 's3.json'}", "-volume.max=50", "-master.volumeSizeLimitMB=64",
            "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms", "-s3.port.iceberg=0", "-s3.port.lance=0",
            *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """What a process needs to use this store, and nothing of the machine's own settings."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.folder / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.folder / "no-credentials"),
        }

    def files(self) -> s3fs.S3FileSystem:
        """Plain s3fs on this store, for tests to look with other eyes than fasray's."""
        return s3fs.S3FileSystem(
            key=self.key, secret=self.secret, endpoint_url=self.endpoint, use_listings_cache=False,
            skip_instance_cache=True,
        )  # fmt: skip

    def start(self) -> None:
        """Start the server and wait until it reads and writes."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=self.folder, stdout=log, stderr=log)
        last = time.monotonic() + _SECONDS_TO_START
        while not self._works():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < last, "the object store has not started"
            time.sleep(0.1)

    def _works(self) -> bool:
        root = s3fs.S3FileSystem(
            key=_ROOT, secret=self.secret, endpoint_url=self.endpoint, skip_instance_cache=True,
            config_kwargs={"retries": {"total_max_attempts": 1}},
        )  # fmt: skip
        root.retries = 1
        word = secrets.token_bytes(8)
        try:
            if not root.exists(BUCKET):
                root.mkdir(BUCKET)
            root.pipe_file(f"{BUCKET}/.ready", word)
            return bool(root.cat_file(f"{BUCKET}/.ready") == word)
        except Exception:  # not yet: whatever it says, the server has not died
            return False

    def kill(self) -> None:
        """End the server at once; what it confirmed stays on its disk."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> ObjectStore:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has just now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def without_aws(environment: dict[str, str] | os._Environ[str]) -> dict[str, str]:
    """An environment without any setting of a store."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_")}
