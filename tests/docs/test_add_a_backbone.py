"""The page "Add a backbone", followed to the letter."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from locations import ROOT
from sweep_fixtures import make_table

from fasray.methods import registry
from fasray.methods.base import Build
from fasray.nets import backbones
from fasray.sweep.plan import make_plan
from fasray.sweep.spec import SweepSpec

PAGE = (ROOT / "docs" / "how-to" / "add-a-backbone.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the page's files, and in ``installed`` the traces of the package."""
    for language, text in BLOCKS:
        if language == "python":
            path = tmp_path / text.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        if language == "toml":
            info = tmp_path / "installed" / "my_package-1.0.dist-info"
            info.mkdir(parents=True)
            group = "fasray.nets.backbones"
            line = text.replace(f'project.entry-points."{group}"', group).replace('"', "")
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(line)
    return tmp_path


def test_its_network_has_the_size_it_says_and_its_sweep_can_be_planned(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(package)
    tiny = importlib.import_module("my_package.tiny").TINY
    (sweep,) = (yaml.safe_load(text) for language, text in BLOCKS if language == "yaml")
    with backbones.registered(tiny):
        assert sum(p.numel() for p in backbones.make("tiny", image_size=224).parameters()) == tiny.parameters
        plan = make_plan(SweepSpec.model_validate(sweep), "0" * 64, make_table())
        assert [point["backbone"] for point in plan.cells[0].points] == ["resnet18", "tiny"]
        method = registry.get("erm")(registry.config("erm", {"backbone": "tiny"}))
        method.build(Build(num_domains=2, image_size=64, total_steps=1, width=0.125))
        assert method.score(torch.rand(2, 3, 64, 64)).shape == (2,)


@pytest.mark.slow
def test_its_package_is_found_and_keeps_the_contract(package: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package), str(package / "installed")])}
    ran = subprocess.run([sys.executable, "-m", "fasray", "methods", "erm"], env=env, capture_output=True, text=True)
    assert "tiny" in ran.stdout, ran.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_tiny.py"]
    ran = subprocess.run(command, env=env, cwd=package, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
