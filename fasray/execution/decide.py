"""Decides what a sweep file leaves open, before the sweep is planned."""

from __future__ import annotations

import os
from collections.abc import Callable

from fasray.execution.autoscaler import CLUSTER_FILE_VARIABLE, ClusterCapacity, current_capacity, initial_capacity
from fasray.execution.capacity import demand_of, workers_on
from fasray.execution.hardware import card_kinds, gpus_here
from fasray.execution.listener import Listener
from fasray.execution.ray_session import is_private, ray_session
from fasray.faces.data_source import is_generated_choice
from fasray.runs.ledger import naming_out
from fasray.runs.record import recorded_spec
from fasray.sweep.auto import needs_hardware, resolve_auto
from fasray.sweep.profiles import AUTO
from fasray.sweep.spec import SweepSpec


def decide(spec: SweepSpec, run: str, listener: Listener, has_gpus: Callable[[], bool]) -> SweepSpec:
    """Return the specification with nothing left open; each choice goes to ``listener.on_stage``.

    Args:
        spec: as it was read.
        run: run directory; what an earlier driver decided there is kept.
        listener: of the sweep.
        has_gpus: asked only if the answer makes a difference.

    Raises:
        SpecError: see :func:`resolve_auto`; or the store of the run does not answer, or does not let us in.
        DataError: a file of the run is damaged.
    """
    with naming_out(run):
        recorded = recorded_spec(run)
    known = has_gpus() if needs_hardware(spec, recorded) else None
    resolved = resolve_auto(spec, has_gpus=known, environ=os.environ, recorded=recorded)
    for choice in resolved.choices:
        listener.on_stage(choice)
    if spec.data == AUTO and is_generated_choice(resolved.spec.data) and not is_private():
        listener.on_stage(
            "warning: faces are generated on this machine; nodes that do not share its disk cannot read them"
        )
    return resolved.spec


def machine_has_gpus() -> bool:
    """Return whether torch finds GPUs on this machine; makes no CUDA context."""
    return gpus_here() > 0


def session_has_gpus(listener: Listener, verbose: bool = False) -> bool:
    """Return whether a sweep started here gets GPUs: this machine's, or those that the cluster has or may add."""
    if is_private():
        return machine_has_gpus()
    with ray_session(verbose):
        capacity = initial_capacity(_has_cards)
    found = bool(card_kinds(capacity))
    if not found and capacity.autoscales and capacity.limits is None:
        listener.on_stage(
            "warning: no node has a GPU now, and which nodes the autoscaler may add is not known: if some have GPUs, "
            f"stop this sweep and set {CLUSTER_FILE_VARIABLE} to the file that the cluster was made with"
        )
    return found


def session_capacity(spec: SweepSpec) -> ClusterCapacity:
    """Return the capacity of the Ray of this session, for a sweep."""
    if is_private():
        return current_capacity()
    if spec.resources.gpus_per_worker == "auto":
        return initial_capacity(_has_cards)
    demand = demand_of(spec)
    return initial_capacity(lambda capacity: workers_on(capacity.alive, demand) >= demand.workers)


def _has_cards(capacity: ClusterCapacity) -> bool:
    return any(node.get("GPU", 0) > 0 for node in capacity.alive)
