"""What a run leaves on disk, written so that a kill at any moment loses nothing that was decided.

runs/<sweep>/sweep.yaml                     the specification in canonical form, with its hash
             data.json                      manifest hash and card of the data
             events.jsonl                   the ordered log (events.py), fsynced line by line
             lock                           who drives the run; held by the operating system, so it dies with him
             trials/<id>/spec.json          what the trial is
             trials/<id>/eval-<step>.parquet   one immutable score file per evaluation
             trials/<id>/checkpoint/        newest and best weights
             trials/<id>/files.json         SHA-256 of score files and checkpoints
             trials/<id>/tensorboard/       curves
             results.parquet, report.html   derived; can be deleted
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from fasray import __version__, storage
from fasray.errors import DataError, SpecError
from fasray.sweep.code import commit
from fasray.sweep.events import EVENTS, Closed, Event, Opened, TrialRecord, trials_of
from fasray.validation import difference

if TYPE_CHECKING:
    from fasray.sweep.spec import SweepSpec

SPEC_FILE, DATA_FILE, EVENT_FILE, LOCK_FILE = "sweep.yaml", "data.json", "events.jsonl", "lock"


@dataclass(frozen=True)
class DataFacts:
    """What a run remembers of its data."""

    manifest_hash: str
    rows: int
    image_size: int
    card: Mapping[str, Any]


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Return the versions that a number may depend on."""
    packages = ("torch", "torchvision", "numpy", "ray", "pyarrow", "opencv-python-headless")
    ours = {"fasray": __version__, **({"commit": commit()} if commit() else {}), "python": platform.python_version()}
    return ours | {package: metadata.version(package) for package in packages}


def trial_folder(run: str, trial: str) -> str:
    """Return the folder of a trial."""
    return storage.join(run, "trials", trial)


def score_file(run: str, trial: str, step: int) -> str:
    """Return the score file of one evaluation."""
    return storage.join(trial_folder(run, trial), f"eval-{step:08d}.parquet")


def read_events(run: str) -> list[Event]:
    """Read the log of a run; a last line that a kill cut short was never acted on and is left out.

    Raises:
        DataError: there is no log, or a line before the last is damaged.
    """
    uri = storage.join(run, EVENT_FILE)
    lines = storage.read_bytes(uri).split(b"\n")
    lines.pop()
    events = []
    for number, line in enumerate(lines, 1):
        try:
            events.append(EVENTS.validate_json(line))
        except ValidationError as error:
            raise DataError(
                "this line of the event log is damaged",
                where=f"{uri}, line {number}",
                remedy="restore the file from a copy, or start the sweep again in a new folder",
            ) from error
    return events


@dataclass(frozen=True)
class RunRecord:
    """A run as its files tell it."""

    uri: str
    name: str
    spec: Mapping[str, Any]
    spec_hash: str
    data: DataFacts
    events: tuple[Event, ...]

    @property
    def trials(self) -> list[TrialRecord]:
        """Every trial, in the order in which they were suggested."""
        return list(trials_of(self.events).values())

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the latest driver."""
        return next((event.versions for event in reversed(self.events) if isinstance(event, Opened)), {})

    def score_uri(self, trial: str, step: int) -> str:
        """Return the score file of one evaluation."""
        return score_file(self.uri, trial, step)


def read_run(run: str) -> RunRecord:
    """Read a run, finished or not.

    Raises:
        DataError: this is no run directory, or a file of it is damaged.
    """
    if not storage.exists(storage.join(run, SPEC_FILE)):
        raise DataError("this is not a run directory", where=run, remedy="name the folder that `fasray sweep` wrote")
    has_events = storage.exists(storage.join(run, EVENT_FILE))
    with _damage_named(storage.join(run, SPEC_FILE)):
        stored = yaml.safe_load(storage.read_bytes(storage.join(run, SPEC_FILE)))
        spec, spec_hash, name = dict(stored["sweep"]), str(stored["hash"]), str(stored["sweep"]["name"])
    with _damage_named(storage.join(run, DATA_FILE)):
        data = DataFacts(**json.loads(storage.read_bytes(storage.join(run, DATA_FILE))))
    events = tuple(read_events(run)) if has_events else ()
    return RunRecord(uri=run, name=name, spec=spec, spec_hash=spec_hash, data=data, events=events)


@contextmanager
def _damage_named(uri: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(
            "this file of the run is damaged", where=uri, remedy="restore it from a copy, or start the sweep again"
        ) from error


class RunLock:
    """One driver at a time; the lock is the operating system's, so a dead driver's is free at once.

    Args:
        folder: the run directory.

    Raises:
        SpecError: another living driver has the run.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / LOCK_FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise SpecError(
                f"this run is being driven by {owner}",
                where=str(folder),
                remedy="wait for it, stop it, or choose another --out",
            ) from error
        self._file.seek(0)
        self.taken_over_from = self._file.read().strip()
        self._write(f"process {os.getpid()} on {socket.gethostname()} since {now()}")

    def release(self) -> None:
        """Let go of the run."""
        self._write("")
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._file.write(text)
        self._file.flush()


class Ledger:
    """The driver's side of a run directory: takes the lock, checks the specification, appends events.

    Args:
        run: local path of the run directory.
        spec: the sweep; must be the one that the directory was made with.
        data: the data; likewise.

    Raises:
        SpecError: the run is driven by someone else, or was made from another specification.
        DataError: the run was made from other data.
    """

    def __init__(self, run: str, spec: SweepSpec, data: DataFacts) -> None:
        if storage.is_remote(run):
            raise SpecError("a run directory must be on a local disk", where=f"--out {run}")
        self.run = run
        self.folder = Path(run)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(self.folder)
        except OSError as error:
            raise SpecError(
                f"the run directory cannot be written: {error.strerror}", where=run, remedy="choose another --out"
            ) from error
        self.taken_over_from = self._lock.taken_over_from
        try:
            self._check_or_write(spec, data)
            self._log = _open_log(self.folder / EVENT_FILE)
        except BaseException:
            self._lock.release()
            raise
        self.events = tuple(read_events(run))

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def append(self, event: Event) -> None:
        """Write one event; it is on the disk when this returns."""
        self._log.write(EVENTS.dump_json(event) + b"\n")
        self._log.flush()
        os.fsync(self._log.fileno())

    def opened(self) -> None:
        """Note that this process drives the run from now on."""
        self.append(Opened(at=now(), host=socket.gethostname(), pid=os.getpid(), versions=versions()))

    def closed(self, status: str) -> None:
        """Note how this process leaves the run."""
        self.append(Closed.model_validate({"at": now(), "status": status}))

    def close(self) -> None:
        """Let go of the run."""
        if not self._log.closed:
            self._log.close()
            self._lock.release()

    def _check_or_write(self, spec: SweepSpec, data: DataFacts) -> None:
        run, identity = self.run, spec.identity()
        if storage.exists(storage.join(run, SPEC_FILE)):
            record = read_run(run)
            if record.spec_hash != spec.hash():
                changes = difference(record.spec, identity)
                raise SpecError(
                    "the sweep has changed since this run was started:\n    " + "\n    ".join(changes),
                    where=storage.join(run, SPEC_FILE),
                    remedy="undo the change, or give the sweep another name or another --out",
                )
            if record.data.manifest_hash != data.manifest_hash:
                raise DataError(
                    f"the data is not what this run was started with: manifest {data.manifest_hash[:12]} "
                    f"instead of {record.data.manifest_hash[:12]}",
                    where=run,
                    remedy="restore the data, or choose another --out",
                )
            return
        facts = {"manifest_hash": data.manifest_hash, "rows": data.rows, "image_size": data.image_size}
        storage.write_bytes(
            storage.join(run, DATA_FILE), json.dumps({**facts, "card": dict(data.card)}, indent=1).encode()
        )
        text = yaml.safe_dump({"hash": spec.hash(), "sweep": identity}, sort_keys=False, allow_unicode=True)
        storage.write_bytes(storage.join(run, SPEC_FILE), text.encode())


def _open_log(path: Path) -> IO[bytes]:
    """Open the log for appending, without the part of a line that a kill may have left."""
    file = path.open("a+b")
    file.seek(0)
    content = file.read()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        file.truncate(whole)
    storage.sync_folder(path.parent)
    return file
