"""A small sweep over a few generated faces, driven as a user drives it: the command, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.shards import write_shards
from fasray.runs.event_log import read_events
from fasray.runs.events import Event

COMMAND = Path(sys.executable).parent / "fasray"
MISHAPS = Path(__file__).parent / "mishaps"
"""On PYTHONPATH it registers the method of that name in every process; see its ``sitecustomize``."""

SMALL = """
name: tiny
data: {data}
protocols: [O&C->I, O&M->I]
methods:
  erm: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}
  safas: {{space: {{learning_rate: {{loguniform: [0.001, 0.03]}}}}}}
search: {{algorithm: random, trials_per_cell: 2, seed: 100}}
scheduler: {{asha: {{grace: 0.5, reduction: 2}}}}
confirm: {{seeds: [0, 1]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 8, evaluations: 4}}
resources: {{max_concurrent: 1}}
"""
"""Four cells, eight searching and eight confirming trials. I is never a source, and with one trial at a time the order
of arrivals is always the same."""

STARTED = ("suggested", "reported")
COST = {"seconds", "evaluation_seconds", "cpu_seconds", "gpu_seconds", "bytes_read", "bytes_written"}
"""What an event says of a trial's cost, which no two runs share."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Place:
    """A folder with a sweep file, and the environment that its commands run in."""

    folder: Path
    data: Path
    env: dict[str, str] = field(repr=False)
    remote: str = ""
    """URI of the run, if it is not in the folder."""

    @property
    def sweep(self) -> Path:
        return self.folder / "sweep.yaml"

    @property
    def run_folder(self) -> Path:
        return self.folder / "run"

    @property
    def out(self) -> str:
        return self.remote or str(self.run_folder)

    @property
    def pools(self) -> Path:
        return Path(self.env["FASRAY_POOL_DIR"])

    def command(self, *arguments: str | Path) -> Ran:
        """Run the command to its end."""
        began = time.monotonic()
        ended = subprocess.run(
            [COMMAND, *arguments], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=280
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr, time.monotonic() - began)

    def drive(self, *arguments: str | Path) -> Ran:
        """Run the sweep, or go on with it, to its end."""
        return self.command("sweep", self.sweep, "--out", self.out, *arguments)

    def start(self, *arguments: str | Path) -> Driver:
        """Start the sweep and return at once."""
        return Driver(self, arguments)

    def events(self) -> list[Event]:
        return read_events(self.out)

    def processes(self, wait: float = 0) -> dict[int, str]:
        """Living processes that carry this place's environment: the driver, and all that its Ray started.

        Args:
            wait: seconds that they may take to end; Ray's agents look for their parent now and then only.
        """
        last = time.monotonic() + wait
        while (found := self._processes()) and time.monotonic() < last:
            pause()
        return found

    def _processes(self) -> dict[int, str]:
        mark = f"FASRAY_TEST_PLACE={self.folder}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found


class Driver:
    """A sweep command that is running; as a context it is killed at the end if it still runs."""

    def __init__(self, place: Place, arguments: tuple[str | Path, ...]) -> None:
        self.place = place
        self._out, self._err = place.folder / "driver.out", place.folder / "driver.err"
        self.began = time.monotonic()
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [COMMAND, "sweep", place.sweep, "--out", place.out, *arguments],
                cwd=place.folder, env=place.env, stdout=out, stderr=err, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def until(self, reached: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something is seen on the disk; the driver must not have ended before."""
        wait_until(lambda: reached() or self.process.poll() is not None, seconds)
        assert self.process.poll() is None, f"the driver has ended: {self._err.read_text()}"

    def said(self) -> str:
        """What it has written to its error stream so far."""
        return self._err.read_text()

    def until_new_events(self, count: int, seconds: float = 120) -> None:
        """Wait until this driver has logged so many suggestions and results."""
        self.until(lambda: self._logged() >= count, seconds)

    def _logged(self) -> int:
        events = self.place.events()
        opened = [(n, event.pid) for n, event in enumerate(events) if event.event == "opened"]
        if not opened or opened[-1][1] != self.process.pid:
            return -1
        return sum(event.event in STARTED for event in events[opened[-1][0] :])

    def end(self, number: signal.Signals | None = None, seconds: float = 280) -> Ran:
        """Send a signal, if any, and wait for the end; ``seconds`` of the result count from the signal.

        SIGINT goes to the whole process group, as Ctrl-C in a terminal does.
        """
        began = time.monotonic() if number else self.began
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        elif number:
            os.kill(self.process.pid, number)
        code = self.process.wait(seconds)
        return Ran(code, self._out.read_text(), self._err.read_text(), time.monotonic() - began)


def wait_until(reached: Callable[[], bool], seconds: float) -> None:
    """Look twenty times a second."""
    last = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < last, f"did not happen within {seconds} s"
        pause()


def pause() -> None:
    """Let others work between two looks."""
    time.sleep(0.05)


def place(folder: Path, data: Path, text: str = SMALL, **environment: str) -> Place:
    """Make a folder with a sweep file over ``data`` and an environment of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.yaml").write_text(text.format(data=data))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TUNE_", "FASRAY_"))}
    env = {
        **kept,
        "FASRAY_POOL_DIR": str(data.parent / "pools"),
        "FASRAY_CACHE_DIR": str(folder / "cache"),
        "FASRAY_TEST_PLACE": str(folder),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        **environment,
    }
    return Place(folder, data, env)


def rewritten(source: Path, target: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Path:
    """Write the records of a face set again after ``change``; the new manifest is valid."""
    manifest = read_manifest(str(source))
    tables = [pq.read_table(source / shard.name) for shard in manifest.shards]
    records = change(pa.concat_tables(tables).to_pylist())
    write_shards(records, str(target), manifest.card, image_size=manifest.image_size, rows_per_shard=128)
    return target


def table_of(run: Path) -> pd.DataFrame:
    """The result table, without what only says how it came about."""
    return pd.read_parquet(run / "results.parquet")


def score_digests(run: Path, trial: str | None = None) -> dict[str, tuple[str, int]]:
    """SHA-256 and time of change of every score file."""
    files = sorted((run / "trials").glob(f"{trial or '*'}/eval-*.parquet"))
    return {
        str(file.relative_to(run)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in files
    }


def canonical(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((run / "sweep.yaml").read_text())
    return loaded


def pool_cards(place: Place) -> list[dict[str, Any]]:
    """Cards of all finished pools."""
    return [json.loads(path.read_text()) for path in sorted(place.pools.glob("*/pool.json"))]


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    saved = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
