"""From a number back to what it was made of: trial, step, score file, checkpoint, configuration, data, code."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fasray import protocols, storage
from fasray.errors import DataError, FasrayError, SpecError, did_you_mean
from fasray.results.figures import FIGURES, figures_at
from fasray.results.frame import results_frame
from fasray.results.leave_one_out import INNER, inner_trials
from fasray.results.means import MEAN_OVER, members
from fasray.results.remarks import remarks
from fasray.results.scores import Level, ScoreReader
from fasray.results.selection import selection
from fasray.runs.checksums import Files, read_files
from fasray.runs.events import Opened, TrialRecord, cell_protocol
from fasray.runs.layout import TRIAL_FILE, checkpoint_file, trial_folder
from fasray.runs.reading import Reading
from fasray.runs.record import RunRecord
from fasray.runs.weights import weights_of_trial

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Source:
    """One evaluation that a number was made of."""

    trial: str
    stage: str
    seed: int
    step: int
    total_steps: int
    threshold: float
    hter: float
    """Of this evaluation alone; a fraction."""
    auc: float
    source_dev_auc: float
    """As it was logged, video level."""
    score_file: str
    score_sha256: str
    """Of the file as it is now."""
    score_record: str
    """``as recorded``, ``CHANGED: ...`` or ``not recorded``."""
    computed_on: str
    """Device, precision and version of torch."""
    checkpoint: str
    """Its weights, or where they went: only the newest and the best by source-dev are kept."""
    weights: str
    """Initial weights: architecture, address and SHA-256; empty if there are none, or none on record."""
    left_out: str
    """Of an inner trial the source domain that it left out and is evaluated on; else empty."""
    config: Mapping[str, Any]
    searched: tuple[str, ...]
    taken_over: str
    """The run that trained it, where it was taken over from another; else empty."""
    search_trial: str
    """The trial that won the search with this configuration; empty if nothing was searched."""
    spec_file: str
    command: str
    """Trains this very trial again."""
    inner: tuple[Source, ...] = ()
    """The inner trials that picked step and threshold, each evaluated with them on the domain it left out."""


@dataclass(frozen=True)
class Trace:
    """A number and everything behind it."""

    run: str
    method: str
    variant: str
    protocol: str
    selection: str
    threshold_rule: str
    oracle: bool
    level: str
    hter: float
    hter_std: float | None
    auc: float
    auc_std: float | None
    sources: tuple[Source, ...]
    data: str
    """The ``data`` key of the sweep."""
    manifest: str
    """Hash of the data's manifest."""
    spec_hash: str
    versions: Mapping[str, str]
    commit: str
    notes: tuple[str, ...]


def trace(
    record: RunRecord, method: str, protocol: str, rule: str = "source-dev", level: Level = "video", variant: str = ""
) -> Trace:
    """Trace one row of the result frame; an empty ``variant`` is the method itself, another one an ablation.

    Raises:
        SpecError: the run has no such cell, or there is no such rule.
        DataError: nothing of the cell is confirmed yet, or a file of it is missing or damaged.
    """
    chosen = selection(rule)
    name = " ".join(protocol.split())
    if name.startswith(MEAN_OVER):
        raise SpecError(
            f"{name!r} is a mean over protocols, each of which has a trace of its own",
            where="PROTOCOL",
            remedy=f"name one of {', '.join(members(name))}",
        )
    trials = _trials_of(record.cell_trials, method, protocol, variant)
    frame = results_frame(record.subset({trial.id for trial in trials}), [rule])
    rows = frame[(frame["level"] == level) & (frame["protocol"] == "".join(protocol.split()))].to_dict("records")
    if not rows or not rows[0]["trials"]:
        raise DataError(
            f"no confirming run of {method} on {protocol} has finished yet",
            where=record.uri,
            remedy="resume the sweep; `fasray results RUN --what trials` shows its progress",
        )
    row = rows[0]
    by_id = {trial.id: trial for trial in trials}
    picked = zip(row["trials"], row["steps"], row["thresholds"], strict=True)
    sources = []
    for name, step, threshold in picked:
        source = _source(record, by_id[name], step, threshold, level)
        inner = inner_trials(record.cell_trials, by_id[name]).trials if chosen.inner else ()
        parts = tuple(_source(record, each, step, threshold, level) for each in inner)
        sources.append(replace(source, inner=parts))
    versions = dict(record.versions)
    return Trace(
        run=record.uri,
        method=method,
        variant=variant,
        protocol=row["protocol"],
        selection=rule,
        threshold_rule=chosen.threshold_rule,
        oracle=chosen.oracle,
        level=level,
        hter=row["hter"],
        hter_std=_known(row["hter_std"]),
        auc=row["auc"],
        auc_std=_known(row["auc_std"]),
        sources=tuple(sources),
        data=_data_argument(record),
        manifest=record.data.manifest_hash,
        spec_hash=record.spec_hash,
        versions={name: value for name, value in versions.items() if name != "commit"},
        commit=versions.get("commit", NOT_RECORDED),
        notes=tuple(_notes(record)),
    )


def to_text(found: Trace) -> str:
    """Return a trace as a person reads it, the commands last."""
    name = f"{found.method}: {found.variant}" if found.variant else found.method
    mark = ", an ORACLE: it looked at target labels" if found.oracle else ""
    lines = [
        f"{name} on {found.protocol}, {found.selection}{mark}, {found.level} level",
        f"  HTER {_percent(found.hter, found.hter_std)} %   AUC {_percent(found.auc, found.auc_std)} %",
        f"  run {found.run}, specification {found.spec_hash}",
        f"  data {found.data}, manifest {found.manifest}",
        f"  code fasray {found.versions.get('fasray', NOT_RECORDED)}, commit {found.commit}",
        f"  with {', '.join(f'{key} {value}' for key, value in found.versions.items() if key != 'fasray')}",
        *(f"  note: {note}" for note in found.notes),
    ]
    sources = [each for source in found.sources for each in (source, *source.inner)]
    for source in sources:
        searched = {key: source.config[key] for key in source.searched if key in source.config}
        without = f", without {source.left_out}, which judges it" if source.left_out else ""
        lines += [
            "",
            f"trial {source.trial}, {source.stage}, seed {source.seed}{without}",
            f"  HTER {_percent(source.hter)} %   AUC {_percent(source.auc)} %",
            f"  step {source.step} of {source.total_steps} (source-dev AUC {_percent(source.source_dev_auc)} %), "
            f"threshold {source.threshold!r} by {found.threshold_rule}",
            f"  scores      {source.score_file}",
            f"              sha256 {source.score_sha256}, {source.score_record}",
            f"  computed on {source.computed_on}",
            *([f"  taken over  {source.taken_over}"] if source.taken_over else []),
            f"  checkpoint  {source.checkpoint}",
            *([f"  weights     {source.weights}"] if source.weights else []),
            f"  config      {source.spec_file}",
            *([f"              searched: {json.dumps(searched)}"] if searched else []),
            *([f"              won the search as trial {source.search_trial}"] if source.search_trial else []),
        ]
    commands = dict.fromkeys(source.command for source in sources)
    return "\n".join([*lines, "", "train again:", *(f"  {command}" for command in commands)]) + "\n"


def to_json(found: Trace) -> str:
    """Return a trace as one JSON object; rates are fractions."""
    return json.dumps(asdict(found), indent=1, default=dict) + "\n"


def _trials_of(trials: Sequence[TrialRecord], method: str, protocol: str, variant: str) -> list[TrialRecord]:
    inner = [trial for trial in trials if trial.stage == INNER]
    known = [trial for trial in trials if trial.stage != INNER]
    methods = {trial.method for trial in known}
    if method not in methods:
        raise SpecError(f"no trial of this run has the method {method!r}", remedy=did_you_mean(method, methods))
    wanted = "".join(protocol.split())
    names = {trial.protocol for trial in known if trial.method == method}
    families = {name: protocols.parse(name).aggregate for name in names}
    found = [t for t in known if t.method == method and wanted in (t.protocol, families[t.protocol])]
    if not found:
        choices = names | {family for family in families.values() if family}
        raise SpecError(f"this run has no trial of {method} on {protocol!r}", remedy=did_you_mean(wanted, choices))
    chosen = [trial for trial in found if trial.variant == variant]
    if not chosen:
        variants = {trial.variant for trial in found if trial.variant}
        raise SpecError(f"this run has no ablation {variant!r} of {method}", remedy=did_you_mean(variant, variants))
    cells = {trial.protocol for trial in chosen}
    return chosen + [t for t in inner if (t.method, t.variant) == (method, variant) and cell_protocol(t) in cells]


def _source(record: RunRecord, trial: TrialRecord, step: int, threshold: float, level: Level) -> Source:
    folder = trial_folder(record.uri, trial.id)
    uri, spec_file = record.score_uri(trial.id, step), storage.join(folder, TRIAL_FILE)
    content = storage.read_bytes(uri)
    evaluation = ScoreReader().decode(content, uri, trial.protocol)
    figures = dict(zip(FIGURES, figures_at(evaluation, threshold, level), strict=True))
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        files = read_files(folder)
        recorded = _compared(sha256, files.scores.get(step) if files else None)
    except FasrayError as error:
        files, recorded = None, error.what
    reading = next(reading for reading in trial.readings if reading.step == step)
    return Source(
        trial=trial.id,
        stage=trial.stage,
        seed=trial.seed,
        step=step,
        total_steps=trial.total_steps,
        threshold=threshold,
        hter=figures["hter"],
        auc=figures["auc"],
        source_dev_auc=reading.source_dev_auc,
        score_file=uri,
        score_sha256=sha256,
        score_record=recorded,
        computed_on=_computed_on(reading),
        checkpoint=_checkpoint(folder, step, files),
        config=trial.config,
        searched=trial.searched,
        weights=str(weights_of_trial(record.uri, trial.method, trial.config) or ""),
        left_out=protocols.parse(trial.protocol).target if trial.stage == INNER else "",
        taken_over=_origin(trial),
        search_trial=_search_trial(record, trial),
        spec_file=spec_file,
        command=shlex.join(["fasray", "train", "--spec", spec_file, "--data", _data_argument(record)]),
    )


def _origin(trial: TrialRecord) -> str:
    if trial.origin is None:
        return ""
    origin = trial.origin
    versions = "".join(f", {name} {version}" for name, version in origin.versions.items())
    via = f", by way of {', '.join(origin.via)}" if origin.via else ""
    return f"from run {origin.run}, specification {origin.spec}{versions}{via}"


def _computed_on(reading: Reading) -> str:
    if reading.device is None:
        return NOT_RECORDED
    return f"{reading.device}, {reading.precision}, torch {reading.torch}"


def _compared(now: str, recorded: str | None) -> str:
    if recorded is None:
        return NOT_RECORDED
    return "as recorded" if now == recorded else f"CHANGED: {recorded} was recorded"


def _checkpoint(folder: str, step: int, files: Files | None) -> str:
    uri = checkpoint_file(folder, step, "safetensors")
    if storage.exists(uri):
        sha256 = hashlib.sha256(storage.read_bytes(uri)).hexdigest()
        return f"{uri}, sha256 {sha256}, {_compared(sha256, files.checkpoints.get(step) if files else None)}"
    recorded = files.checkpoints.get(step) if files else None
    was = f"; it had sha256 {recorded}" if recorded else ""
    return f"not kept at step {step} (only the newest and the best by source-dev are){was}; train again to get it back"


def _search_trial(record: RunRecord, trial: TrialRecord) -> str:
    for event in record.events:
        if (
            event.event == "won"
            and event.method == trial.method
            and cell_protocol(trial) in protocols.part_names(event.protocol)
        ):
            return event.trial or ""
    return ""


def _data_argument(record: RunRecord) -> str:
    data = record.spec.get("data", "")
    return data if isinstance(data, str) else json.dumps(data)


def _notes(record: RunRecord) -> list[str]:
    notes = []
    workers = record.spec.get("resources", {}).get("workers", 1)
    if workers != 1:
        notes.append(f"each trial was trained by {workers} workers; one process gives the same numbers up to rounding")
    drivers = [event.versions for event in record.events if isinstance(event, Opened)]
    if any(versions != drivers[-1] for versions in drivers):
        notes.append("its drivers ran different versions; those of the last are shown")
    return [*notes, *remarks(record)]


def _known(value: float) -> float | None:
    return None if value != value else value


def _percent(mean: float, std: float | None = None) -> str:
    return f"{100 * mean:.2f}" + (f" ± {100 * std:.2f}" if std is not None else "")
