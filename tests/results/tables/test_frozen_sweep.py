"""A frozen sweep gives the same tables byte for byte; after a change that is meant, run this file to write new ones."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from locations import GOLDEN

import fasray
from fasray.results.selection import SELECTIONS
from fasray.results.tables import export, latex
from fasray.results.tables import text as tables
from fasray.results.tables.published import PUBLISHED

FROZEN = GOLDEN / "frozen_sweep"
DOCUMENT = """\\documentclass{article}
\\usepackage{booktabs%s}
\\begin{document}
%s\\end{document}
"""


def made(frame: pd.DataFrame) -> dict[str, str]:
    """Every golden file by name, as the code writes it now."""
    return {
        "results.json": export.to_json(frame),
        "results.csv": export.to_csv(frame),
        "results.txt": tables.to_text(tables.grid(frame)),
        "results.md": tables.to_markdown(tables.grid(frame, selections=None)),
        "results.tex": latex.to_latex(frame),
    }


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return fasray.load_results(str(FROZEN / "run"))


@pytest.mark.parametrize("name", ["results.json", "results.csv", "results.txt", "results.md", "results.tex"])
def test_tables_are_the_same_bytes(frame: pd.DataFrame, name: str) -> None:
    assert made(frame)[name].encode() == (FROZEN / "expected" / name).read_bytes()


def test_it_holds_what_tables_must_cope_with(frame: pd.DataFrame) -> None:
    assert set(frame["selection"]) == set(SELECTIONS)
    assert set(frame["variant"]) == {"", "no separability"}
    assert frame["n_failed"].max() == 1
    assert set(fasray.load_trials(str(FROZEN / "run"))["status"]) == {"done", "stopped", "diverged"}
    assert sum(path.stat().st_size for path in FROZEN.rglob("*") if path.is_file()) < 400_000


def test_every_format_tells_the_same_figures(frame: pd.DataFrame) -> None:
    rows = json.loads(export.to_json(frame))
    text, md, tex = made(frame)["results.txt"], made(frame)["results.md"], made(frame)["results.tex"]
    for row in rows:
        if row["level"] == "video" and row["selection"] in tables.TABLE_SELECTIONS and row["hter_std"] is not None:
            mean, std = f"{100 * row['hter']:.2f}", f"{100 * row['hter_std']:.2f}"
            assert f"{mean} ± {std}" in text
            assert f"{mean} ± {std}" in md
            assert any(f"{mark}{mean}" in tex for mark in ("& ", "\\textbf{", "\\underline{"))
            assert f"$\\pm$ {std}}}" in tex


needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")


def compiled(folder: Path, fragment: str, packages: str = "") -> str:
    """Compile a fragment and return pdfLaTeX's log; any error fails."""
    (folder / "paper.tex").write_text(DOCUMENT % (packages, fragment), encoding="utf-8")
    ran = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert (folder / "paper.pdf").stat().st_size > 1000
    return (folder / "paper.log").read_text(encoding="latin-1")


@needs_pdflatex
def test_the_latex_compiles_and_fits_the_line(frame: pd.DataFrame, tmp_path: Path) -> None:
    log = compiled(tmp_path, latex.to_latex(frame, published=PUBLISHED), ",graphicx")
    assert "Overfull \\hbox" not in log
    assert "undefined" not in log.lower()


@needs_pdflatex
def test_the_latex_needs_no_package_but_booktabs(frame: pd.DataFrame, tmp_path: Path) -> None:
    compiled(tmp_path, latex.to_latex(frame, "frame"))


@needs_pdflatex
def test_hostile_names_compile_and_run_nothing(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "secret.tex").write_text("LEAKED")
    words = [
        r"\input{secret.tex}",
        r"}\end{tabular}\write18{touch owned}",
        r"a&b%c#d$e_f^g~h{i}j--k",
        "<script>`'\"[x]*",
    ]
    for word in words:
        hostile = frame.assign(variant=word, method=word)
        fragment = latex.to_latex(hostile)
        log = compiled(tmp_path, fragment)
        assert "secret.tex" not in log
        assert not (tmp_path / "owned").exists()


if __name__ == "__main__":
    (FROZEN / "expected").mkdir(exist_ok=True)
    for file, content in made(fasray.load_results(str(FROZEN / "run"))).items():
        (FROZEN / "expected" / file).write_bytes(content.encode())
