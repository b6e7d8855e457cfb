"""Cores are those that the process may use: affinity, and the quotas of control groups of both versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fasray.cores import usable_cores
from fasray.errors import SpecError
from fasray.execution.capacity import Demand, check_fits_this_machine


def old(group: str, quota: str) -> dict[str, str]:
    """The files of a group of version 1."""
    return {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": "100000"}


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores, all of them allowed."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000"}, 64),
        ("0::/\n", {"cpu.max": "400000 100000\n"}, 4),  # inside a container
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        ("0::/\n", {"cpu.max": "250000 100000"}, 2),
        ("0::/pods/one/box\n", {"pods/one/box/cpu.max": "max 100000", "pods/one/cpu.max": "300000 100000"}, 3),
        ("0::/pods/one\n", {"pods/one/cpu.max": "800000 100000", "pods/cpu.max": "600000 100000"}, 6),
        ("0::/pods/one\n", {"pods/two/cpu.max": "100000 100000"}, 64),
        ("3:cpuset:/\n1:cpu,cpuacct:/a/b\n0::/\n", old("cpu,cpuacct/a/b", "200000"), 2),
        ("1:cpu:/docker/0123\n", old("cpu", "700000"), 7),  # inside a container
        ("1:cpu:/\n", old("cpu", "-1"), 64),
        ("nonsense\n::\n", {"cpu.max": "4 x"} | old("cpu", ""), 64),
    ],
)  # fmt: skip
def test_a_quota_counts_wherever_it_is(tmp_path: Path, groups: str, files: dict[str, str], cores: int) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert usable_cores(tmp_path) == cores


@pytest.mark.usefixtures("many")
def test_without_control_groups_affinity_alone_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 64


def test_a_process_on_one_core_has_one() -> None:
    code = "import fasray.cores; print(fasray.cores.usable_cores())"
    ran = subprocess.run(["taskset", "-c", "0", sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "1"


def test_what_would_need_more_cores_than_the_process_may_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 512)
    with pytest.raises(SpecError, match="64 CPUs"):
        check_fits_this_machine(Demand(1, 64, 0.0))


def test_nothing_in_the_package_counts_cores_otherwise() -> None:
    package = Path(__file__).parents[1] / "fasray"
    for path in sorted(package.rglob("*.py")):
        if path.name != "cores.py":
            text = path.read_text(encoding="utf-8")
            assert "cpu_count()" not in text, path
            assert "sched_getaffinity" not in text, path
