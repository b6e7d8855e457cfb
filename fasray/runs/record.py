"""A run read from its files: specification, data, every trial; finished or not."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import yaml

from fasray import storage
from fasray.errors import DataError
from fasray.faces.sets.manifest import is_generated
from fasray.runs.event_log import read_events
from fasray.runs.events import Closed, Event, Opened, Placed, TrialRecord, Won, trials_of
from fasray.runs.layout import DATA_FILE, SPEC_FILE, score_file, trial_folder


@dataclass(frozen=True)
class DataFacts:
    """What a run remembers of its data."""

    manifest_hash: str
    rows: int
    image_size: int
    card: Mapping[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """A run read from its files."""

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

    @cached_property
    def cell_trials(self) -> list[TrialRecord]:
        """Every trial, once for each protocol that it serves: one row of the tables is made of one of them."""
        return [of_protocol for trial in self.trials for of_protocol in trial.by_protocol()]

    def scores_target(self, trial: TrialRecord) -> bool:
        """Return whether a trial of this run scored the target; search trials do only if the sweep asked for it."""
        return trial.stage != "search" or bool(self.spec.get("search", {}).get("score_target", True))

    @cached_property
    def sealed(self) -> bool:
        """Whether search trials left out the target, so that nothing can be chosen among them by it."""
        return not all(map(self.scores_target, self.trials))

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the latest driver."""
        return next((event.versions for event in reversed(self.events) if isinstance(event, Opened)), {})

    @property
    def confirmed(self) -> list[TrialRecord]:
        """The confirming runs that reached their full budget, once for each protocol that they serve."""
        return [trial for trial in self.cell_trials if trial.stage == "confirm" and trial.status == "done"]

    @cached_property
    def devices(self) -> Mapping[str, int]:
        """Number of trials by what they were computed on, ``cpu`` or a card's name, as far as that is recorded."""
        used = ({reading.device for reading in trial.readings if reading.device} for trial in self.trials)
        return Counter(device for devices in used for device in sorted(devices))

    @property
    def generated(self) -> bool:
        """Whether the faces were generated, so that scores on them are no evidence about real ones."""
        return is_generated(self.data.card)

    @property
    def spec_text(self) -> str:
        """The specification as YAML, for people to read."""
        return str(yaml.safe_dump(dict(self.spec), sort_keys=False, allow_unicode=True))

    def subset(self, trials: Collection[str]) -> RunRecord:
        """Return the run as if it had only the trials of these ids."""
        of_run = Opened | Placed | Won | Closed
        own = (event for event in self.events if isinstance(event, of_run) or event.trial in trials)
        return replace(self, events=tuple(own))

    def score_uri(self, trial: str, step: int) -> str:
        """Return the score file of one evaluation."""
        return score_file(trial_folder(self.uri, trial), step)


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Return a short SHA-256 over what decides a sweep's numbers."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


_SPEC_KEYS = ("data", "protocols", "methods", "search", "scheduler", "confirm", "training", "resources")
"""What every specification has; where one is missing, the file was cut."""


def read_run(run: str) -> RunRecord:
    """Read a run, finished or not.

    Raises:
        DataError: this is not a run directory, or a file of it is damaged.
    """
    head = read_head(run)
    return replace(head, events=tuple(read_events(run)))


def recorded_spec(run: str) -> Mapping[str, Any] | None:
    """Return the specification that a run was started with; None if there is no run yet.

    Raises:
        DataError: a file of the run is damaged.
        StorageError: the store does not answer, or does not let us in.
    """
    storage.check_access(run)
    return read_head(run).spec if storage.exists(storage.join(run, SPEC_FILE)) else None


def read_head(run: str) -> RunRecord:
    """Read all of a run but its events."""
    storage.check_access(run)
    if not storage.exists(storage.join(run, SPEC_FILE)):
        raise DataError("this is not a run directory", where=run, remedy="name the folder that `fasray sweep` wrote")
    with _naming_damage(storage.join(run, SPEC_FILE)):
        stored = yaml.safe_load(storage.read_bytes(storage.join(run, SPEC_FILE)))
        spec, spec_hash, name = dict(stored["sweep"]), str(stored["hash"]), str(stored["sweep"]["name"])
        for key in _SPEC_KEYS:
            spec[key]
    with _naming_damage(storage.join(run, DATA_FILE)):
        data = DataFacts(**json.loads(storage.read_bytes(storage.join(run, DATA_FILE))))
    return RunRecord(uri=run, name=name, spec=spec, spec_hash=spec_hash, data=data, events=())


@contextmanager
def _naming_damage(uri: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(
            "this file of the run is damaged", where=uri, remedy="restore it from a copy, or start the sweep again"
        ) from error
