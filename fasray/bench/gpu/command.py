"""``fasray bench gpu-check``: all parts that need no Ray, on one device."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from fasray.bench.gpu.check import Check, run_checks
from fasray.bench.gpu.numbers import Correctness, Resume
from fasray.bench.gpu.record import Record
from fasray.bench.gpu.speed import Compiled, Prices, Residence, Sharing, Speed, Waiting
from fasray.bench.gpu.workplace import FULL, MINIATURE, Workplace, device_facts, software
from fasray.bench.training import bench_device
from fasray.errors import SpecError, did_you_mean
from fasray.methods import registry

CHECKS = (Correctness, Resume, Speed, Waiting, Prices, Sharing, Residence, Compiled)
"""The most valuable first: what comes late may find no time left."""


def gpu_check(
    folder: Path,
    *,
    minutes: float = 8.0,
    device: str = "auto",
    methods: Sequence[str] = (),
    parts: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Record:
    """Check one device; the record and its page are in ``folder`` after every step of it.

    Args:
        folder: for ``gpu-check.json`` and ``gpu-check.md``.
        minutes: time allowed.
        device: ``cuda``, ``cpu`` (in miniature) or ``auto``: CUDA where torch finds it.
        methods: names; empty for all.
        parts: names of parts; empty for all.
        say: called with what begins.

    Raises:
        SpecError: no such method, part or device.
    """
    chosen = bench_device(device)
    for name in methods:
        registry.get(name)
    known = {check.name: check for check in CHECKS}
    for name in parts:
        if name not in known:
            raise SpecError(f"there is no part {name!r}", where="--parts", remedy=did_you_mean(name, known))
    sizes = FULL if chosen.type == "cuda" else MINIATURE
    with tempfile.TemporaryDirectory(prefix="fasray-gpu-check-") as scratch:
        place = Workplace(chosen, sizes, Path(scratch))
        record = Record(
            check="gpu-check",
            minutes=minutes,
            device=device_facts(chosen),
            versions=software(),
            setting={
                "speed and memory": ", ".join(f"{key} {value}" for key, value in sizes.speed.items()),
                "numbers": ", ".join(f"{key} {value}" for key, value in sizes.numbers.items()),
                "seconds a repetition": sizes.seconds,
                "repetitions": sizes.repetitions,
                "pictures an evaluation": sizes.scored,
                "CPU threads": 1,
            },
        )
        checks: list[Check] = [check(place) for name, check in known.items() if not parts or name in parts]
        return run_checks(record, checks, list(methods) or list(registry.names()), folder, say)
