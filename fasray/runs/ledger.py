"""The driver's side of a run directory, written so that a kill at any moment loses nothing that was decided."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from fasray import storage
from fasray.errors import DataError, FasrayError, SpecError, StorageError
from fasray.runs.driver import now
from fasray.runs.event_log import open_log
from fasray.runs.events import Closed, Event, Opened
from fasray.runs.layout import DATA_FILE, SPEC_FILE
from fasray.runs.lock import Lock, cannot_be_written, take_lock
from fasray.runs.record import DataFacts, RunRecord, identity_hash, read_head
from fasray.runs.revision import versions
from fasray.validation import difference, same_values


class LedgerBroken(KeyboardInterrupt):  # noqa: N818 - no error of a trial, for which Tune takes every Exception
    """The log of the run can no longer be written: everything must end."""


class Ledger:
    """The driver's side of a run directory: takes the lock, checks the specification, appends events.

    Args:
        run: local path or URI of the run directory.
        identity: what decides the sweep's numbers; must be what the directory was made with, but for the place of the
            data: its manifest decides, and the run notes where it was found last.
        data: the data; must be what the directory was made with.

    Raises:
        SpecError: the run is driven by someone else, or was made from another specification.
        DataError: the run was made from other data.
        StorageError: the store fails once it has let us in.
    """

    def __init__(self, run: str, identity: Mapping[str, Any], data: DataFacts) -> None:
        self.run = run = storage.resolve(run)
        self.broken: FasrayError | None = None
        """Why nothing more can be written, if that is so."""
        self._closed = False
        self._lock = _locked(run)
        self.taken_over_from = self._lock.taken_over_from
        try:
            self._check_or_write(identity, data)
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
            self.broken = error if isinstance(error, FasrayError) else cannot_be_written(error, self.run)
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

    def _check_or_write(self, identity: Mapping[str, Any], data: DataFacts) -> None:
        run = self.run
        if storage.exists(storage.join(run, SPEC_FILE)):
            self._check(read_head(run), identity, data)
            return
        facts = {"manifest_hash": data.manifest_hash, "rows": data.rows, "image_size": data.image_size}
        storage.write_bytes(
            storage.join(run, DATA_FILE), json.dumps({**facts, "card": dict(data.card)}, indent=1).encode()
        )
        self._write_spec(identity)

    def _check(self, record: RunRecord, identity: Mapping[str, Any], data: DataFacts) -> None:
        place, before = identity.get("data"), record.spec.get("data")
        wanted = {**identity, "data": before}
        if not same_values(record.spec, wanted):
            changes = difference(record.spec, wanted)
            raise SpecError(
                "the sweep has changed since this run was started:\n    " + "\n    ".join(changes),
                where=storage.join(self.run, SPEC_FILE),
                remedy="undo the change, or give the sweep another name or another --out",
            )
        if record.data.manifest_hash != data.manifest_hash:
            moved = "" if place == before else f" at {before}"
            raise DataError(
                f"the data is not what this run was started with{moved}: manifest {data.manifest_hash[:12]} "
                f"instead of {record.data.manifest_hash[:12]}",
                where=self.run,
                remedy="restore the data, or choose another --out",
            )
        if place != before:
            self._write_spec({**record.spec, "data": place})

    def _write_spec(self, identity: Mapping[str, Any]) -> None:
        text = yaml.safe_dump(
            {"hash": identity_hash(identity), "sweep": dict(identity)}, sort_keys=False, allow_unicode=True
        )
        storage.write_bytes(storage.join(self.run, SPEC_FILE), text.encode())


def _locked(run: str) -> Lock:
    """Take the run directory, made if need be."""
    if storage.is_remote(run) and not storage.is_s3(run):
        raise SpecError(
            "a run directory must be on S3 or on a local disk: elsewhere two drivers cannot be kept apart",
            where=f"--out {run}",
            remedy="choose an s3:// address, or a local disk",
        )
    with naming_out(run):
        storage.check_access(run)
        return take_lock(run)


@contextmanager
def naming_out(run: str) -> Iterator[None]:
    """Turn the error of a store on which a run cannot be read or written into one of the option that names it."""
    try:
        yield
    except StorageError as error:
        raise SpecError(error.what, where=f"--out {run}", remedy=error.remedy) from error
