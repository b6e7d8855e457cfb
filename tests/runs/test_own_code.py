"""Workers run the driver's code, whatever is in the working folder; where they cannot, a sweep ends and says why."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from locations import ROOT
from ray_head import RayHead
from small_sweeps import Place, place

from fasray.errors import FasrayError
from fasray.execution.messages import TrialMessage, deliver
from fasray.runs.own_code import OtherCode, OtherCodeError, check_same_code, own_code

PATHS = "from fasray.runs.own_code import driver_paths; print(driver_paths())"
ONE_TRIAL = """
name: one
data: {data}
protocols: [O&C->I]
methods: {{ssdg: {{space: {{}}}}}}
scheduler: fifo
confirm: {{seeds: [0]}}
training: {{profile: smoke, image_size: 32, width: 0.125, steps: 4, evaluations: 2}}
"""


def test_other_files_in_another_place_are_refused_and_both_are_named() -> None:
    own = own_code()
    check_same_code(own)
    check_same_code(None)
    check_same_code(replace(own, place="/elsewhere on another"))  # an equal copy
    check_same_code(replace(own, digest="0" * 12))  # edited while the sweep runs
    with pytest.raises(OtherCodeError) as error:
        check_same_code(replace(own, digest="0" * 12, place="/elsewhere on another"))
    assert own.place in error.value.what
    assert "/elsewhere on another" in error.value.what
    assert error.value.exit_code == 2


def test_a_worker_of_other_code_ends_the_sweep_and_no_trial() -> None:
    with pytest.raises(OtherCode) as ended:
        deliver(None, TrialMessage("0" * 16, status="other_code", reason="here and there"))  # type: ignore[arg-type]
    assert isinstance(ended.value.error, FasrayError)
    assert not isinstance(ended.value, Exception)  # Tune takes every Exception for that of a trial


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A working folder with modules that must not be imported."""
    for name in ("numpy.py", "torch.py", "click.py", "yaml.py", "ray.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the working folder')\n")
    return tmp_path


def test_workers_get_the_folders_that_the_driver_imports_from_and_no_others(trap: Path, tmp_path: Path) -> None:
    def paths(*arguments: str | Path) -> str:
        ran = subprocess.run([sys.executable, *arguments], cwd=trap, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "mine.py").write_text(PATHS)
    assert paths("-P", "-c", PATHS) == "[]"
    assert paths(scripts / "mine.py") == str([str(scripts)])
    assert "methods" in paths("-m", "fasray", "--help")


def test_a_checkout_that_is_run_as_a_module_is_the_workers_too(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fasray", tmp_path / "fasray", ignore=shutil.ignore_patterns("__pycache__"))
    ran = subprocess.run([sys.executable, "-c", PATHS], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str([str(tmp_path)])


def checkout(folder: Path) -> Path:
    """Another version of fasray, whose SSDG scores upside down."""
    shutil.copytree(ROOT / "fasray", folder / "fasray", ignore=shutil.ignore_patterns("__pycache__"))
    method = folder / "fasray" / "methods" / "ssdg.py"
    method.write_text(method.read_text() + "\n\nSSDG.score = lambda self, images: -images.mean((1, 2, 3))\n")
    return folder


@pytest.fixture
def one_trial(small_faces: Path, tmp_path: Path) -> Place:
    return place(tmp_path / "place", small_faces, ONE_TRIAL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_checkout_and_modules_in_the_working_folder_change_nothing(one_trial: Place, trap: Path) -> None:
    whole = one_trial.drive()
    assert whole.code == 0, whole.err
    for name in trap.glob("*.py"):
        shutil.copy(name, one_trial.folder)
    checkout(one_trial.folder)
    again = one_trial.command("sweep", one_trial.sweep, "--out", one_trial.folder / "again")
    assert again.code == 0, again.err
    assert again.out == whole.out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_with_other_code_is_refused_with_both_places(one_trial: Place, tmp_path: Path) -> None:
    other = checkout(tmp_path / "other")
    with RayHead(tmp_path / "head", {**one_trial.env, "PYTHONPATH": str(other)}) as head:
        env = {**head.client, "PYTHONPATH": ""}
        ran = Place(one_trial.folder, one_trial.data, env).drive()
    assert ran.code == 2, ran.err
    assert f"{other / 'fasray'} on " in ran.err
    assert f"{ROOT / 'fasray'} on " in ran.err
    assert "Traceback" not in ran.err
    assert not list((one_trial.run_folder / "trials").glob("*/eval-*"))
    assert os.listdir(one_trial.run_folder)
