"""Whole sweeps on one GPU through Ray: how busy it is, what sharing brings, whether a killed sweep ends alike."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

from fasray.bench.gpu.check import Check
from fasray.bench.gpu.record import Row
from fasray.errors import RunFailedError
from fasray.results.load import load_results
from fasray.runs.event_log import read_events
from fasray.runs.events import Closed, Event, OutOfMemory, Placed, TrialRecord, trials_of

_LOOK_SECONDS = 0.2
_SHARED, _ALONE, _KILLED = "shares by fasray", "one trial at a time", "killed twice"
_GIB_OF_MIB = 1 / 1024


@dataclass
class Ran:
    """A sweep that has run to its end."""

    run: Path
    wall: float
    """Seconds from command to end, all attempts together."""
    training: float
    """Seconds from the first trial to the last, of the last attempt."""
    events: list[Event]
    utilisation: tuple[float, ...] = ()
    """Percent, as nvidia-smi samples it."""
    memory: tuple[float, ...] = ()
    """GiB, as nvidia-smi samples it."""

    @property
    def trials(self) -> dict[str, TrialRecord]:
        """Trials by id."""
        return trials_of(self.events)

    @property
    def held(self) -> float:
        """Share of the training time for which the card was held by trials: shares times seconds, over seconds."""
        spent = sum(reading.gpu_seconds or 0.0 for record in self.trials.values() for reading in record.readings)
        return spent / self.training


@dataclass
class Sweeps:
    """The sweep of a check, its faces, and where it runs."""

    folder: Path
    env: Mapping[str, str]
    spec: Mapping[str, Any]
    timeout: float
    """Seconds allowed to each."""
    done: dict[str, Ran] = field(default_factory=dict)

    def run(self, name: str, kills: int = 0, **resources: Any) -> Ran:
        """Run the sweep under a name, with other resources; kill its driver so many times on the way.

        Raises:
            RunFailedError: it did not end well, or not in time.
        """
        run = self.folder / name.replace(" ", "-")
        file = run.with_suffix(".json")  # which is YAML, too
        file.write_text(json.dumps({**self.spec, "resources": resources}), encoding="utf-8")
        command = [sys.executable, "-m", "fasray", "sweep", str(file), "--out", str(run)]
        began = time.monotonic()
        trials = len(self.done[_SHARED].trials) if kills else 0
        for number in range(kills):
            self._start(command, run, until=round(trials * (number + 1) / (kills + 1)), began=began)
        with _Sampled() as samples:
            first = self._start(command, run, until=None, began=began)
        events = read_events(str(run))
        closed = next(event for event in reversed(events) if isinstance(event, Closed))
        training = datetime.fromisoformat(closed.at).timestamp() - first
        self.done[name] = Ran(
            run, time.monotonic() - began, training, events, tuple(samples.busy), tuple(samples.memory)
        )
        return self.done[name]

    def _start(self, command: list[str], run: Path, until: int | None, began: float) -> float:
        """Run the command to its end, or kill it after so many reports; return when its first trial began."""
        log = run.with_suffix(".log")
        with log.open("ab") as said:
            process = subprocess.Popen(command, env=dict(self.env), stdout=said, stderr=said, cwd=self.folder)  # noqa: S603
            first = 0.0
            try:
                while process.poll() is None:
                    first = first or (time.time() if _logged(run, "suggested") else 0.0)
                    if until is not None and _logged(run, "reported") >= until:
                        process.send_signal(signal.SIGKILL)
                    if time.monotonic() - began > self.timeout:
                        raise RunFailedError(f"the sweep did not end within {self.timeout:.0f} s", where=str(run))
                    time.sleep(_LOOK_SECONDS)
            finally:
                process.kill()
                process.wait()
        expected = 0 if until is None else -signal.SIGKILL
        if process.returncode != expected:
            tail = log.read_text(encoding="utf-8", errors="replace")[-800:]
            raise RunFailedError(f"the sweep ended with exit code {process.returncode}: {tail}", where=str(run))
        return first


def _logged(run: Path, event: str) -> int:
    """Return how many events of a kind a run has logged; 0 while there is no log."""
    try:
        return sum(found.event == event for found in read_events(str(run)))
    except Exception:  # noqa: BLE001 - not there yet, or half written
        return 0


class _Sampled:
    """Reads what nvidia-smi says of the first GPU twice a second, where there is one."""

    def __init__(self) -> None:
        self.busy: list[float] = []
        self.memory: list[float] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> _Sampled:
        if program := shutil.which("nvidia-smi"):
            query = "--query-gpu=utilization.gpu,memory.used"
            self._process = subprocess.Popen(  # noqa: S603
                [program, query, "--format=csv,noheader,nounits", "--id=0", "--loop-ms=500"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        for line in self._process.communicate()[0].splitlines():
            numbers = line.split(",")
            if len(numbers) == 2 and all(number.strip().isdigit() for number in numbers):
                self.busy.append(float(numbers[0]))
                self.memory.append(float(numbers[1]) * _GIB_OF_MIB)


class _OfSweeps(Check):
    def __init__(self, sweeps: Sweeps) -> None:
        self._sweeps = sweeps


class AtOnce(_OfSweeps):
    """The sweep with the shares that fasray chooses, and with one trial at a time."""

    name = "sweep"
    title = "A sweep of all methods on one card"
    about = (
        "The same short sweep, with as many trials on the card as fasray decides from their memory, and with one at a "
        "time. Utilisation is what nvidia-smi says (in how much of the time any kernel ran), from command to end."
    )
    columns = {
        "way": "how many trials share the card",
        "trials": "that ran",
        "seconds": "from command to table, start of Ray included",
        "training s": "from the first trial to the last",
        "busy %": "mean utilisation, by nvidia-smi",
        "GiB": "most memory in use, by nvidia-smi",
        "held %": "share of the training time for which trials held the card",
        "out of memory": "trials that were taken up again with a larger share",
    }
    share = 4.0
    judges = True

    def items(self, methods: Sequence[str]) -> Sequence[str]:
        """Return the two ways."""
        return _SHARED, _ALONE

    def measure(self, item: str) -> Row:
        """Run the sweep."""
        ran = self._sweeps.run(item, **({} if item == _SHARED else {"most_per_gpu": 1}))
        return {
            "way": item,
            "trials": len(ran.trials),
            "failed": sum(record.status != "done" for record in ran.trials.values()),
            "seconds": ran.wall,
            "training s": ran.training,
            "busy %": fmean(ran.utilisation) if ran.utilisation else None,
            "GiB": max(ran.memory) if ran.memory else None,
            "held %": 100 * ran.held,
            "out of memory": sum(isinstance(event, OutOfMemory) for event in ran.events),
        }

    def wrong(self, rows: Sequence[Row]) -> list[str]:
        """Return the sweeps with trials that did not end well."""
        return [f"{row['way']}: {row['failed']} of {row['trials']} trials failed" for row in rows if row["failed"]]

    def findings(self, rows: Sequence[Row]) -> list[str]:
        """Say what sharing brings."""
        found = {row["way"]: row["training s"] for row in rows}
        if len(found) < 2:
            return []
        return [
            f"Several trials at once take {found[_ALONE] / found[_SHARED]:.2f} times less than one after the other."
        ]


class Methods(_OfSweeps):
    """What the sweep's log says of each method."""

    name = "methods"
    title = "Each method in that sweep"
    about = "From the log of the first sweep: which share of the card a trial had, why, and what it took."
    columns = {
        "method": "name",
        "trials": "that ran",
        "share": "of the card that a trial held",
        "peak GiB": "most memory of a trial in the short run before the sweep, by which the share was chosen",
        "seconds": "a trial, from its first step to its last evaluation",
        "gpu s": "the same times the share",
    }
    share = 0.1

    def unavailable(self) -> str:
        """Return why there is nothing to say."""
        return "" if _SHARED in self._sweeps.done else "the sweep did not end"

    def measure(self, item: str) -> Row:
        """Return what the log says of one method."""
        ran = self._sweeps.done[_SHARED]
        placed = [event for event in ran.events if isinstance(event, Placed) and event.method == item]
        records = [record for record in ran.trials.values() if record.method == item]
        readings = [reading for record in records for reading in record.readings]
        peak = placed[-1].peak_bytes if placed else None
        return {
            "method": item,
            "trials": len(records),
            "share": placed[-1].gpus if placed else None,
            "peak GiB": None if peak is None else peak / 2**30,
            "seconds": sum(reading.seconds for reading in readings) / max(len(records), 1),
            "gpu s": sum(reading.gpu_seconds or 0.0 for reading in readings) / max(len(records), 1),
        }


class Killed(_OfSweeps):
    """The sweep once more, its driver killed twice on the way."""

    name = "killed"
    title = "Killed and resumed"
    about = (
        "The sweep once more; its driver is killed (SIGKILL) twice on the way, and each time the same command is given "
        "again. The table must be the same, number for number."
    )
    columns = {
        "way": "what was done",
        "seconds": "from the first command to the table",
        "rows": "of the table",
        "equal": "whether the table is the same",
        "different": "columns that differ",
    }
    share = 3.0
    judges = True

    def items(self, methods: Sequence[str]) -> Sequence[str]:
        """Return the one."""
        return (_KILLED,)

    def unavailable(self) -> str:
        """Return why nothing can be compared."""
        return "" if _SHARED in self._sweeps.done else "the sweep did not end"

    def measure(self, item: str) -> Row:
        """Run the sweep again and compare."""
        ran, whole = self._sweeps.run(item, kills=2), self._sweeps.done[_SHARED]
        one, other = (load_results(str(one.run)) for one in (ran, whole))
        same_shape = one.shape == other.shape and list(one.columns) == list(other.columns)
        different = [name for name in one.columns if not same_shape or not one[name].equals(other[name])]
        return {
            "way": item,
            "seconds": ran.wall,
            "rows": len(one),
            "equal": not different,
            "different": ", ".join(different),
        }

    def wrong(self, rows: Sequence[Row]) -> list[str]:
        """Say if the table differs."""
        return [
            f"the table of a sweep that was killed differs in {row['different']}" for row in rows if not row["equal"]
        ]


def summary_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes that the page names."""
    return {
        "protocol": ", ".join(spec["protocols"]),
        "trials a method": spec["search"]["trials_per_cell"] + len(spec["confirm"]["seeds"]),
        **spec["training"],
    }
