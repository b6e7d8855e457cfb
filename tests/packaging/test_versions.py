"""What is needed, what was tested and what is locked name the same versions."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fasray

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(name: str) -> dict[str, str]:
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1].split(" ")[0] for line in lines}


def requirements(texts: Iterable[str]) -> list[Requirement]:
    return [found for found in map(Requirement, texts) if found.name != "fasray"]


def test_every_requirement_has_a_tested_version_within_its_bounds() -> None:
    tested = pins("constraints.txt")
    needed = requirements([*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])])
    assert len(needed) > 30
    for one in needed:
        assert one.specifier.contains(tested[canonicalize_name(one.name)]), one
    assert not [str(one) for one in requirements(PROJECT["dependencies"]) if ">=" not in str(one.specifier)]


def test_the_lock_has_the_tested_version_of_what_a_user_needs_with_its_hash() -> None:
    tested, locked = pins("constraints.txt"), pins("locked-cp311-linux-x86_64.txt")
    assert {name: tested.get(name) for name in locked} == locked
    extras = PROJECT["optional-dependencies"]
    for one in requirements([*PROJECT["dependencies"], *extras["export"], *extras["cluster"]]):
        assert canonicalize_name(one.name) in locked
    lines = (ROOT / "locked-cp311-linux-x86_64.txt").read_text().splitlines()
    assert all(re.search(r" --hash=sha256:[0-9a-f]{64}$", line) for line in lines if not line.startswith("#"))


def test_the_version_is_stated_once() -> None:
    assert "version" in PROJECT["dynamic"]
    stated = (ROOT / "fasray" / "version.py").read_text()
    assert f'"{fasray.__version__}"' in stated
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{fasray.__version__}]" in changes
