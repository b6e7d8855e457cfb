"""Which cards there are, and will be: on this machine, or in a Ray session; nothing here makes a CUDA context."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fasray.cores import usable_cores
from fasray.errors import SpecError
from fasray.execution.capacity import Demand, accelerator

if TYPE_CHECKING:
    from fasray.execution.autoscaler import ClusterCapacity

LOGICAL_GPUS_VARIABLE = "FASRAY_LOGICAL_GPUS"
_DRIVER_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Of NVIDIA, of AMD, and of either under Windows."""
_NVIDIA_VERSION = Path("/proc/driver/nvidia/version")
_MPS_FOLDER_VARIABLE, _MPS_FOLDER = "CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"  # noqa: S108 - NVIDIA's default
_GIB = 2**30


@dataclass(frozen=True)
class CardKind:
    """Cards of one kind in a cluster, or that its autoscaler may add."""

    name: str
    """As Ray names it; empty if the nodes do not say."""
    cards: int
    """That are there now."""
    cores: float
    """CPU cores for each card, of the node that has fewest."""


@dataclass(frozen=True)
class LogicalGpus:
    """What tests say of cards that are not there: trials that hold one compute on the CPU."""

    card_bytes: Mapping[str, int]
    """Memory by kind of card."""
    peak_bytes: Mapping[str, int]
    """What a trial takes, by method."""

    def memory(self, kind: str) -> int:
        """Return the bytes of a card; 16 GiB if nothing is said."""
        return self.card_bytes.get(kind, 16 * _GIB)

    def peak(self, method: str) -> int:
        """Return the bytes that a trial takes; 2 GiB if nothing is said."""
        return self.peak_bytes.get(method, 2 * _GIB)


def logical_gpus() -> LogicalGpus | None:
    """Return what ``$FASRAY_LOGICAL_GPUS`` says; None if it is not set.

    It is ``1``, or a JSON object with ``card_gib`` (by kind of card) and ``peak_gib`` (by method).

    Raises:
        SpecError: it is neither.
    """
    text = os.environ.get(LOGICAL_GPUS_VARIABLE, "")
    if text in ("", "0"):
        return None
    try:
        given = {} if text == "1" else dict(json.loads(text))
        sizes = [{k: int(v * _GIB) for k, v in given.pop(key, {}).items()} for key in ("card_gib", "peak_gib")]
        if given:
            raise ValueError(f"unknown key {min(given)!r}")
    except (ValueError, TypeError, AttributeError) as error:
        raise SpecError(
            f"not a description of logical GPUs: {error}",
            where=LOGICAL_GPUS_VARIABLE,
            remedy='unset it: it is for tests only. They write 1, or {"card_gib": {"T4": 16}, "peak_gib": {"erm": 3}}',
        ) from error
    return LogicalGpus(*sizes)


def gpus_here() -> int:
    """Return how many GPUs torch finds on this machine."""
    if not any(Path(file).exists() for file in _DRIVER_FILES):
        return 0
    import torch

    return torch.cuda.device_count()


def driver_version(file: Path = _NVIDIA_VERSION) -> str:
    """Return the version of NVIDIA's driver, empty if it is not known."""
    match = re.search(r"Kernel Module.*?\s(\d+\.\d[\d.]*)\s", file.read_text()) if file.exists() else None
    return match[1] if match else ""


def mps_runs(environ: Mapping[str, str]) -> bool:
    """Return whether the control daemon of NVIDIA's MPS serves this machine."""
    return (Path(environ.get(_MPS_FOLDER_VARIABLE, _MPS_FOLDER)) / "control").exists()


def this_machine() -> dict[str, float]:
    """Return the resources of this machine, as Ray names them."""
    gpus = gpus_here()
    return {"CPU": float(usable_cores()), **({"GPU": float(gpus)} if gpus else {})}


def card_kinds(capacity: ClusterCapacity) -> tuple[CardKind, ...]:
    """Return the kinds of cards that a cluster has or may get, those with most cards first.

    Nodes that an autoscaler has not started yet may not say which cards they have; where all nodes with cards can be of
    one kind, they are taken to be.
    """
    groups = [group.resources for group in capacity.limits.groups] if capacity.limits else []
    there, promised = _by_kind(capacity.alive), _by_kind(groups)
    unnamed = promised.pop("", [])
    if unnamed and len({**there, **promised}) == 1 and len(unnamed) == 1:
        unnamed = []
    found = [
        CardKind(name, sum(cards for cards, _ in there.get(name, ())), min(cores for _, cores in nodes))
        for name in {**there, **promised, **({"": 0} if unnamed else {})}
        if (nodes := [*there.get(name, ()), *promised.get(name, ()), *(unnamed if not name else ())])
    ]
    return tuple(sorted(found, key=lambda kind: (-kind.cards, kind.name)))


def _by_kind(nodes: Iterable[Mapping[str, float]]) -> dict[str, list[tuple[int, float]]]:
    """Return the number of cards, and of cores for each, of every node that has cards, by kind of card."""
    found: dict[str, list[tuple[int, float]]] = {}
    for node in nodes:
        if cards := int(node.get("GPU", 0)):
            kind = next((name for name in node if name.startswith(accelerator(""))), accelerator(""))
            found.setdefault(kind.removeprefix(accelerator("")), []).append((cards, node.get("CPU", 0.0) / cards))
    return found


def device_for(demand: Demand) -> str:
    """Return the device that a trial of this demand computes on."""
    return "cuda" if demand.gpus and logical_gpus() is None else "cpu"
