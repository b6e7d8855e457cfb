"""Whether files may have changed since they were looked at, without reading them."""

from __future__ import annotations

import os
from typing import NamedTuple

from fasray.storage.files import filesystem, listed
from fasray.storage.paths import is_remote


class Stamp(NamedTuple):
    """What a file system or a store knows of a file's content."""

    text: str
    """Another one whenever the file has been written; empty if the store tells nothing of the kind."""
    changed_at: float
    """When it changed last, seconds since 1970; 0 if the text follows from the content alone, whenever it was written.

    Clocks of file systems tick in milliseconds: a file that changes twice within a tick may have the same stamp.
    """


def stamps(uri: str) -> dict[str, Stamp]:
    """Return the stamps of the files directly under ``uri``, by base name; empty if there is no such folder.

    On a local disk a stamp is size, time of the last change of content and of the inode, and the inode's number: a file
    whose time was set back is found out, too. On S3 it is size and entity tag.
    """
    if is_remote(uri):
        return {name: Stamp(_tag(entry), 0.0) for name, entry in listed(uri).items()}
    found = {}
    try:
        with os.scandir(filesystem(uri)[1]) as entries:
            for entry in entries:
                stat = entry.stat()
                text = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
                found[entry.name] = Stamp(text, max(stat.st_mtime, stat.st_ctime))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return found


def _tag(entry: dict[str, object]) -> str:
    tag = entry.get("ETag")
    return f"{entry.get('size')} {tag}" if tag else ""
