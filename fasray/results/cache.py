"""What was computed from a run's score files, kept in the run, so that a long one is tabulated and listed quickly.

``results.cache`` in the run directory is derived: it can be deleted, and is then rebuilt. An entry is valid as long as
all that it follows from is as it was: the trials in the log, the fingerprints of their score files
(``fasray.storage.file_fingerprints``), and the code that computed it. A file that is damaged, or was written by other
code, counts as missing. ``fasray verify`` does not look at it.

The file has a head line (format, hash of the code, hash of the rest), and then one line for each entry: key,
fingerprint and value, separated by tabs. A value stays text until it is used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from fasray import storage
from fasray.errors import FasrayError
from fasray.runs.events import TrialRecord
from fasray.runs.layout import RESULTS_CACHE, score_name, trial_folder
from fasray.version import __version__

log = logging.getLogger(__name__)

LEAST_SCORE_FILES = 1000
"""Of a run that has a cache: smaller ones are read as fast."""
SETTLED_S = 2.0
"""Age of the youngest score file from which a value is kept; younger ones may still change within a clock tick."""
VALUES = ConfigDict(ser_json_inf_nan="constants", arbitrary_types_allowed=True)
"""Of the type adapters of cached values: NaN stays NaN."""
_FORMAT = "2"

T = TypeVar("T")


class FileFingerprints:
    """Looks at the score files of a run, once each, and says what changes whenever they change.

    Args:
        run: local path or URI of the run directory.
        settled_s: in place of ``SETTLED_S``.
    """

    def __init__(self, run: str, settled_s: float | None = None) -> None:
        self._run, self._settled_s = run, SETTLED_S if settled_s is None else settled_s
        self._files: dict[str, dict[str, storage.FileFingerprint]] = {}
        self._known: dict[tuple[str, ...], str] = {}

    def fingerprint(self, trials: Sequence[TrialRecord]) -> str:
        """Return a hash over what the log has of the trials and over the fingerprints of their score files.

        The first call decides, so it has to come before the files are read. Empty if a file is missing or has just
        been written, or if the store gives no fingerprints.
        """
        key = tuple(trial.id for trial in trials)
        if key not in self._known:
            self._known[key] = self._compute(trials)
        return self._known[key]

    def look(self, trials: Sequence[TrialRecord]) -> None:
        """Look at the files of many trials concurrently."""
        new = [trial.id for trial in trials if trial.id not in self._files]
        folders = [trial_folder(self._run, trial) for trial in new]
        found = storage.map_concurrently(storage.file_fingerprints, folders, self._run)
        self._files.update(zip(new, found, strict=True))

    def _compute(self, trials: Sequence[TrialRecord]) -> str:
        self.look(trials)
        youngest = time.time() - self._settled_s
        parts = []
        for trial in trials:
            parts.append(f"{trial.id} {trial.stage} {trial.status} {trial.seed}")
            files = self._files[trial.id]
            for step in trial.steps:
                file = files.get(score_name(step))
                if file is None or not file.text or file.changed_at > youngest:
                    return ""
                parts.append(f"{step} {file.text}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class ResultsCache:
    """Values by key that were computed from the score files of some trials.

    Args:
        run: local path or URI of the run directory.
        settled_s: in place of ``SETTLED_S``.
    """

    def __init__(self, run: str, settled_s: float | None = None) -> None:
        self.files = FileFingerprints(run, settled_s)
        self._uri = storage.join(run, RESULTS_CACHE)
        lines = (read_cache(self._uri) or b"").splitlines()
        entries = (line.split(b"\t") for line in lines)
        self._entries = {key: (fingerprint.decode(), value) for key, fingerprint, value in entries}
        self.changed = False
        """Whether there is something to save."""

    def get(self, key: Sequence[str], trials: Sequence[TrialRecord], kind: TypeAdapter[T]) -> T | None:
        """Return the value that was computed from these trials, ``None`` if it is missing or no longer valid."""
        now = self.files.fingerprint(trials)
        fingerprint, value = self._entries.get(_encoded(key), ("", b""))
        return kind.validate_json(value) if fingerprint and fingerprint == now else None

    def put(self, key: Sequence[str], trials: Sequence[TrialRecord], value: T, kind: TypeAdapter[T]) -> None:
        """Take a value that has been computed from these trials since ``get`` returned None for it."""
        fingerprint = self.files.fingerprint(trials)
        if fingerprint:
            self._entries[_encoded(key)] = fingerprint, kind.dump_json(value)
            self.changed = True

    def save(self) -> None:
        """Write the file if there is something new and the run can be written to."""
        if self.changed:
            lines = (b"\t".join((key, mark.encode(), value)) for key, (mark, value) in self._entries.items())
            write_cache(self._uri, b"\n".join(lines))


def _encoded(key: Sequence[str]) -> bytes:
    return json.dumps(key).encode()


def read_cache(uri: str) -> bytes | None:
    """Return what ``write_cache`` of this very code has written; None if there is no such file, or it is damaged."""
    try:
        if not storage.exists(uri):
            return None
        head, _, body = storage.read_bytes(uri).partition(b"\n")
    except FasrayError:
        return None
    return body if head == _head(body) else None


def write_cache(uri: str, body: bytes) -> None:
    """Write the file; a run that cannot be written to has none."""
    try:
        storage.write_bytes(uri, _head(body) + b"\n" + body)
    except (FasrayError, OSError) as error:
        log.debug("the results cache is not written: %s", error)


def _head(body: bytes) -> bytes:
    return f"{_FORMAT} {_code()} {hashlib.sha256(body).hexdigest()}".encode()


@cache
def _code() -> str:
    """Return what changes with the code that figures follow from."""
    package = Path(__file__).parents[1]
    sources = sorted([*package.glob("metrics/*.py"), *package.glob("results/**/*.py"), *package.glob("runs/*.py")])
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    return hashlib.sha256(" ".join([__version__, np.__version__, *parts]).encode()).hexdigest()
