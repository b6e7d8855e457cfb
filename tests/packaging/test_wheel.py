"""The wheel: small, complete, and at work where there is no checkout."""

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "constraints.txt", "locked-cp311-linux-x86_64.txt")
MOST_BYTES = 2 * 2**20
TINY = (
    "data=faces", "protocols=[O&C->I]", "training.profile=smoke", "training.image_size=32", "training.width=0.125",
    "training.steps=4", "training.evaluations=2", "confirm.seeds=[0]", "resources.max_concurrent=1",
)  # fmt: skip
SKIPPED = shutil.ignore_patterns("__pycache__")


def build(source: Path, *options: str) -> Path:
    """Build in a copy, so that the checkout gets no build folder."""
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    for name in ("fasray", "sweeps"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=SKIPPED)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        *options,
        "--outdir",
        source / "dist",
        source,
    ]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("source"), "--wheel")


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if ".dist-info/" not in name}


def test_the_wheel_is_small_and_has_every_file_of_the_package(wheel: Path) -> None:
    assert wheel.stat().st_size <= MOST_BYTES
    there = contents(wheel)
    tracked = subprocess.run(["git", "ls-files", "fasray", "sweeps"], cwd=ROOT, capture_output=True, text=True)
    names = {name.replace("sweeps/", "fasray/examples/", 1) for name in tracked.stdout.split()} - {"fasray/examples"}
    assert there >= {name for name in names if (ROOT / name).exists()}
    assert all(name.startswith("fasray/") for name in there)


@pytest.mark.slow
def test_a_wheel_of_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    assert contents(build(tmp_path)) == contents(wheel)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_wheel_does_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True, env=os.environ)
    # What fasray needs comes from this environment; its own editable fasray does not: links in there are not followed.
    (folder,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (folder / "needs.pth").write_text("\n".join(site.getsitepackages()))
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "RAY_", "FASRAY_"))}
    env |= {"FASRAY_POOL_DIR": str(tmp_path / "pools"), "OMP_NUM_THREADS": "1"}

    def fasray(*arguments: str | Path) -> str:
        command = [tmp_path / "venv" / "bin" / "fasray", *arguments]
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
        assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
        return ran.stdout

    where = subprocess.run([python, "-c", "import fasray; print(fasray.__file__)"], cwd=tmp_path, env=env, stdout=-1)
    assert Path(where.stdout.decode().strip()).is_relative_to(folder)
    found = {one["about"]: one["message"] for one in json.loads(fasray("doctor", "--json"))}
    assert found["Ray"].endswith(", as tested")
    assert found["torch"].endswith(", as tested")
    assert "safas" in fasray("methods")
    assert "nothing found" in fasray("cluster", "validate", ROOT / "cluster")
    fasray("data", "synth", "faces", "--subjects", "5", "--image-size", "48", "--processes", "1")
    table = fasray("sweep", "--example", "quickstart", *(part for setting in TINY for part in ("--set", setting)))
    assert "O&C->I" in table
    assert (tmp_path / "runs" / "quickstart" / "report.html").is_file()
