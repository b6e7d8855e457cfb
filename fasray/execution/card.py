"""The card of a trial's process: the process sees what Ray has assigned to it, and takes no more than its share."""

from __future__ import annotations

import os
from collections.abc import Sequence

import ray
import torch

from fasray.errors import SpecError
from fasray.execution.shares import CONTEXT_BYTES

_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")


def show_assigned_gpus() -> None:
    """Let this process see the GPUs that Ray has assigned to it, and no others; call it before torch looks for any.

    Ray leaves a process without GPUs whatever its node's environment names.
    """
    if ray.is_initialized():
        show_gpus(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))


def show_gpus(ids: Sequence[str]) -> None:
    """Let this process see these GPUs, and no others."""
    for name in _VISIBLE:
        os.environ[name] = ",".join(ids)


def limit_memory(device: str, share: float) -> None:
    """Let this process take no more of its card than its share, so that it disturbs no other; and count anew.

    Args:
        device: ``cpu`` or ``cuda``.
        share: of the card; 1 and more: all of it.

    Raises:
        SpecError: torch cannot use the card.
    """
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise SpecError(
            f"this trial holds a GPU, and torch {torch.__version__} finds none on its node",
            where="key resources.gpus_per_worker",
            remedy="install a CUDA build of torch that fits the node's driver (`fasray doctor` there shows it), or set "
            "resources.gpus_per_worker: 0",
        )
    torch.cuda.reset_peak_memory_stats()
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.set_per_process_memory_fraction(1.0 if share >= 1 else max(share - CONTEXT_BYTES / total, share / 2))


def peak_bytes(device: str) -> int:
    """Return the most bytes of the card that torch has held in this process since :func:`limit_memory`; 0 on a CPU."""
    return torch.cuda.max_memory_reserved() if device != "cpu" and torch.cuda.is_available() else 0
