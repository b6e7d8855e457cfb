"""Checks of the machine: versions, GPUs, memory, and room for the pools."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import requires
from pathlib import Path

from fasray.clusters.diagnosis import Diagnosis, note, ok, problem
from fasray.clusters.rules import installed_version
from fasray.errors import DataError
from fasray.faces.loading.pool import POOL_DIR_VARIABLE, pool_folder

_GIB = 2**30
_LEAST_MEMORY = 2 * _GIB
_LEAST_SHARED = 1 * _GIB
_LEAST_DISK = 5 * _GIB
_TESTED_FIRST = ("ray", "torch", "torchvision")
_CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
INSTALL = f"pip install --constraint {_CONSTRAINTS} fasray"


def constraints() -> Mapping[str, str]:
    """Return the versions that were tested together, by package."""
    lines = _CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {_plain(name): number.strip() for name, number in pairs}


def check_versions(tested: Mapping[str, str]) -> list[Diagnosis]:
    """Compare the installed packages with those that fasray needs and with the versions that were tested together.

    Args:
        tested: version by package, as :func:`constraints` gives it.
    """
    found = [ok("Python", ".".join(map(str, sys.version_info[:3])))]
    wanted = {_plain(name) for name in _dependencies()}
    installed = {name: installed_version(name) for name in sorted(wanted)}
    found += [_one_version(name, installed.get(name, ""), tested.get(name, "")) for name in _TESTED_FIRST]
    missing = [name for name, there in installed.items() if not there and name not in _TESTED_FIRST]
    if missing:
        found.append(problem("packages", f"not installed: {', '.join(missing)}", INSTALL))
    others = {
        name: (there, tested[name])
        for name, there in installed.items()
        if there and name not in _TESTED_FIRST and name in tested and _public(there) != tested[name]
    }
    if others:
        differences = ", ".join(f"{name} {there} (tested: {known})" for name, (there, known) in others.items())
        found.append(note("packages", differences, f"if something fails, install the tested versions: {INSTALL}"))
    elif tested and not missing:
        found.append(ok("packages", f"{len(installed)} packages as in constraints.txt"))
    return found


def _one_version(name: str, there: str, tested: str) -> Diagnosis:
    title = {"ray": "Ray"}.get(name, name)
    if not there:
        return problem(title, "not installed", INSTALL)
    if tested and _public(there) != tested:
        remedy = f"install the tested version: pip install {name}=={tested}; all nodes must have the same"
        return note(title, f"{there}; tested was {tested}", remedy)
    return ok(title, f"{there}{', as tested' if tested else ''}")


def _dependencies() -> list[str]:
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in requires("fasray") or [] if "extra ==" not in line)
    return [name.group() for name in names if name]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _public(number: str) -> str:
    """Drop the build of a version, ``+cpu``."""
    return number.partition("+")[0]


def check_memory() -> list[Diagnosis]:
    """Check the memory that is free for processes, and the shared memory that Ray's object store wants."""
    free, total = free_memory()
    text = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB free"
    if free < _LEAST_MEMORY:
        found = [note("memory", text, "end other programs, or run fewer trials at once: resources.max_concurrent")]
    else:
        found = [ok("memory", text)]
    shared = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108
    if shared is not None and shared.free < _LEAST_SHARED:
        remedy = "give the container more, --shm-size=2g (docker) or a volume of medium Memory (Kubernetes)"
        text = f"{shared.free / _GIB:.2f} GiB free in /dev/shm; Ray wants 1 or more"
        found.append(note("shared memory", text, remedy))
    return found


def free_memory() -> tuple[int, int]:
    """Return free and total bytes of memory, of the container where one sets a limit."""
    facts = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        facts[name] = int(rest.split()[0]) * 1024
    free, total = facts["MemAvailable"], facts["MemTotal"]
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and limit.read_text().strip().isdigit():
        most = int(limit.read_text())
        free, total = min(free, most - int(used.read_text())), min(total, most)
    return max(free, 0), total


def check_pools(need: int) -> Diagnosis:
    """Check whether the folder of pools can be written and has room for ``need`` bytes of decoded faces."""
    folder = pool_folder("x").parent
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    remedy = f"free the space, or set {POOL_DIR_VARIABLE} to a folder on a larger local disk"
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        return problem("pool folder", f"{folder} cannot be written", f"set {POOL_DIR_VARIABLE} to one that can be")
    free = shutil.disk_usage(nearest).free
    text = f"{free / _GIB:.1f} GiB free at {folder}"
    if need > free:
        return problem("pool folder", f"{text}; this data needs {need / _GIB:.1f}", remedy, DataError.exit_code)
    if free < _LEAST_DISK:
        return note("pool folder", text, remedy)
    return ok("pool folder", text + (f"; this data needs {need / _GIB:.1f}" if need else ""))
