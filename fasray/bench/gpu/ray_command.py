"""``fasray bench gpu-check-ray``: the same device under whole sweeps, through Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fasray.bench.gpu.check import run_checks
from fasray.bench.gpu.head import ray_head
from fasray.bench.gpu.record import Record
from fasray.bench.gpu.sweeps import AtOnce, Killed, Methods, Sweeps, summary_of
from fasray.bench.gpu.workplace import device_facts, software
from fasray.bench.training import bench_device
from fasray.methods import registry

_FULL = {"profile": "full", "steps": 40, "evaluations": 2}
_MINIATURE = {"profile": "smoke", "image_size": 32, "width": 0.125, "steps": 4, "evaluations": 2}


def gpu_check_ray(
    folder: Path,
    *,
    minutes: float = 12.0,
    device: str = "auto",
    methods: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Record:
    """Check one device under sweeps on generated faces; the record and its page are in ``folder`` after each.

    Args:
        folder: for ``gpu-check-ray.json`` and ``gpu-check-ray.md``.
        minutes: time allowed, start of Ray and generating faces not counted.
        device: ``cuda``, ``cpu`` (in miniature, on one logical GPU) or ``auto``: CUDA where torch finds it.
        methods: names; empty for all.
        say: called with what begins.

    Raises:
        SpecError: no such method or device.
        RunFailedError: Ray does not start.
    """
    from fasray.faces.synthetic import generate

    chosen = bench_device(device)
    names = list(methods) or list(registry.names())
    for name in names:
        registry.get(name)
    training: dict[str, Any] = _FULL if chosen.type == "cuda" else _MINIATURE
    with tempfile.TemporaryDirectory(prefix="fasray-gpu-check-") as scratch:
        place = Path(scratch)
        say("generating faces")
        data = str(place / "faces")
        generate(data, subjects=4, domains="OCIM", image_size=int(training.get("image_size", 256)))
        spec = {
            "name": "gpu-check",
            "data": data,
            "protocols": ["O&C&I->M"],
            "methods": names,
            "search": {"algorithm": "random", "trials_per_cell": 2, "seed": 100},
            "scheduler": "fifo",
            "confirm": {"seeds": [0, 1]},
            "training": training,
        }
        record = Record(
            check="gpu-check-ray", minutes=minutes, device=device_facts(chosen), versions=software(),
            setting=summary_of(spec),
        )  # fmt: skip
        say("starting Ray")
        with ray_head(place, logical=chosen.type != "cuda") as env:
            sweeps = Sweeps(place, env, spec, timeout=60 * minutes)
            return run_checks(record, [AtOnce(sweeps), Methods(sweeps), Killed(sweeps)], names, folder, say)
