"""The house rules that a reader relies on: what imports what, and what an import costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fasray"
LAYERS = (
    ("errors", "seeds", "version", "environment"), ("storage",), ("validation",), ("metrics",), ("protocols",),
    ("runs",), ("faces",), ("nets", "losses"), ("methods",), ("training",), ("ingest",), ("sweep",), ("execution",), ("results",),
    ("inference",), ("bench", "testing"), ("clusters",), ("cli",),
)  # fmt: skip
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
WITHOUT_RAY = {name for name in HEIGHT if HEIGHT[name] <= HEIGHT["training"]} | {"results"}
WITHOUT_TORCH = {name for name in HEIGHT if HEIGHT[name] < HEIGHT["faces"]} | {"results"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in HEIGHT)


def imported_modules(path: Path) -> set[str]:
    """Every absolute module name that a file imports, anywhere in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_layers(path: Path) -> None:
    own = layer(path)
    assert own in HEIGHT, f"{own} has no place in the order of layers"
    for module in imported_modules(path):
        parts = module.split(".")
        if parts[0] == "fasray" and len(parts) > 1 and parts[1] in HEIGHT and parts[1] != own:
            assert HEIGHT[parts[1]] <= HEIGHT[own], f"{own} imports {module}, which lies above it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_numbers_need_neither_ray_nor_torch(path: Path) -> None:
    roots = {module.split(".")[0] for module in imported_modules(path)}
    if layer(path) in WITHOUT_RAY:
        assert "ray" not in roots
    if layer(path) in WITHOUT_TORCH:
        assert "torch" not in roots


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


def test_importing_fasray_loads_neither_torch_nor_ray() -> None:
    assert not {"torch", "ray", "pandas", "cv2"} & modules_after("import fasray")


def test_help_loads_nothing_heavy() -> None:
    code = "import fasray.cli; fasray.cli.cli.main(['--help'], standalone_mode=False)"
    loaded = modules_after(code)
    assert not {"torch", "ray", "pandas", "cv2", "pydantic", "numpy", "rich", "yaml"} & loaded


def test_no_file_mentions_this_machine() -> None:
    for path in FILES + sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "/work" + "/" not in text, path
        assert "../" + "shared" not in text, path
