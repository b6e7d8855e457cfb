"""Checks of a store before it is used: does it answer, is access allowed, does it support conditional writes."""

from __future__ import annotations

import contextlib
from email.utils import parsedate_to_datetime

from fasray.errors import SpecError
from fasray.storage import faults, retry
from fasray.storage.files import filesystem
from fasray.storage.paths import is_remote, is_s3

_answered: set[tuple[int, str]] = set()


def check_access(uri: str) -> None:
    """Make sure that the store of ``uri`` answers and allows listing there; to be called before the first use.

    A mistyped address or key is reported at once. After a store has answered once, later failures are retried. A local
    path is not checked.

    Raises:
        StorageError: nothing answers, the bucket does not exist, or the credentials are refused.
        SpecError: the address holds credentials, or ``FASRAY_STORE_PATIENCE`` is not a number.
    """
    if not is_remote(uri):
        return
    retry.total_seconds()
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


def supports_conditional_writes(uri: str, data: bytes) -> bool:
    """Return whether the store refuses to overwrite a file conditionally, as ``write_once`` needs it to.

    Args:
        uri: a file that exists; a store that ignores the condition overwrites it.
        data: its content.

    Raises:
        SpecError: conditional writes are not supported for this kind of store.
        StorageError: the store cannot be reached, or refuses.
    """
    if not is_remote(uri):
        return True
    if not is_s3(uri):
        raise SpecError("only s3:// and local disks support conditional writes", where=uri)
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
