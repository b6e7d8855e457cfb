"""The house rules that a reader relies on: what imports what, what an import costs, how long files are."""

import ast
import io
import re
import shutil
import subprocess
import sys
import textwrap
import tokenize
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fasray"
FILES = sorted(PACKAGE.rglob("*.py"))
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}
LAYERS = [re.split(r"\s*[|:]\s*", names) for names in CONTRACTS["layers"]["layers"]]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
HEAVY = {"torch", "ray", "pandas", "cv2"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package and of its contracts, to plant imports in."""
    shutil.copytree(PACKAGE, tmp_path / "fasray", ignore=shutil.ignore_patterns("__pycache__", "examples", "*.txt"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(folder: Path, module: str, statement: str) -> None:
    """Add an import to a module, or to a new one in a package."""
    path = folder.joinpath(*module.split("."))
    file = path / "planted.py" if path.is_dir() else path.with_suffix(".py")
    with file.open("a") as opened:
        opened.write(f"\n{statement}\n")


def lint(folder: Path) -> str:
    """Return what import-linter says of the package in a folder."""
    linter = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([linter, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True).stdout


def test_the_contracts_hold() -> None:
    said = lint(ROOT)
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in said, said


def test_an_import_that_runs_up_is_found_in_every_layer(copy: Path) -> None:
    steps = [(low, high) for above, below in pairwise(LAYERS) for low in below for high in above]
    assert {low for low, _ in steps} == {name for names in LAYERS[1:] for name in names}
    for low, high in steps:
        plant(copy, f"fasray.{low}", f"import fasray.{high}")
    said = lint(copy)
    for low, high in steps:
        assert f"fasray.{low} is not allowed to import fasray.{high}:" in said


def test_ray_torch_the_root_and_circles_are_found_where_they_must_not_be(copy: Path) -> None:
    (copy / "fasray" / "unheard_of.py").touch()
    plant(copy, "fasray.metrics", "import fasray.metrics.again")
    (copy / "fasray" / "metrics" / "again.py").write_text("import fasray.metrics.planted\n")
    plant(copy, "fasray.protocols", "from fasray import __version__")
    for name in CONTRACTS["torch"]["source_modules"]:
        plant(copy, name, "from torch import nn")
    for name in CONTRACTS["ray"]["source_modules"]:
        plant(copy, name, "import ray.tune")
    for module in ("torch", "fasray.sweep"):
        plant(copy, "fasray.results", f"import {module}")
    said = lint(copy)
    assert f"Contracts: 0 kept, {len(CONTRACTS)} broken." in said
    assert "fasray.unheard_of" in said  # every part of the package must have a layer
    assert "No cycles are allowed in fasray.metrics." in said
    assert "fasray.protocols.planted is not allowed to import fasray:" in said
    assert "fasray.results is not allowed to import fasray.sweep:" in said
    for library in ("ray", "torch"):
        for name in CONTRACTS[library]["source_modules"]:
            assert f"{name} is not allowed to import {library}:" in said


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


def test_importing_fasray_loads_neither_torch_nor_ray() -> None:
    assert not HEAVY & modules_after("import fasray")


def test_help_loads_nothing_heavy() -> None:
    loaded = modules_after("import fasray.cli; fasray.cli.cli.main(['--help'], standalone_mode=False)")
    assert not (HEAVY | {"pydantic", "numpy", "rich", "yaml"}) & loaded


def test_deciding_needs_neither_ray_nor_torch() -> None:
    assert not {"ray", "torch"} & modules_after("import fasray.sweep.coordinator, fasray.sweep.forecast")


def test_the_watched_page_starts_without_what_only_trials_and_tables_need() -> None:
    assert not HEAVY & modules_after("import fasray.cli.watch, fasray.watch.followed, fasray.watch.serve")


def test_plan_starts_without_ray(small_faces: Path) -> None:
    arguments = ["plan", "--example", "quickstart", "--set", f"data={small_faces}"]
    loaded = modules_after(f"import fasray.cli; fasray.cli.cli.main({arguments!r}, standalone_mode=False)")
    assert "fasray.sweep.forecast" in loaded
    assert "ray" not in loaded


def test_files_are_short() -> None:
    long = {path: lines for path in FILES if (lines := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE}
    assert not long


def code_lines(function: str) -> int:
    """Count the lines of code of a function's source: without docstring, comments and blanks."""
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(function).readline) if token.type not in empty]
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    (node,) = ast.parse(function).body
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
        lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


def test_functions_are_short() -> None:
    long = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                source = text.splitlines()[node.lineno - 1 : node.end_lineno]
                if len(source) > LONGEST_FUNCTION:
                    long[path, node.name] = code_lines(textwrap.dedent("\n".join(source)))
    assert max(long.values()) > LONGEST_FUNCTION / 2, "nothing was counted"
    assert not {where: lines for where, lines in long.items() if lines > LONGEST_FUNCTION}


def test_no_file_mentions_this_machine() -> None:
    for path in FILES + sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "/work" + "/" not in text, path
        assert "../" + "shared" not in text, path
