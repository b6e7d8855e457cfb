"""Every number of a run recomputed from its score files, and every file compared with its record.

What is found: a score file that is missing, damaged, changed or another trial's; source-dev figures that differ from
the logged ones; a ``spec.json`` of another trial; a checkpoint that is missing, damaged or swapped; a
``results.parquet`` that does not follow from the score files. Runs without ``files.json`` have no hashes of their score
files: then a change of target scores shows only in ``results.parquet``, and the result counts the files without a
record.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from fasray import storage
from fasray.errors import DataError
from fasray.results.audit.decisions import wrong_decisions
from fasray.results.frame import COLUMNS, results_frame
from fasray.results.scores import ScoreReader
from fasray.runs.checksums import Files, read_files
from fasray.runs.events import TrialRecord
from fasray.runs.layout import (
    CHECKPOINT_FOLDER,
    CHECKSUM_FILE,
    RESULTS_FILE,
    SPEC_FILE,
    TRIAL_FILE,
    checkpoint_file,
    trial_folder,
)
from fasray.runs.reading import Reading
from fasray.runs.record import RunRecord
from fasray.runs.weights import changed_copies
from fasray.storage.parquet import DAMAGE

KEY = ("method", "variant", "protocol", "selection", "level")
TOLERANCE = 1e-9
"""How far a figure may be from the recorded one: other versions of NumPy may add in another order."""


@dataclass(frozen=True)
class RunFinding:
    """A file of a run that is not what it should be."""

    where: str
    """File, relative to the run directory."""
    what: str


@dataclass(frozen=True)
class Verification:
    """What was looked at and what was found."""

    findings: tuple[RunFinding, ...]
    trials: int
    score_files: int
    checkpoints: int
    without_record: int
    """Score files without a recorded hash."""
    numbers: int
    """Figures of ``results.parquet`` that were recomputed."""
    notes: tuple[str, ...] = ()


def verify_run(record: RunRecord) -> Verification:
    """Check a run; reads every score file and checkpoint."""
    seen = _Seen(record, ScoreReader())
    findings = [*_spec(record), *(RunFinding("events", problem) for problem in wrong_decisions(record))]
    findings += (RunFinding(f"weights/{name}", problem) for name, problem in changed_copies(record.uri).items())
    for trial in record.trials:
        findings += seen.trial(trial)
    numbers, notes = 0, []
    uri = storage.join(record.uri, RESULTS_FILE)
    if any(finding.where.endswith(".parquet") for finding in findings):
        notes.append(f"{RESULTS_FILE} was not recomputed: fix the score files first")
    elif not storage.exists(uri):
        notes.append(f"there is no {RESULTS_FILE}; it is derived, and `fasray sweep` writes it")
    else:
        numbers, wrong = _table(storage.read_bytes(uri), record, RESULTS_FILE)
        findings += wrong
    return Verification(
        tuple(findings),
        len(record.trials),
        seen.score_files,
        seen.checkpoints,
        seen.without_record,
        numbers,
        tuple(notes),
    )


def _spec(record: RunRecord) -> Iterator[RunFinding]:
    found = hashlib.sha256(json.dumps(dict(record.spec), sort_keys=True).encode()).hexdigest()
    if not found.startswith(record.spec_hash):
        yield RunFinding(SPEC_FILE, "the specification does not match the hash in the file")


@dataclass
class _Seen:
    """Looks at one trial after another and counts."""

    record: RunRecord
    reader: ScoreReader
    score_files: int = 0
    checkpoints: int = 0
    without_record: int = 0

    def trial(self, trial: TrialRecord) -> Iterator[RunFinding]:
        """Look at the files of one trial."""
        folder = trial_folder(self.record.uri, trial.id)
        for uri, problem in self._files(trial, folder):
            yield RunFinding(uri.removeprefix(self.record.uri).lstrip("/"), problem)

    def _files(self, trial: TrialRecord, folder: str) -> Iterator[tuple[str, str]]:
        """Return each file of a trial that is not as it should be, and why."""
        try:
            files = read_files(folder)
        except DataError as error:
            yield storage.join(folder, CHECKSUM_FILE), error.what
            files = None
        if trial.readings:
            uri = storage.join(folder, TRIAL_FILE)
            yield from ((uri, problem) for problem in self._identity(trial, uri))
        for reading in trial.readings:
            uri = self.record.score_uri(trial.id, reading.step)
            yield from ((uri, problem) for problem in self._scores(trial, reading, uri, files))
        yield from self._checkpoints(trial, folder, files)

    def _identity(self, trial: TrialRecord, uri: str) -> Iterator[str]:
        try:
            spec = json.loads(storage.read_bytes(uri))
            found = (spec["id"], spec["method"], spec["protocol"], spec["seed"], spec["config"], spec["data"])
            # a trial leaves out some settings that have their default; the log has them where they are searched
            own = {k: v for k, v in trial.config.items() if k in spec["config"] or k not in trial.searched}
        except DataError as error:
            yield error.what
        except (ValueError, KeyError, TypeError):
            yield "this file is damaged"
        else:
            data = self.record.data.manifest_hash
            if found != (trial.id, trial.method, trial.protocol, trial.seed, own, data):
                yield "it does not describe the trial that the event log has under this id"

    def _scores(self, trial: TrialRecord, logged: Reading, uri: str, files: Files | None) -> Iterator[str]:
        try:
            content = storage.read_bytes(uri)
        except DataError:
            yield "this score file is missing"
            return
        self.score_files += 1
        recorded = files.scores.get(logged.step) if files else None
        if recorded is None:
            self.without_record += 1
        elif recorded != hashlib.sha256(content).hexdigest():
            yield "this score file has changed since it was written: its SHA-256 differs"
        try:
            evaluation = self.reader.decode(content, uri)
            summary = evaluation.source_dev_summary()
        except DataError as error:
            yield error.what
            return
        if (evaluation.trial, evaluation.step) != (trial.id, logged.step):
            yield f"this score file is of trial {evaluation.trial}, step {evaluation.step}"
            return
        for name, now, then in (
            ("AUC", summary.auc, logged.source_dev_auc),
            ("loss", summary.loss, logged.source_dev_loss),
        ):
            if not _same(now, then):
                yield f"its source-dev {name} is {now!r}, the event log has {then!r}"

    def _checkpoints(self, trial: TrialRecord, folder: str, files: Files | None) -> Iterator[tuple[str, str]]:
        cards = storage.join(folder, CHECKPOINT_FOLDER)
        there = {storage.join(cards, name) for name in storage.listing(cards) if name.endswith(".json")}
        wanted = set()
        beyond = trial.on_credit or (trial.origin is not None and trial.status == "stopped")
        if trial.status in ("stopped", "done") and trial.best and not beyond:
            wanted = {checkpoint_file(folder, step, "json") for step in (trial.best.step, trial.steps[-1])}
        for uri in sorted(there | wanted):
            if uri not in there:
                yield uri, "this checkpoint is missing"
                continue
            self.checkpoints += 1
            newest = uri == max(there)  # of all that were trained, on credit and not reported too
            yield from ((uri, problem) for problem in _checkpoint(uri, trial, folder, files, newest))


def _checkpoint(uri: str, trial: TrialRecord, folder: str, files: Files | None, newest: bool) -> Iterator[str]:
    try:
        card = json.loads(storage.read_bytes(uri))
        step, sha256, owner = int(card["step"]), str(card["sha256"]), card["trial"]["id"]
    except (DataError, ValueError, KeyError, TypeError):
        yield "the card of this checkpoint is damaged"
        return
    if owner != trial.id or uri != checkpoint_file(folder, step, "json"):
        yield f"this checkpoint is of trial {owner}, step {step}"
    try:
        weights = hashlib.sha256(storage.read_bytes(uri.removesuffix(".json") + ".safetensors")).hexdigest()
    except DataError:
        yield "its weights are missing"
        return
    if weights != sha256:
        yield "its weights do not match the SHA-256 in its card"
    optimizers, wanted = uri.removesuffix(".json") + ".optimizer.safetensors", card.get("optimizer_sha256", "")
    if wanted and storage.exists(optimizers):  # those of the best are dropped when another step is the newest
        if hashlib.sha256(storage.read_bytes(optimizers)).hexdigest() != wanted:
            yield "the state of its optimizers does not match the SHA-256 in its card"
    elif wanted and newest:
        yield "the state of its optimizers is missing"
    recorded = files.checkpoints.get(step) if files else None
    if recorded is not None and recorded != weights:
        yield "its weights have changed since they were written: their SHA-256 differs"


def _table(content: bytes, record: RunRecord, name: str) -> tuple[int, list[RunFinding]]:
    """Compare a stored result table with the one that the score files give."""
    try:
        table = pq.read_table(io.BytesIO(content))
        table.validate(full=True)  # texts that are not UTF-8 would be found only when they are used
        stored = table.to_pandas()
    except DAMAGE:
        return 0, [RunFinding(name, "this file is damaged; it is derived: delete it and resume the sweep")]
    if not set(KEY) <= set(stored.columns):
        return 0, [RunFinding(name, "another version wrote it; it is derived: delete it and resume the sweep")]
    rules = [str(rule) for rule in dict.fromkeys(stored["selection"])]
    before, now = _by_key(stored), _by_key(results_frame(record, rules))
    findings = [RunFinding(name, f"{_title(key)}: no score file gives this row") for key in before if key not in now]
    findings += [RunFinding(name, f"{_title(key)}: this row is missing") for key in now if key not in before]
    columns = [column for column in COLUMNS if column in stored.columns and column not in KEY]
    numbers = 0
    for key, row in now.items():
        for column in columns if key in before else ():
            numbers += 1
            if not _same(row[column], before[key][column]):
                stored_value, found = before[key][column], row[column]
                findings.append(
                    RunFinding(name, f"{_title(key)}: {column} is {stored_value!r}, the score files give {found!r}")
                )
    return numbers, findings


def _by_key(frame: pd.DataFrame) -> dict[tuple[str, ...], Mapping[str, Any]]:
    return {tuple(str(row[name]) for name in KEY): row for row in frame.to_dict("records")}


def _title(key: tuple[str, ...]) -> str:
    return " ".join(part for part in key if part)


def _same(one: Any, other: Any) -> bool:
    """Compare two values: floats to the tolerance, NaN equal to NaN, lists entry by entry."""
    if hasattr(one, "tolist"):
        one = one.tolist()
    if hasattr(other, "tolist"):
        other = other.tolist()
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, (int, float)):
        return (math.isnan(one) and math.isnan(other)) or abs(one - other) <= TOLERANCE * max(1.0, abs(other))
    return bool(one == other)
