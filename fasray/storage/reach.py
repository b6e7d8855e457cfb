"""Looks at a store before anything is entrusted to it: does it answer, does it let us in, does it keep conditions."""

from __future__ import annotations

import contextlib
from email.utils import parsedate_to_datetime

from fasray.errors import SpecError
from fasray.storage import faults, patience
from fasray.storage.files import filesystem
from fasray.storage.paths import is_remote, is_s3

_answered: set[tuple[int, str]] = set()


def reach(uri: str) -> None:
    """Make sure that the store of ``uri`` answers now and lets us list there; to be called before the first use.

    Whoever has mistyped an address or a key learns it at once. A store that has answered once is trusted from then on:
    what it does not do later is waited for. A local path is always near.

    Raises:
        StorageError: nothing answers, the bucket does not exist, or the credentials do not do.
        SpecError: the address holds credentials, or ``FASRAY_STORE_PATIENCE`` is no number.
    """
    if not is_remote(uri):
        return
    patience.total_seconds()
    fs, path = filesystem(uri)
    try:
        if not is_s3(uri):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                fs.ls(path)
            return
        bucket, _, key = path.partition("/")
        if (id(fs), bucket) in _answered:
            return
        fs.call_once("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
        _answered.add((id(fs), bucket))
    except Exception as error:
        raise faults.explained(error, uri) from error


def keeps_conditions(uri: str, data: bytes) -> bool:
    """Tell whether the store refuses to write where something stands, as ``write_once`` needs it to.

    Args:
        uri: a file that stands there; a store that ignores the condition overwrites it.
        data: its content.

    Raises:
        SpecError: no conditional write is known for this kind of store.
        StorageError: the store cannot be reached, or refuses.
    """
    if not is_remote(uri):
        return True
    if not is_s3(uri):
        raise SpecError("only s3:// and local disks keep the conditions that this needs", where=uri)
    fs, path = filesystem(uri)
    try:
        fs.pipe_file(path, data, mode="create")
    except Exception as error:
        if faults.is_condition(error):
            return True
        raise faults.explained(error, uri) from error
    return False


def seconds_since_written(uri: str) -> float:
    """Return how long ago a file on S3 was written, by the clock of its server, to about a second.

    Raises:
        StorageError: the store cannot be reached, or refuses.
    """
    fs, path = filesystem(uri)
    bucket, _, key = path.partition("/")
    try:
        answer = fs.call_s3("head_object", Bucket=bucket, Key=key)
    except Exception as error:
        raise faults.explained(error, uri) from error
    sent = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    return float((sent - answer["LastModified"]).total_seconds())
