"""Where files are kept: a local disk, or any store that fsspec knows (``s3://`` ...), named by a path or a URI.

Files are written once and whole: a reader never sees half of one. What a store cannot do just now is waited for
(``patience``); what it will never do is said at once and with its remedy (``faults``).
"""

from fasray.storage.files import (
    at_once,
    exists,
    filesystem,
    listing,
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
from fasray.storage.local import sync_folder
from fasray.storage.paths import absolute, is_remote, is_s3, join
from fasray.storage.reach import keeps_conditions, reach, seconds_since_written
from fasray.storage.stamps import Stamp, stamps
from fasray.storage.traffic import bytes_written

__all__ = [
    "Stamp", "absolute", "at_once", "bytes_written", "exists", "filesystem", "is_remote", "is_s3", "join",
    "keeps_conditions", "listing", "open_read", "reach", "read_bytes", "read_many", "remove", "remove_folder",
    "remove_leftovers", "seconds_since_written", "sizes", "stamps", "sync_folder", "write_bytes", "write_once",
]  # fmt: skip
