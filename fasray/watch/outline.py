"""What a run will hold when it is done, as far as its specification says so: no data, method or plan is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fasray import protocols
from fasray.errors import FasrayError
from fasray.runs.schedule import evaluation_steps, rung_steps
from fasray.sweep.profiles import PROFILES


@dataclass(frozen=True)
class CellOutline:
    """One method on one protocol, or on several that share their sources."""

    method: str
    protocol: str
    steps: tuple[int, ...]
    """Optimizer steps at which its trials are evaluated, ascending; the last one is the full budget."""
    rungs: tuple[int, ...]
    """Of these, the steps at which search trials may be stopped early."""
    asha: Mapping[str, Any] | None
    """As the specification has it; None if nothing is stopped early."""
    searches: int
    """Search trials; 0 if there is nothing to search."""
    seeds: int
    """Confirming runs of the winner."""
    ablations: Mapping[str, Mapping[str, Any]]
    """Changes of the winner's configuration that are confirmed too, by name."""
    inner: int
    """Inner trials of each confirming run."""

    def confirms(self, winner: Mapping[str, Any] | None = None) -> int:
        """Return the trials that follow the search; an ablation that changes nothing of a ``winner`` is not run."""
        if winner is None:
            return self.seeds * (1 + len(self.ablations)) * (1 + self.inner)
        different: list[Mapping[str, Any]] = [winner]
        for changes in self.ablations.values():
            if (variant := {**winner, **changes}) not in different:
                different.append(variant)
        return self.seeds * len(different) * (1 + self.inner)


def outline(spec: Mapping[str, Any]) -> list[CellOutline]:
    """Return the cells that a specification plans; none where this version cannot tell.

    Args:
        spec: as a run's ``sweep.yaml`` has it, of this version or an older one.
    """
    try:
        return list(_cells(spec))
    except (FasrayError, KeyError, TypeError, ValueError, AttributeError):
        return []


def _cells(spec: Mapping[str, Any]) -> Iterator[CellOutline]:
    names = protocols.names_in_order(spec["protocols"])
    planned = [protocols.parse(name, spec.get("target_split", "train+test")) for name in names]
    if spec["search"].get("per", "cell") == "sources":
        planned = protocols.with_same_sources(planned)
    scheduler, confirm = spec["scheduler"], spec["confirm"]
    asha = scheduler["asha"] if isinstance(scheduler, Mapping) else None
    for method, entry in spec["methods"].items():
        training = {**spec["training"], **entry.get("training", {}), **entry["budget"]}
        steps = evaluation_steps(training["steps"], training["evaluations"])
        for protocol in planned:
            yield CellOutline(
                method=method,
                protocol=protocol.name,
                steps=steps,
                rungs=() if asha is None else rung_steps(steps, asha["grace"], asha["reduction"]),
                asha=asha,
                searches=_searches(entry, spec["search"], spec["training"].get("profile", "")),
                seeds=len(confirm["seeds"]),
                ablations=entry.get("ablations", {}),
                inner=len(protocol.domains) if confirm.get("leave_one_source_out") else 0,
            )


def _searches(entry: Mapping[str, Any], search: Mapping[str, Any], profile: str) -> int:
    """Return the number of search trials that ``fasray.sweep.search`` makes: the paper's own setting is the first."""
    space, config = entry["space"], entry["config"]
    grid = search["algorithm"] == "grid"
    listed = {name: ranges.get("grid") or ranges.get("choice") for name, ranges in space.items()}
    crossed = {name for name, ranges in space.items() if grid or "grid" in ranges}
    drawn = {name: listed[name] for name in space if name not in crossed}
    found = math.prod(len(values) for name, values in listed.items() if name in crossed and values)
    if drawn:
        most = math.prod(len(values) if values else math.inf for values in drawn.values())
        found *= int(min(search["trials_per_cell"], most))
    found += any(config.get(name) not in (listed[name] or ()) for name in crossed)
    limit = PROFILES[profile].most_search_trials if profile in PROFILES else None
    found = min(found, limit or found)
    return found if found > 1 else 0
