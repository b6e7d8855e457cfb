"""The ``sweep.yaml`` of a run, which holds the canonical form of its specification, read as a sweep file again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fasray.errors import SpecError
from fasray.sweep.profiles import PROFILES
from fasray.sweep.spec import SweepSpec
from fasray.validation import same_values


def is_of_a_run(values: object) -> bool:
    """Return whether the values of a file are those that a run keeps."""
    return isinstance(values, Mapping) and values.keys() == {"hash", "sweep"} and isinstance(values["sweep"], Mapping)


def as_sweep_file(stored: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return what a sweep file would say that gives this run.

    Args:
        stored: the content of the run's file.
        file: its name, for messages.

    Raises:
        SpecError: this version makes another sweep of it.
    """
    wanted = stored["sweep"]
    for own_training in (True, False):
        try:
            values = _sweep_file(wanted, own_training)
            if same_values(wanted, SweepSpec.model_validate(values).identity()):
                return values
        except (SpecError, ValidationError, KeyError, TypeError, AttributeError):
            continue
    raise SpecError(
        "this version cannot make a sweep of what the run has noted",
        where=file,
        remedy="name the sweep file that the run was started with",
    )


def _sweep_file(wanted: Mapping[str, Any], own_training: bool) -> dict[str, Any]:
    """Write a canonical form as a file; ``own_training``: leave out of the training section what its profile gives."""
    profile = wanted["training"]["profile"]
    plain: Mapping[str, Any] = {}
    if own_training and profile in PROFILES:
        bare = {"name": "x", "data": "x", "protocols": ["x"], "methods": ["erm"], "training": {"profile": profile}}
        plain = SweepSpec.model_validate(bare).canonical()["training"]
    training = {key: value for key, value in wanted["training"].items() if key not in plain or value != plain[key]}
    resources = {key: value for key, value in wanted["resources"].items() if (key, value) != ("cpus_per_worker", 1)}
    methods = {
        name: {
            "space": entry["space"],
            "config": {key: value for key, value in entry["config"].items() if key not in entry["space"]},
            "budget": entry["budget"],
            "ablations": entry.get("ablations", {}),
        }
        for name, entry in wanted["methods"].items()
    }
    rest = {"training": {**training, "profile": profile}, "resources": resources, "methods": methods}
    return {**wanted, **_decisions(wanted), **rest}


def _decisions(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return scheduler and search; what a run of before does not name had no other value then."""
    scheduler, search = wanted["scheduler"], wanted["search"]
    if isinstance(scheduler, Mapping):
        scheduler = {"asha": {"order": "arrival", **scheduler["asha"]}}
    lag = {"lag": None} if search["algorithm"] == "hyperopt" else {}
    return {"scheduler": scheduler, "search": {"per": "cell", "score_target": True, **lag, **search}}
