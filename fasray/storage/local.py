"""Whole and durable files on a local disk: a temporary file is synchronised, then takes its name."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LEFTOVER = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP)


def replace_whole(target: Path, data: bytes) -> None:
    """Write ``data`` to ``target``; an older file is replaced."""
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


def remove_tree(folder: Path) -> None:
    """Delete a folder and all in it; a missing folder is not an error."""
    if folder.exists():
        shutil.rmtree(folder)


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
