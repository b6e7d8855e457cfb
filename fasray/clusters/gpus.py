"""Checks of the GPUs of this machine: driver, memory, MPS, and which share of a card trials get."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fasray.clusters.diagnosis import Diagnosis, note, ok, problem
from fasray.execution.hardware import driver_version, mps_runs
from fasray.execution.memory_file import measurements
from fasray.execution.shares import trials_per_card
from fasray.sweep.spec import ResourcesSpec

_GIB = 2**30


def check_gpus(install: str) -> list[Diagnosis]:
    """Check which GPUs torch can use, and whether there is one that it cannot.

    Args:
        install: command that installs fasray's dependencies.
    """
    try:
        import torch
    except ImportError as error:
        return [problem("GPUs", f"torch cannot be imported: {error}", install)]
    driver = bool(driver_version()) or Path("/dev/nvidia0").exists()
    if torch.cuda.is_available():
        found = [ok("GPU driver", f"{driver_version() or 'unknown'}, for torch of CUDA {torch.version.cuda}")]
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            free, total = torch.cuda.mem_get_info(number)
            found.append(ok(f"GPU {number}", f"{facts.name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free"))
        return [*found, check_mps(os.environ), *check_shares(measurements())]
    if driver and torch.version.cuda is None:
        message = f"there is an NVIDIA driver, but torch {torch.__version__} is a build without CUDA"
        return [problem("GPUs", message, "install a CUDA build of torch, see pytorch.org")]
    if driver:
        message = f"there is an NVIDIA driver, but torch {torch.__version__} (CUDA {torch.version.cuda}) cannot use it"
        return [problem("GPUs", message, "run nvidia-smi; the driver may be too old for this CUDA, or the GPU hidden")]
    return [note("GPUs", "none: trials run on the CPU", "use profile small or quick, or a machine with a GPU")]


def check_mps(environ: Mapping[str, str]) -> Diagnosis:
    """Check whether NVIDIA's MPS serves this machine, which only matters where trials share a card."""
    if mps_runs(environ):
        return ok("MPS", "its control daemon runs: trials that share a card compute at the same time")
    remedy = "start `nvidia-cuda-mps-control -d` before Ray, as the files in cluster/ do; or leave it so"
    return note("MPS", "not running: trials that share a card take turns", remedy)


def check_shares(measured: Iterable[Mapping[str, Any]]) -> list[Diagnosis]:
    """Say which share of a card trials of each method get, by the most that was measured on this machine."""
    peaks: dict[tuple[str, int], dict[str, int]] = {}
    for entry in measured:
        methods = peaks.setdefault((str(entry["card"]), int(entry["card_bytes"])), {})
        methods[entry["method"]] = max(int(entry["peak_bytes"]), methods.get(entry["method"], 0))
    most = ResourcesSpec().most_per_gpu
    return [
        ok(
            "GPU shares",
            f"{card}, at most {most} trials a card: "
            + ", ".join(
                f"{method} {_share(trials_per_card(peak, size, most))} ({peak / _GIB:.1f} GiB)"
                for method, peak in sorted(methods.items())
            ),
        )
        for (card, size), methods in sorted(peaks.items())
    ]


def _share(trials: int) -> str:
    return f"1/{trials}" if trials > 1 else "whole"
