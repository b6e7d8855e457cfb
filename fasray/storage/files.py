"""Reading, writing and listing whole files, local or remote, with the same calls."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from fasray.errors import DataError, SpecError
from fasray.storage import faults, local
from fasray.storage.paths import absolute, bucket_of, is_remote, is_s3, local_path
from fasray.storage.traffic import count_written

_MAX_CONCURRENT = 16
_BLOCK_BYTES = 256 * 1024
"""What a reader of a few columns fetches in one request; more would fetch the images between them."""

S = TypeVar("S")
T = TypeVar("T")


def filesystem(uri: str) -> tuple[Any, str]:
    """Return ``(fsspec file system, path inside it)`` for ``uri``; for ``s3://`` one that retries.

    Raises:
        DataError: the scheme is unknown.
        SpecError: the address holds credentials, or names no place.
    """
    if not is_remote(uri):
        return LocalFileSystem(), absolute(uri)
    if "@" in bucket_of(uri):
        raise SpecError(
            "an address must not hold credentials",
            where=uri.split("://", 1)[0] + "://...",
            remedy="put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
        )
    if is_s3(uri):
        from fasray.storage.s3 import s3

        return s3(), uri.split("://", 1)[1].rstrip("/")
    try:
        fs, path = url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise DataError(f"this kind of address is not supported: {error}", where=uri) from error
    return fs, path


@contextlib.contextmanager
def _explaining(uri: str) -> Iterator[None]:
    """Turn what a remote store refuses into StorageError; a missing file stays FileNotFoundError."""
    if not is_remote(uri):
        yield
        return
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        if faults.code_of(error) == "NoSuchBucket":
            raise faults.explained(error, uri) from error
        raise
    except (DataError, SpecError):
        raise
    except Exception as error:
        raise faults.explained(error, uri) from error


def exists(uri: str) -> bool:
    """Return whether a file or folder exists at ``uri``."""
    with _explaining(uri):
        fs, path = filesystem(uri)
        return bool(fs.exists(path))


def listing(uri: str) -> list[str]:
    """Return the sorted base names of what lies directly under ``uri``; empty if there is no such folder."""
    return sorted({_base(entry["name"]) for entry in _entries(uri)} - {""})


def sizes(uri: str) -> dict[str, int]:
    """Return the bytes of the files directly under ``uri``, by base name; empty if there is no such folder."""
    return {name: int(entry["size"]) for name, entry in listed(uri).items()}


def listed(uri: str) -> dict[str, dict[str, Any]]:
    """Return what the store reports of the files directly under ``uri``, by base name; empty if there is no folder."""
    return {_base(entry["name"]): entry for entry in _entries(uri) if entry["type"] != "directory"}


def _entries(uri: str) -> list[dict[str, Any]]:
    try:
        with _explaining(uri):
            fs, path = filesystem(uri)
            fs.invalidate_cache()
            return list(fs.ls(path, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"this folder cannot be read: {error.strerror or error}", where=uri) from error


def _base(name: str) -> str:
    return name.rstrip("/").rsplit("/", 1)[-1]


def read_bytes(uri: str) -> bytes:
    """Return the whole content of ``uri``.

    Raises:
        DataError: there is no such file.
        StorageError: the store cannot be reached, or refuses.
    """
    try:
        with _explaining(uri):
            if not is_remote(uri):
                return local_path(uri).read_bytes()  # of a pipe too, which cannot be asked for its size
            fs, path = filesystem(uri)
            # One request; by itself s3fs would ask for the size first.
            return bytes(fs.cat_file(path, max_concurrency=1) if is_s3(uri) else fs.cat_file(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        what = "this is a folder, not a file" if isinstance(error, IsADirectoryError) else "no such file"
        raise DataError(what, where=uri) from error
    except OSError as error:
        raise DataError(f"this file cannot be read: {error.strerror or error}", where=uri) from error


def read_many(uris: Sequence[str]) -> list[bytes]:
    """Return the whole content of several files, in order; remote ones are fetched at the same time.

    Raises:
        DataError: there is no such file.
        StorageError: the store cannot be reached, or refuses.
    """
    return map_concurrently(read_bytes, uris, uris[0] if uris else "")


def map_concurrently(work: Callable[[S], T], items: Iterable[S], uri: str) -> list[T]:
    """Return ``work(item)`` for each item, in order; concurrently if ``uri``, where they are, is remote."""
    asked = list(items)
    if len(asked) < 2 or not is_remote(uri):
        return [work(item) for item in asked]
    with ThreadPoolExecutor(min(_MAX_CONCURRENT, len(asked)), thread_name_prefix="fasray-read") as threads:
        return list(threads.map(work, asked))


def write_bytes(uri: str, data: bytes) -> None:
    """Write ``data`` to ``uri`` so that readers find all of it or none; an older file is replaced.

    It is durable when this returns: locally bytes and rename are synchronised, remotely the store has confirmed it.

    Raises:
        DataError: the place cannot be written, or has no room.
        StorageError: the store cannot be reached, or refuses.
    """
    with _explaining(uri), _writing(uri):
        if is_remote(uri):
            fs, path = filesystem(uri)
            fs.pipe_file(path, data)
        else:
            local.replace_whole(local_path(uri), data)
    count_written(data)


def write_once(uri: str, data: bytes) -> bool:
    """Write ``data`` to ``uri`` unless the file exists; of several writers one wins.

    A write that is retried because its answer was lost counts as one.

    Returns:
        True if the file holds ``data`` now, False if it holds something else.

    Raises:
        DataError: the place cannot be written, or has no room.
        StorageError: the store cannot be reached, or refuses. One that ignores the condition replaces the file (see
            ``supports_conditional_writes``).
    """
    with _explaining(uri), _writing(uri):
        if is_remote(uri):
            fs, path = filesystem(uri)
            try:
                fs.pipe_file(path, data, mode="create")
            except Exception as error:
                if not faults.is_condition(error):
                    raise
                return read_bytes(uri) == data
        elif not local.create_whole(local_path(uri), data):
            return read_bytes(uri) == data
    count_written(data)
    return True


@contextlib.contextmanager
def _writing(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_remote(uri):
            raise
        raise DataError(
            f"this file cannot be written: {error.strerror or error}",
            where=uri,
            remedy="check the folder, its permissions and the free space",
        ) from error


def remove(uri: str) -> None:
    """Delete one file; a missing file is not an error."""
    with _writing(uri), contextlib.suppress(FileNotFoundError), _explaining(uri):
        fs, path = filesystem(uri)
        fs.rm_file(path)


def remove_folder(uri: str) -> None:
    """Delete everything under ``uri``; a missing folder is not an error."""
    with _writing(uri), contextlib.suppress(FileNotFoundError), _explaining(uri):
        if is_remote(uri):
            fs, path = filesystem(uri)
            fs.rm(path, recursive=True)
        elif local_path(uri).exists():
            shutil.rmtree(local_path(uri))


def remove_leftovers(uri: str) -> None:
    """Delete the half-written files directly under ``uri`` of writers that were killed; no process may write there now.

    An object store has none.
    """
    if not is_remote(uri):
        local.remove_leftovers(local_path(uri))


def open_read(uri: str) -> IO[bytes]:
    """Open ``uri`` for random-access reading.

    Raises:
        DataError: there is no such file.
        StorageError: the store cannot be reached, or refuses.
    """
    try:
        with _explaining(uri):
            fs, path = filesystem(uri)
            options = {"block_size": _BLOCK_BYTES} if is_remote(uri) else {}
            opened = fs.open(path, "rb", **options)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError("no such file", where=uri) from error
    except OSError as error:
        raise DataError(f"this file cannot be read: {error.strerror or error}", where=uri) from error
    return opened  # type: ignore[no-any-return]
