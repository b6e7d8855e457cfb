"""What the files of a trial were when they were written: SHA-256 by name, in ``files.json`` next to them.

``fasray verify`` compares a run with it. Runs made before it existed have none, which is reported and not an error.
"""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, ValidationError

from fasray import storage
from fasray.errors import DataError
from fasray.runs.layout import CHECKSUM_FILE, checkpoint_file, score_file


class Files(BaseModel):
    """SHA-256 of what each evaluation left, by step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: dict[int, str] = {}
    checkpoints: dict[int, str] = {}
    """Of the weights (safetensors); all are on record, though only the newest and the best are kept."""


def read_files(trial_dir: str) -> Files | None:
    """Return what is on record, ``None`` if nothing is.

    Raises:
        DataError: the record is damaged.
    """
    uri = storage.join(trial_dir, CHECKSUM_FILE)
    if not storage.exists(uri):
        return None
    try:
        return Files.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        raise DataError("this record of a trial's files is damaged", where=uri) from error


def record_files(trial_dir: str, step: int, *, renew: bool) -> None:
    """Put the score file and the checkpoint of an evaluation on record.

    Args:
        trial_dir: folder of the trial.
        step: the evaluation.
        renew: take the files as they are now; else what is on record already stays as it is.
    """
    try:
        known = read_files(trial_dir) or Files()
    except DataError:
        known = Files()
    if not renew and step in known.scores:
        return
    scores = hashlib.sha256(storage.read_bytes(score_file(trial_dir, step))).hexdigest()
    card = checkpoint_file(trial_dir, step, "json")
    # The card names the hash of its weights, so they need not be read.
    weights = {step: str(json.loads(storage.read_bytes(card))["sha256"])} if storage.exists(card) else {}
    found = Files(
        scores=dict(sorted({**known.scores, step: scores}.items())),
        checkpoints=dict(sorted({**known.checkpoints, **weights}.items())),
    )
    storage.write_bytes(storage.join(trial_dir, CHECKSUM_FILE), found.model_dump_json(indent=1).encode())
