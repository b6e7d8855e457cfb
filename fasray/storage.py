"""Files that are written once and whole, on a local disk or any store that fsspec knows (``s3://`` ...).

A reader never sees half a file: locally a temporary file is renamed over the name, on an object store a single
put does the same. Paths are strings: a local path or a URI.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.core import url_to_fs

from fasray.errors import DataError


def is_remote(uri: str) -> bool:
    """Tell whether ``uri`` names something that is not on a local disk."""
    return "://" in uri and not uri.startswith("file://")


def join(uri: str, *parts: str) -> str:
    """Append path parts to a local path or a URI."""
    return "/".join([uri.rstrip("/") or "/", *(p.strip("/") for p in parts)])


def filesystem(uri: str) -> tuple[Any, str]:
    """Return ``(fsspec filesystem, path inside it)`` for ``uri``.

    Raises:
        DataError: the scheme is unknown.
    """
    try:
        fs, path = url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise DataError(f"this kind of address is not known: {error}", where=uri) from error
    return fs, path


def exists(uri: str) -> bool:
    """Tell whether a file or folder stands at ``uri``."""
    fs, path = filesystem(uri)
    return bool(fs.exists(path))


def listing(uri: str) -> list[str]:
    """Return the sorted base names of what lies directly under ``uri``; empty if there is no such folder."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        found = fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted({str(name).rstrip("/").rsplit("/", 1)[-1] for name in found} - {""})


def read_bytes(uri: str) -> bytes:
    """Return the whole content of ``uri``.

    Raises:
        DataError: there is no such file.
    """
    fs, path = filesystem(uri)
    try:
        return bytes(fs.cat_file(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError("no such file", where=uri) from error


def write_bytes(uri: str, data: bytes) -> None:
    """Write ``data`` to ``uri`` so that readers find all of it or none; an older file is replaced.

    Locally the bytes and the rename are durable (fsync) before this returns.

    Raises:
        DataError: the place cannot be written, or has no room.
    """
    fs, path = filesystem(uri)
    try:
        if is_remote(uri):
            fs.pipe_file(path, data)
        else:
            _write_whole(Path(path), data)
    except OSError as error:
        raise DataError(
            f"this file cannot be written: {error.strerror or error}",
            where=uri,
            remedy="check the folder, its permissions and the free space",
        ) from error


def _write_whole(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a local folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(uri: str) -> None:
    """Delete one file; a file that is not there is no error."""
    fs, path = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        fs.rm_file(path)


def open_read(uri: str) -> IO[bytes]:
    """Open ``uri`` for random-access reading.

    Raises:
        DataError: there is no such file.
    """
    try:
        opened = fsspec.open(uri, "rb").open()
    except FileNotFoundError as error:
        raise DataError("no such file", where=uri) from error
    return opened  # type: ignore[no-any-return]
