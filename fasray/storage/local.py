"""Whole and durable files on a local disk: a temporary file is synchronised, then takes its name."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

_LEFTOVER = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


def replace_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target``; an older file is replaced, that of a link where it is.

    A pipe or a device, ``/dev/stdout`` among them, is written to as it is.
    """
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    target = Path(os.path.realpath(target))
    with _temporary(target, data) as temporary:
        temporary.replace(target)
    sync_folder(target.parent)


def create_whole(target: Path, data: bytes) -> bool:
    """Write ``data`` to ``target`` unless it exists; return whether it was written."""
    with _temporary(target, data) as temporary:
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():  # a disk without hard links: another writer in this very moment would not be seen
                return False
            temporary.replace(target)
    sync_folder(target.parent)
    return True


@contextmanager
def _temporary(target: Path, data: bytes) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def lock_file(path: Path, mode: Literal["a+", "r+"] = "a+", *, wait: bool = True) -> TextIO:
    """Open a file and hold its exclusive lock until it is closed; the kernel releases those of a dead process.

    Args:
        path: of the lock file.
        mode: ``a+`` creates the file, ``r+`` raises FileNotFoundError.
        wait: for the lock; otherwise BlockingIOError is raised if another process holds it.
    """
    file = path.open(mode, encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files directly in a folder that killed writers left; no process may be writing there."""
    for path in folder.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a local folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
