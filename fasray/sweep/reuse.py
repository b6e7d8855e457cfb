"""Trials that other runs have trained already: taken over, files and results, instead of trained again.

A trial is the same in two sweeps if its id is: the id is a hash of all that its numbers depend on. What becomes of it
is decided anew, by the sweep that takes it over; where that goes on beyond what there is, training goes on from the
last checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.protocols import part_names
from fasray.runs.checksums import Files, read_files
from fasray.runs.events import Reused, Stage, TrialRecord
from fasray.runs.layout import (
    CHECKPOINT_FOLDER,
    CHECKSUM_FILE,
    TRIAL_FILE,
    checkpoint_step,
    score_file,
    trial_folder,
)
from fasray.runs.reading import Reading
from fasray.runs.record import RunRecord, read_run
from fasray.runs.scores import parse_scores, source_dev_of
from fasray.runs.weights import weights_of_trial
from fasray.training.trial import Trial

_REUSABLE = ("done", "stopped", "diverged")
_REMEDY = "restore the file, or leave this run out of --reuse"
_FIGURES = {"step", "source_dev_auc", "source_dev_loss", "device", "precision", "torch"}
"""Of a reading: all but what it has cost."""


@dataclass(frozen=True)
class Known:
    """A trial that another run has."""

    run: RunRecord
    record: TrialRecord

    @property
    def readings(self) -> list[Reading]:
        """All its results, without what they have cost there."""
        return [Reading(**reading.model_dump(include=_FIGURES)) for reading in self.record.paid]

    @property
    def event(self) -> Reused:
        """What the log says of where it is from."""
        before = self.record.origin
        if before is not None:
            return before.model_copy(update={"via": (*before.via, self.run.name)})
        versions = {name: self.run.versions[name] for name in ("fasray", "torch") if name in self.run.versions}
        return Reused(trial=self.record.id, run=self.run.name, spec=self.run.spec_hash, versions=versions)


@dataclass
class OtherRuns:
    """The runs of which trials may be taken over.

    Args:
        runs: in the order in which they are asked.
        target_split: of the sweep that takes over.
        out: its run directory; empty: no file is copied.
    """

    runs: Sequence[RunRecord]
    target_split: str
    out: str = ""
    taken: dict[str, list[str]] = field(default_factory=dict)
    """Ids of the trials taken over, by the address of the run."""

    def __post_init__(self) -> None:
        self._known: dict[str, list[Known]] = {}
        for run in self.runs:
            self.taken.setdefault(run.uri, [])
            for record in run.trials:
                if record.status in _REUSABLE and (record.paid or record.status == "diverged"):
                    self._known.setdefault(record.id, []).append(Known(run, record))

    def __len__(self) -> int:
        return len(self.runs)

    def find(self, trial: Trial, stage: Stage, scores_target: bool) -> Known | None:
        """Return a trial of another run that has all that this one must have; None if there is none."""
        fitting = (known for known in self._known.get(trial.id, ()) if self._fits(known, trial, stage, scores_target))
        return next(fitting, None)

    def _fits(self, known: Known, trial: Trial, stage: Stage, scores_target: bool) -> bool:
        record, run = known.record, known.run
        if not self._same_weights(run, trial):
            return False
        if not (scores_target and run.scores_target(record)):
            return scores_target == run.scores_target(record)
        same_split = run.spec.get("target_split") == self.target_split
        judged = stage == "inner" or set(part_names(trial.protocol)) <= set(part_names(record.protocol))
        return same_split and judged

    def _same_weights(self, run: RunRecord, trial: Trial) -> bool:
        """Return whether the initial weights of a trial, which its id knows by their address, have the same content."""
        if trial.training.backbone_weights == "none" or not self.out:
            return True
        there, here = (weights_of_trial(place, trial.method, trial.config) for place in (run.uri, self.out))
        return there is None or here is None or there.copy_sha256 == here.copy_sha256

    def take(self, known: Known, trial: Trial) -> None:
        """Copy the files of a trial, each held against its SHA-256.

        Raises:
            DataError: one of them is missing, or has changed since it was written.
        """
        self.taken[known.run.uri].append(trial.id)
        if self.out and known.record.paid:
            _copy(known, trial, trial_folder(self.out, trial.id))


def open_runs(addresses: Iterable[str], out: str, target_split: str) -> OtherRuns:
    """Read the runs of which trials may be taken over; finished or not.

    Raises:
        SpecError: one of them is the run that takes over.
        DataError: there is no such run, or it is damaged.
    """
    own = storage.absolute(storage.resolve(out)) if out else ""
    runs = []
    for address in dict.fromkeys(map(storage.resolve, addresses)):
        if storage.absolute(address) == own:
            raise SpecError(
                "a run cannot take over its own trials: it goes on by itself",
                where=f"--reuse {address}",
                remedy="leave --reuse out to resume it, or choose another --out for a new run",
            )
        runs.append(read_run(address))
    return OtherRuns(runs, target_split, out)


def why_nothing(run: RunRecord, manifest_hash: str) -> str:
    """Return why no trial of a run could be taken over."""
    if run.data.manifest_hash != manifest_hash:
        return f"its data has manifest {run.data.manifest_hash[:12]}, this sweep's {manifest_hash[:12]}"
    return "none of its trials has the settings, seed, source domains and initial weights of one of this sweep"


def summary(others: OtherRuns, manifest_hash: str, known: Collection[str]) -> list[str]:
    """Return one line a run: how many of its trials were taken over, or why none was; ``known``: all of the sweep."""
    lines = []
    for run in others.runs:
        taken = others.taken[run.uri]
        here = not taken and any(trial.id in known for trial in run.trials)
        why = "what it has of this sweep is here already" if here else why_nothing(run, manifest_hash)
        lines.append(f"reuse {run.uri}: {len(taken)} trials{'' if taken else f'; {why}'}")
    return lines


def _copy(known: Known, trial: Trial, folder: str) -> None:
    source = trial_folder(known.run.uri, trial.id)
    files = read_files(source)
    if files is None:
        raise DataError(
            f"trial {trial.id} cannot be taken over: nothing is on record of its files", where=source, remedy=_REMEDY
        )
    for reading in known.record.paid:
        uri = score_file(source, reading.step)
        content = storage.read_bytes(uri)
        _check(files.scores.get(reading.step), content, uri, trial.id)
        _check_figures(content, uri, reading, trial.id)
        storage.write_bytes(score_file(folder, reading.step), content)
    kept = storage.join(source, CHECKPOINT_FOLDER)
    for name in storage.listing(kept):
        uri, step = storage.join(kept, name), checkpoint_step(name)
        if step is None:
            continue
        content = storage.read_bytes(uri)
        if name.endswith(".safetensors") and not name.endswith(".optimizer.safetensors"):
            _check(files.checkpoints.get(step), content, uri, trial.id)
        storage.write_bytes(storage.join(folder, CHECKPOINT_FOLDER, name), content)
    storage.write_bytes(storage.join(folder, CHECKSUM_FILE), _of_steps(files, known.record))
    storage.write_bytes(storage.join(folder, TRIAL_FILE), trial.model_dump_json(indent=1).encode())


def _of_steps(files: Files, record: TrialRecord) -> bytes:
    steps = {reading.step for reading in record.paid}
    scores = {step: sha256 for step, sha256 in files.scores.items() if step in steps}
    return files.model_copy(update={"scores": scores}).model_dump_json(indent=1).encode()


def _check(recorded: str | None, content: bytes, uri: str, trial: str) -> None:
    if recorded != hashlib.sha256(content).hexdigest():
        raise DataError(
            f"trial {trial} cannot be taken over: this file of it has changed since it was written (SHA-256)",
            where=uri,
            remedy=_REMEDY,
        )


def _check_figures(content: bytes, uri: str, reading: Reading, trial: str) -> None:
    rows, of_trial, step = parse_scores(content, uri)
    auc = source_dev_of(rows).auc
    if (of_trial, step) != (trial, reading.step) or abs(auc - reading.source_dev_auc) > 1e-9:
        raise DataError(
            f"trial {trial} cannot be taken over: the log of its run has source-dev AUC {reading.source_dev_auc!r} at "
            f"step {reading.step}, this file gives {auc!r}",
            where=uri,
            remedy=_REMEDY,
        )
