"""Whether files may have changed since they were looked at, without reading them."""

from __future__ import annotations

import os
from typing import NamedTuple

from fasray.storage.files import filesystem, listed
from fasray.storage.paths import is_remote


class FileFingerprint(NamedTuple):
    """What a file system or a store says about a file's content, without reading it."""

    text: str
    """Changes whenever the file is written; empty if the store reports nothing of the kind."""
    changed_at: float
    """When the file changed last, seconds since 1970; 0 if ``text`` depends on the content alone.

    Clocks of file systems tick in milliseconds: a file that changes twice within a tick may keep its fingerprint.
    """


def file_fingerprints(uri: str) -> dict[str, FileFingerprint]:
    """Return the fingerprints of the files directly under ``uri``, by base name; empty if there is no such folder.

    On a local disk a fingerprint is size, modification time, change time and inode number, so that a file whose
    modification time was set back is detected, too. On S3 it is size and entity tag.
    """
    if is_remote(uri):
        return {name: FileFingerprint(_tag(entry), 0.0) for name, entry in listed(uri).items()}
    found = {}
    try:
        with os.scandir(filesystem(uri)[1]) as entries:
            for entry in entries:
                stat = entry.stat()
                text = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
                found[entry.name] = FileFingerprint(text, max(stat.st_mtime, stat.st_ctime))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def _tag(entry: dict[str, object]) -> str:
    tag = entry.get("ETag")
    return f"{entry.get('size')} {tag}" if tag else ""
