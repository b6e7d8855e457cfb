"""Which code runs: versions, and the commit of the checkout that this package is imported from, where it is one."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from fasray.version import __version__

_SECONDS = 10.0


@cache
def commit() -> str:
    """Return the commit, with ``+changes`` behind it if files differ from it; empty if this is no checkout.

    An installed copy inside somebody else's checkout is not under its control and has no commit.
    """
    package = Path(__file__).parents[1]
    if not _git(package, "ls-files", "--error-unmatch", "__init__.py"):
        return ""
    head = _git(package, "rev-parse", "HEAD")
    return f"{head}+changes" if head and _git(package, "status", "--porcelain", "--", ".") else head


def versions() -> dict[str, str]:
    """Return the versions that a number may depend on."""
    packages = ("torch", "torchvision", "numpy", "ray", "pyarrow", "opencv-python-headless")
    ours = {"fasray": __version__, **({"commit": commit()} if commit() else {}), "python": platform.python_version()}
    return ours | {package: metadata.version(package) for package in packages}


def _git(folder: Path, *arguments: str) -> str:
    program = shutil.which("git")
    if program is None:
        return ""
    try:
        ran = subprocess.run(  # noqa: S603 - fixed words, no shell
            [program, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""
