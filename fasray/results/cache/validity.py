"""What was computed from a run's score files, kept in derived files, and whether it still holds.

It holds as long as all that it follows from is as it was: the trials in the log, the fingerprints of their score
files (``storage.file_fingerprints``), and the code that computed it. A derived file that is damaged, of other code or
of another format counts as none.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from fasray import storage
from fasray.errors import FasrayError
from fasray.runs.events import TrialRecord
from fasray.runs.layout import trial_folder
from fasray.version import __version__

log = logging.getLogger(__name__)

LEAST_SCORE_FILES = 1000
"""Of a run, for anything to be kept: smaller ones are read as fast."""
SETTLED_S = 2.0
"""Age of the youngest score file from which something is kept; younger ones may still change within a tick."""
_FORMAT = "1"


class Stamps:
    """Looks at the score files of a run, once each, and says what changes whenever they change.

    Args:
        run: local path or URI of the run directory.
        settled_s: in place of ``SETTLED_S``.
    """

    def __init__(self, run: str, settled_s: float | None = None) -> None:
        self._run, self._settled_s = run, SETTLED_S if settled_s is None else settled_s
        self._seen: dict[str, dict[str, storage.FileFingerprint]] = {}

    def print_of(self, trials: Sequence[TrialRecord]) -> str:
        """Return a fingerprint of what the log has of the trials and of their score files.

        To be asked before the files are read, so that what changes later is seen. Empty if nobody can tell: a file is
        missing or has just been written, or the store gives no stamps.
        """
        self.look(trials)
        youngest = time.time() - self._settled_s
        parts = []
        for trial in trials:
            parts.append(f"{trial.id} {trial.stage} {trial.status} {trial.seed}")
            there = self._seen[trial.id]
            for step in trial.steps:
                stamp = there.get(f"eval-{step:08d}.parquet")
                if stamp is None or not stamp.text or stamp.changed_at > youngest:
                    return ""
                parts.append(f"{step} {stamp.text}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def look(self, trials: Sequence[TrialRecord]) -> None:
        """Look at the files of many trials at the same time."""
        new = [trial.id for trial in trials if trial.id not in self._seen]
        folders = [trial_folder(self._run, trial) for trial in new]
        self._seen.update(
            zip(new, storage.map_concurrently(storage.file_fingerprints, folders, self._run), strict=True)
        )


def read_kept(uri: str) -> bytes | None:
    """Return what ``write_kept`` of this very code has written; None if there is no such file, or it is damaged."""
    try:
        if not storage.exists(uri):
            return None
        head, _, body = storage.read_bytes(uri).partition(b"\n")
    except FasrayError:
        return None
    return body if head == _head(body) else None


def write_kept(uri: str, body: bytes) -> None:
    """Write a derived file; where it cannot be written, nothing is kept."""
    try:
        storage.write_bytes(uri, _head(body) + b"\n" + body)
    except (FasrayError, OSError) as error:
        log.debug("nothing is kept: %s", error)


def _head(body: bytes) -> bytes:
    return f"{_FORMAT} {_code()} {hashlib.sha256(body).hexdigest()}".encode()


@cache
def _code() -> str:
    """Return what changes with the code that figures follow from."""
    package = Path(__file__).parents[2]
    sources = sorted([*package.glob("metrics/*.py"), *package.glob("results/**/*.py"), *package.glob("runs/*.py")])
    parts = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources]
    return hashlib.sha256(" ".join([__version__, np.__version__, *parts]).encode()).hexdigest()
