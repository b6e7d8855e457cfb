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
             results.parquet, report.html, index.json, evaluations.index   derived; can be deleted

The same on S3, but for the log and the lock, which are folders there (event_log.py, lease.py).
"""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fasray import storage
from fasray.errors import DataError, FasrayError, SpecError, StorageError
from fasray.runs.driver import now
from fasray.runs.event_log import open_log, read_events
from fasray.runs.events import Closed, Event, Opened, TrialRecord, trials_of
from fasray.runs.lock import Lock, take_lock
from fasray.runs.revision import commit
from fasray.validation import difference
from fasray.version import __version__

if TYPE_CHECKING:
    from fasray.sweep.spec import SweepSpec

SPEC_FILE, DATA_FILE = "sweep.yaml", "data.json"


@dataclass(frozen=True)
class DataFacts:
    """What a run remembers of its data."""

    manifest_hash: str
    rows: int
    image_size: int
    card: Mapping[str, Any]


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


@dataclass(frozen=True)
class RunRecord:
    """A run as its files tell it."""

    uri: str
    name: str
    spec: Mapping[str, Any]
    spec_hash: str
    data: DataFacts
    events: tuple[Event, ...]

    @cached_property
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
    head = _read_head(run)
    return replace(head, events=tuple(read_events(run)))


def _read_head(run: str) -> RunRecord:
    """Read all of a run but its events."""
    storage.reach(run)
    if not storage.exists(storage.join(run, SPEC_FILE)):
        raise DataError("this is not a run directory", where=run, remedy="name the folder that `fasray sweep` wrote")
    with _damage_named(storage.join(run, SPEC_FILE)):
        stored = yaml.safe_load(storage.read_bytes(storage.join(run, SPEC_FILE)))
        spec, spec_hash, name = dict(stored["sweep"]), str(stored["hash"]), str(stored["sweep"]["name"])
    with _damage_named(storage.join(run, DATA_FILE)):
        data = DataFacts(**json.loads(storage.read_bytes(storage.join(run, DATA_FILE))))
    return RunRecord(uri=run, name=name, spec=spec, spec_hash=spec_hash, data=data, events=())


@contextmanager
def _damage_named(uri: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(
            "this file of the run is damaged", where=uri, remedy="restore it from a copy, or start the sweep again"
        ) from error


class LedgerBroken(KeyboardInterrupt):  # noqa: N818 - no error of a trial, for which Tune takes every Exception
    """The log of the run can no longer be written: everything must end."""


class Ledger:
    """The driver's side of a run directory: takes the lock, checks the specification, appends events.

    Args:
        run: local path or URI of the run directory.
        spec: the sweep; must be the one that the directory was made with.
        data: the data; likewise.

    Raises:
        SpecError: the run is driven by someone else, or was made from another specification.
        DataError: the run was made from other data.
        StorageError: the store fails once it has let us in.
    """

    def __init__(self, run: str, spec: SweepSpec, data: DataFacts) -> None:
        self.run = run
        self.broken: FasrayError | None = None
        """Why nothing more can be written, if that is so."""
        self._closed = False
        self._lock = _locked(run)
        self.taken_over_from = self._lock.taken_over_from
        try:
            self._check_or_write(spec, data)
            self._log, self.events = open_log(run, self._lock)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
        if self.broken is not None:
            raise self.broken

    def append(self, event: Event) -> None:
        """Write one event; it is durable when this returns.

        Raises:
            LedgerBroken: it could not be written; ``broken`` says why, and leaving the ledger's context raises it.
        """
        try:
            self._log.append(event)
        except (FasrayError, OSError) as error:
            self.broken = error if isinstance(error, FasrayError) else _cannot_be_written(error, self.run)
            raise LedgerBroken from error

    def opened(self) -> None:
        """Note that this process drives the run from now on."""
        self.append(Opened(at=now(), host=socket.gethostname(), pid=os.getpid(), versions=versions()))

    def closed(self, status: str) -> None:
        """Note how this process leaves the run."""
        self.append(Closed.model_validate({"at": now(), "status": status}))

    def close(self) -> None:
        """Let go of the run."""
        if not self._closed:
            self._closed = True
            self._log.close()
            self._lock.release()

    def _check_or_write(self, spec: SweepSpec, data: DataFacts) -> None:
        run, identity = self.run, spec.identity()
        if storage.exists(storage.join(run, SPEC_FILE)):
            record = _read_head(run)
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


def _locked(run: str) -> Lock:
    """Take the run directory, made if need be."""
    if storage.is_remote(run) and not storage.is_s3(run):
        raise SpecError(
            "two drivers of one run can be kept apart on S3 or on a local disk only",
            where=f"--out {run}",
            remedy="choose an s3:// address, or a local disk",
        )
    try:
        storage.reach(run)
        if not storage.is_remote(run):
            Path(run).mkdir(parents=True, exist_ok=True)
        return take_lock(run)
    except StorageError as error:
        raise SpecError(error.what, where=f"--out {run}", remedy=error.remedy) from error
    except OSError as error:
        raise _cannot_be_written(error, run) from error


def _cannot_be_written(error: OSError, run: str) -> SpecError:
    return SpecError(f"the run directory cannot be written: {error.strerror}", where=run, remedy="choose another --out")
