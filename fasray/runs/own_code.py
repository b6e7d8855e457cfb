"""The workers' code is the driver's: same folders to import from, and a check that says where it is not."""

from __future__ import annotations

import hashlib
import os
import site
import socket
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fasray.errors import SpecError
from fasray.version import __version__

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Code:
    """The copy of fasray that a process has imported."""

    version: str
    digest: str
    """Of all its modules."""
    place: str
    """Folder and host."""

    def __str__(self) -> str:
        return f"fasray {self.version} ({self.digest}) in {self.place}"


class OtherCodeError(SpecError):
    """A worker runs other code than the driver; names both places."""


class OtherCode(KeyboardInterrupt):  # noqa: N818 - no error of a trial, for which Tune takes every Exception
    """The sweep must end, with ``error``."""

    def __init__(self, error: OtherCodeError) -> None:
        super().__init__()
        self.error = error


@cache
def own_code() -> Code:
    """Return the code of this process, as its files were when it was asked first."""
    content = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        content.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    return Code(__version__, content.hexdigest()[:12], f"{_PACKAGE} on {socket.gethostname()}")


def check_same_code(driver: Code | None) -> None:
    """Make sure that this process, a worker, runs what the driver does; ``None``: whatever it runs.

    Files that are edited in the driver's own folder while a sweep runs are no difference.

    Raises:
        OtherCodeError: it does not.
    """
    own = own_code()
    if driver is not None and own.digest != driver.digest and own.place != driver.place:
        raise other_code(f"a worker runs other code than the driver: {own}; the driver {driver}")


def other_code(what: str) -> OtherCodeError:
    """Return the error that ends a sweep."""
    remedy = "install the driver's version on every node, or submit a job whose --working-dir holds it"
    return OtherCodeError(what, where="workers", remedy=remedy)


def driver_paths() -> list[str]:
    """Return the folders that this process imports from and that a fresh one would not, in their order.

    So modules next to a script, or in the working folder of ``python -m``, are the workers' too; what merely lies in
    the working folder is not.
    """
    everybodys = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    known = {*filter(None, everybodys), *site.getsitepackages(), site.getusersitepackages()}
    prefixes = (Path(sys.prefix), Path(sys.base_prefix))
    own = []
    for entry in sys.path:
        folder = Path(os.path.abspath(entry))
        if entry not in known and folder.is_dir() and not any(folder.is_relative_to(prefix) for prefix in prefixes):
            own.append(str(folder))
    return list(dict.fromkeys(own))
