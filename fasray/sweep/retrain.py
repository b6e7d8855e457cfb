"""A trial that was trained before, as the sweep of that one trial: what ``fasray train --spec`` runs."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import ValidationError

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.protocols import TargetSplit, parse
from fasray.protocols.lists import copies_near
from fasray.sweep.spec import SweepSpec
from fasray.training.trial import Trial


def read_trial(uri: str) -> Trial:
    """Read the ``spec.json`` of a trial.

    Raises:
        DataError: there is no such file, or it is not a trial's.
    """
    try:
        return Trial.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise DataError(
            f"this is not the spec.json of a trial: {error.errors()[0]['msg']}",
            where=uri,
            remedy="name trials/<id>/spec.json of a run directory",
        ) from error


def sweep_of(trial: Trial, data: Any, spec_file: str = "") -> SweepSpec:
    """Return a sweep that consists of this trial, every setting written out.

    Args:
        trial: as its ``spec.json`` has it.
        data: the ``data`` key of a sweep file.
        spec_file: where the trial was read; copies of its protocol's lists are near.

    Raises:
        SpecError: the protocol's name means something else in this version.
    """
    return SweepSpec.model_validate(
        {
            "name": "train",
            "data": data,
            "ingest": trial.training.ingest,
            "protocols": [trial.protocol],
            "lists": copies_near(trial.protocol, spec_file),
            "target_split": _target_split(trial),
            "methods": {trial.method: {"space": {}, "config": dict(trial.config)}},
            "search": {"seed": 0 if trial.seed else 1, "per": "sources" if trial.target_split else "cell"},
            "scheduler": "fifo",
            "confirm": {"seeds": [trial.seed]},
            "training": {"profile": "full", **trial.training.model_dump(mode="json", exclude={"ingest"})},
        }
    )


def check_same(wanted: Trial, planned: Trial) -> None:
    """Make sure that what is about to be trained is the trial that was asked for.

    Raises:
        DataError: the data is not what the trial was trained on.
        SpecError: this version of the software makes another trial of the same settings.
    """
    if planned.data != wanted.data:
        raise DataError(
            f"the data is not what trial {wanted.id} was trained on: manifest {planned.data[:12]} instead of "
            f"{wanted.data[:12]}",
            where="--data",
            remedy="name the very same shards",
        )
    if planned.id != wanted.id:
        raise SpecError(
            f"this version makes trial {planned.id} of it, not {wanted.id}",
            where="--spec",
            remedy="check out the version that `fasray why` names",
        )


def _target_split(trial: Trial) -> TargetSplit:
    """Return the target split of a trial; of a trial of before, which does not keep it, what gives its fingerprint."""
    if trial.target_split and parse(trial.protocol, trial.target_split).source_fingerprint() == trial.fingerprint:
        return trial.target_split
    for split in () if trial.target_split else get_args(TargetSplit):
        if parse(trial.protocol, split).fingerprint() == trial.fingerprint:
            found: TargetSplit = split
            return found
    raise SpecError(
        f"{trial.protocol!r} is not the protocol any more that trial {trial.id} was trained on",
        where="--spec",
        remedy="check out the version that `fasray why` names",
    )
