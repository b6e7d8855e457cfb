"""A run notes the commit of the code that drove it, and never that of somebody else's repository around it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fasray

PACKAGE = Path(fasray.__file__).parent
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(
        ["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit_seen_from(folder: Path) -> str:
    """Import the copy of the package that stands in a folder, in a fresh process."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); from fasray.runs.revision import commit; print(commit())"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_has_its_commit_and_says_when_it_was_changed(tmp_path: Path) -> None:
    for name in ("__init__.py", "version.py", "runs/__init__.py", "runs/revision.py"):
        (tmp_path / "fasray" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / name, tmp_path / "fasray" / name)
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    assert commit_seen_from(tmp_path) == ""
    git(tmp_path, "init", "-q")
    assert commit_seen_from(tmp_path) == "", "an installed copy in a foreign repository"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit_seen_from(tmp_path) == head
    with (tmp_path / "fasray" / "runs" / "revision.py").open("a") as file:
        file.write("# changed\n")
    assert commit_seen_from(tmp_path) == f"{head}+changes"
