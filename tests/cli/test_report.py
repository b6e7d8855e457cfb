"""`fasray report`: one page, plots as files where they are wanted, faces only as the options say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from made_runs import Size, write_run

SIZE = Size(methods=("erm",), protocols=("O&C&I->M",), searched=4, seeds=(0,), evaluations=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "run"
    write_run(folder, SIZE)
    return folder


def report(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fasray", "report", *map(str, words)], capture_output=True, text=True, timeout=120
    )


def test_page_and_plots_are_written(run: Path, tmp_path: Path) -> None:
    page, folder = tmp_path / "a" / "report.html", tmp_path / "plots"
    ran = report(run, "-o", page, "--plots", folder, "--plot-format", "png")
    assert ran.returncode == 0, ran.stderr
    written = sorted(path.name for path in folder.iterdir())
    assert {"heat-map.png", "honest-against-oracle.png", "cell-erm-O-C-I-M-det.png"} <= set(written)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.iterdir())
    assert ran.stderr == f"wrote {page}\nwrote {len(written)} plots into {folder}\n"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_options_the_page_stands_in_the_run_and_loads_no_torch(run: Path) -> None:
    code = (
        "import sys, fasray.cli\n"
        "fasray.cli.cli.main(['report', sys.argv[1]], standalone_mode=False)\n"
        "assert not {'torch', 'ray'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(run)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert (run / "report.html").stat().st_size > 100_000


def test_a_format_that_does_not_exist_is_refused(run: Path) -> None:
    ran = report(run, "--plots", "x", "--plot-format", "gif")
    assert ran.returncode == 2
    assert "'svg', 'png'" in ran.stderr
