"""Where files are kept: a local disk, or any store that fsspec knows (``s3://`` ...), named by a path or a URI.

Files are written once and whole: a reader never sees half of one. Transient failures of a store are retried
(``retry``); all others are raised at once, with their remedy (``faults``).
"""

from fasray.storage.access import check_access, seconds_since_written, supports_conditional_writes
from fasray.storage.files import (
    exists,
    filesystem,
    listing,
    map_concurrently,
    open_read,
    read_bytes,
    read_many,
    remove,
    remove_folder,
    remove_leftovers,
    sizes,
    write_bytes,
    write_once,
)
from fasray.storage.fingerprints import FileFingerprint, file_fingerprints
from fasray.storage.local import lock_file, sync_folder
from fasray.storage.paths import absolute, is_remote, is_s3, join, local_path, local_place_of, parent, resolve
from fasray.storage.traffic import bytes_written

__all__ = [
    "FileFingerprint", "absolute", "bytes_written", "check_access", "exists", "file_fingerprints", "filesystem",
    "is_remote", "is_s3", "join", "listing", "local_place_of", "local_path", "lock_file", "map_concurrently",
    "open_read", "parent", "read_bytes", "read_many", "remove", "remove_folder", "remove_leftovers", "resolve",
    "seconds_since_written", "sizes", "supports_conditional_writes", "sync_folder", "write_bytes", "write_once",
]  # fmt: skip
