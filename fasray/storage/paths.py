"""Addresses: a local path or a URI, always a string."""

from __future__ import annotations

import os


def is_remote(uri: str) -> bool:
    """Return whether ``uri`` is not on a local disk."""
    return "://" in uri and not uri.startswith("file://")


def is_s3(uri: str) -> bool:
    """Return whether ``uri`` is on an S3 object store."""
    return uri.startswith(("s3://", "s3a://"))


def join(uri: str, *parts: str) -> str:
    """Append path parts to a local path or a URI."""
    return "/".join([uri.rstrip("/") or "/", *(p.strip("/") for p in parts)])


def absolute(uri: str) -> str:
    """Return an address that holds in any working folder."""
    return uri if "://" in uri else os.path.abspath(uri)


def bucket_of(uri: str) -> str:
    """Return the part between the scheme and the first slash."""
    return uri.split("://", 1)[-1].split("/", 1)[0]
