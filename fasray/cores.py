"""How many CPU cores this process may use; ``os.cpu_count`` knows neither its affinity nor a container's quota."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")
_V1_NAMES = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def usable_cores(root: Path = _ROOT) -> int:
    """Return the whole cores that this process may use, at least 1.

    The least of what its affinity allows (``taskset``, a batch system, a container's set of cores) and of the quotas of
    its control group and all groups above it (``docker run --cpus``, a limit of Kubernetes), versions 1 and 2.

    Args:
        root: where ``proc`` and ``sys`` are mounted.
    """
    quotas = [int(quota) for quota in _quotas(root)]
    return max(1, min([len(os.sched_getaffinity(0)), *quotas]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores that each control group above this process has in a period."""
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, group = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            for folder in _groups(base, group):
                quota, _, period = _read(folder / "cpu.max").partition(" ")
                yield from _share(quota, period)
        elif "cpu" in controllers.split(","):
            for name in _V1_NAMES:
                for folder in _groups(base / name, group):
                    yield from _share(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _groups(base: Path, group: str) -> Iterator[Path]:
    """Yield the folder of a group, and those above it; inside a container its own group is the base."""
    folder = base / group.strip("/")
    while folder != base:
        yield folder
        folder = folder.parent
    yield base


def _share(quota: str, period: str) -> Iterator[float]:
    if quota.strip().isdigit() and period.strip().isdigit() and int(quota) and int(period):  # `max` and -1: no quota
        yield int(quota) / int(period)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
