"""Which initial weights the trials of a run start from: ``weights.json`` next to the run's copies of them.

Runs made before it existed have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fasray import storage
from fasray.errors import DataError
from fasray.runs.layout import WEIGHTS_FILE, weights_folder


class UsedWeights(BaseModel):
    """The initial weights of the trials of one method and backbone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    backbone: str | None
    """As the configuration has it; None where it has none, or its default."""
    architecture: str
    """Name of the network that starts from these weights."""
    weights: str
    """As the sweep file has it: ``imagenet``, or a path or URI."""
    sha256: str | None
    """Of the file that the run's copy was made of; None if it is not known."""
    copy_file: str
    """Name of the run's copy, next to this file."""
    copy_sha256: str

    def __str__(self) -> str:
        return f"{self.architecture} from {self.weights}, sha256 {self.sha256 or 'not recorded'}"

    @property
    def key(self) -> tuple[str, str | None]:
        """What a trial must have to start from these weights."""
        return self.method, self.backbone


_LIST = TypeAdapter(tuple[UsedWeights, ...])


def read_weights(run: str) -> dict[tuple[str, str | None], UsedWeights]:
    """Return what is on record, by method and backbone.

    Raises:
        DataError: the record is damaged.
    """
    uri = storage.join(weights_folder(run), WEIGHTS_FILE)
    if not storage.exists(uri):
        return {}
    try:
        return {entry.key: entry for entry in _LIST.validate_json(storage.read_bytes(uri))}
    except ValidationError as error:
        raise DataError("this record of initial weights is damaged", where=uri) from error


def write_weights(run: str, entries: Iterable[UsedWeights]) -> None:
    """Put the initial weights of a run on record."""
    ordered = tuple(sorted(entries, key=lambda entry: (entry.method, entry.backbone or "")))
    storage.write_bytes(storage.join(weights_folder(run), WEIGHTS_FILE), _LIST.dump_json(ordered, indent=1))


def weights_of_trial(run: str, method: str, config: Mapping[str, Any]) -> UsedWeights | None:
    """Return the initial weights of a trial of this method and configuration; None if none are on record.

    A default backbone may be in the configuration or not.
    """
    found, backbone = read_weights(run), config.get("backbone")
    by_architecture = {entry.architecture: entry for entry in found.values() if entry.method == method}
    return found.get((method, backbone)) or by_architecture.get(str(backbone))


def changed_copies(run: str) -> dict[str, str]:
    """Compare each copy with its record; return what is wrong by the copy's name.

    Raises:
        DataError: the record is damaged.
    """
    recorded = {entry.copy_file: entry.copy_sha256 for entry in read_weights(run).values()}
    found: dict[str, str] = {}
    for name, sha256 in recorded.items():
        uri = storage.join(weights_folder(run), name)
        if not storage.exists(uri):
            found[name] = "the run's copy of these initial weights is missing"
        elif hashlib.sha256(storage.read_bytes(uri)).hexdigest() != sha256:
            found[name] = "the run's copy of these initial weights has been changed"
    return found
