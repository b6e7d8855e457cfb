"""How many trials a cluster holds at once, counted node by node: a worker cannot be split over two.

Pure arithmetic, without Ray: ``fasray.execution.autoscaler`` finds out which nodes there are, and may be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fasray.cores import usable_cores
from fasray.errors import SpecError

if TYPE_CHECKING:
    from fasray.sweep.spec import SweepSpec

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Demand:
    """Resources that one trial holds while it runs."""

    workers: int
    cpus: float
    """Of each worker; below 1 where a node has more GPUs than cores."""
    gpus: float
    """Of each worker; fractions share one."""
    data_cpus: int = 0
    """That read for each worker, on its node or any other."""
    kind: str = ""
    """Of the cards, as Ray names it; empty: any."""

    @property
    def of_worker(self) -> dict[str, float]:
        """Resources of one worker, as Ray wants them."""
        gpus = {"GPU": self.gpus} if self.gpus else {}
        kind = {accelerator(self.kind): 0.001} if self.kind else {}
        return {"CPU": self.cpus, **gpus, **kind}

    def __str__(self) -> str:
        kind = f" {self.kind}" if self.kind else ""
        each = f"{self.cpus:g} CPUs" + (f" and {self.gpus:g}{kind} GPUs" if self.gpus else "")
        each += f" and {self.data_cpus} CPUs to read for it" if self.data_cpus else ""
        return f"{self.workers} workers of {each} each" if self.workers > 1 else each


def accelerator(kind: str) -> str:
    """Return the resource that Ray gives to nodes with cards of a kind."""
    return f"accelerator_type:{kind}"


def workers_on(nodes: Iterable[Mapping[str, float]], demand: Demand) -> int:
    """Return how many workers fit on the nodes together, with the CPUs that read for them.

    Args:
        nodes: resources of each node, ``CPU`` and ``GPU`` among them.
        demand: of one trial.
    """
    nodes = list(nodes)
    placed = sum(_workers_on_one(node, demand) for node in nodes)
    cores = sum(int(node.get("CPU", 0)) for node in nodes)
    return min(placed, int(cores / (demand.cpus + demand.data_cpus))) if demand.data_cpus else placed


def concurrent_trials(nodes: Iterable[Mapping[str, float]], demand: Demand) -> int:
    """Return how many whole trials fit on the nodes together; a trial's workers may be on different nodes."""
    return workers_on(nodes, demand) // demand.workers


def check_fits(nodes: Iterable[Mapping[str, float]], demand: Demand) -> None:
    """Refuse a demand that does not fit on the nodes.

    Raises:
        SpecError: with what is missing.
    """
    nodes = list(nodes)
    fit = workers_on(nodes, demand)
    if fit >= demand.workers:
        return
    there = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes[:4]) or "nothing"
    raise SpecError(
        f"one trial needs {demand}; there is room for at most {fit} of {demand.workers} workers on "
        f"{len(nodes)} nodes with {there}{' ...' if len(nodes) > 4 else ''}",
        where="key resources",
        remedy="lower resources.workers, cpus_per_worker or gpus_per_worker, or use a larger cluster",
    )


def demand_of(spec: SweepSpec) -> Demand:
    """Return what one trial of a sweep holds."""
    resources = spec.resources
    gpus = 0.0 if resources.gpus_per_worker == "auto" else resources.gpus_per_worker
    return Demand(resources.workers, resources.threads, gpus, spec.data_cpus)


def local_slots(spec: SweepSpec) -> int:
    """Return how many trials of a sweep run at once on the cores of this machine, at least 1; GPUs are not counted."""
    fitting = max(concurrent_trials([_this_machine()], replace(demand_of(spec), gpus=0.0)), 1)
    limit = spec.resources.max_concurrent
    return fitting if limit == "auto" else min(fitting, limit)


def check_fits_this_machine(demand: Demand) -> None:
    """Refuse a demand that does not fit on this machine, before a private Ray starts; Ray itself finds the GPUs."""
    check_fits([_this_machine()], replace(demand, gpus=0.0))


def _this_machine() -> dict[str, float]:
    return {"CPU": float(usable_cores())}


def _workers_on_one(node: Mapping[str, float], demand: Demand) -> int:
    if demand.kind and accelerator(demand.kind) not in node:
        return 0
    by_cpu = int((node.get("CPU", 0) + _ROUNDING) / demand.cpus)
    if not demand.gpus:
        return by_cpu
    cards, rest = divmod(node.get("GPU", 0) + _ROUNDING, 1)
    if demand.gpus >= 1:
        return min(by_cpu, int(cards // demand.gpus))
    return min(by_cpu, int(cards) * int(1 / demand.gpus + _ROUNDING) + int((rest + _ROUNDING) / demand.gpus))
