"""Addresses: a local path or a URI, always a string. ``resolve`` decides which place a spelling means, for everybody.

Other modules never split an address or open it with pathlib themselves; they ask ``local_path``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from fasray.errors import SpecError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ONE_SLASH = re.compile(r"(s3a?|gs|gcs|abfss?|adl|https?|hdfs|memory|file|local):(?!//)", re.IGNORECASE)
_LOCAL = ("file", "local")
_REMEDY = "write a path such as faces/ocim or /data/faces, or an address such as s3://bucket/faces"


def resolve(address: str | os.PathLike[str]) -> str:
    """Return the one spelling of an address: a local path as it is opened, or a URI ``scheme://...``.

    ``file://`` becomes the path that it names and ``~`` the home folder; slashes at the end, doubled slashes and
    ``.`` are dropped. A relative path stays relative to the working folder. ``..`` stays, for behind a link it is not
    what the text says; links are followed when the file is opened. ``?``, ``#``, ``*`` and blanks are ordinary letters.

    Raises:
        SpecError: it names no place, or not clearly one.
    """
    text = os.fspath(address)
    if not text.strip():
        raise SpecError("an address is empty", remedy=_REMEDY)
    if text != text.strip() or any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise SpecError(
            "an address must not begin or end with blanks, or hold control characters", where=repr(text),
            remedy="remove them",
        )  # fmt: skip
    return _place(text)


def _place(text: str) -> str:
    uri = _SCHEME.fullmatch(text)
    if uri is not None and uri[1].lower() not in _LOCAL:
        return _remote(uri[1].lower(), uri[2], text)
    if uri is not None:
        return _clean(_path_of(uri[2], text))
    if slip := _ONE_SLASH.match(text):
        scheme = slip[1].lower()
        if scheme in _LOCAL and text[slip.end() :].startswith("/"):  # file:/path, as Java and RFC 8089 write it
            return _clean(unquote(text[slip.end() :]))
        rest = text[slip.end() :].lstrip("/")
        meant = f"file:///path, or the path alone; a file of that name: ./{text}" if scheme in _LOCAL else (
            f"write {scheme}://{rest}; a file of that name: ./{text}"
        )  # fmt: skip
        raise SpecError(f"an address on {scheme} begins with {scheme}://", where=text, remedy=meant)
    return _clean(_home(text))


def is_remote(uri: str) -> bool:
    """Return whether ``uri`` is not on a local disk."""
    scheme = _SCHEME.match(uri)
    return scheme is not None and scheme[1].lower() not in _LOCAL


def is_s3(uri: str) -> bool:
    """Return whether ``uri`` is on an S3 object store."""
    return uri.lower().startswith(("s3://", "s3a://"))


def join(uri: str, *parts: str) -> str:
    """Append path parts to a local path or a URI."""
    return "/".join([uri.rstrip("/") or "/", *(p.strip("/") for p in parts)])


def absolute(uri: str | os.PathLike[str]) -> str:
    """Return an address that holds in any working folder."""
    place = _place(os.fspath(uri))
    return place if is_remote(place) else os.path.join(os.getcwd(), place)


def parent(address: str | os.PathLike[str]) -> str:
    """Return the folder that a place is in, in whatever spelling it is named; links on a local disk are followed."""
    place = absolute(address)
    return place.rsplit("/", 1)[0] if is_remote(place) else os.path.dirname(os.path.realpath(place))


def local_path(address: str | os.PathLike[str]) -> Path:
    """Return the path of an address on a local disk, in any of its spellings.

    Raises:
        SpecError: it is not on a local disk.
    """
    place = _place(os.fspath(address))
    if is_remote(place):
        raise SpecError("this must be on a local disk", where=place, remedy="give a path, or a file:// address")
    return Path(place)


def local_place_of(variable: str) -> Path | None:
    """Return the place on a local disk that an environment variable names, from the root on; None if it is not set.

    Raises:
        SpecError: it names no place on a local disk.
    """
    named = os.environ.get(variable)
    if not named:
        return None
    try:
        return Path(absolute(local_path(resolve(named))))
    except SpecError as error:
        raise SpecError(error.what, where=f"{variable}={named}", remedy=error.remedy) from error


def bucket_of(uri: str) -> str:
    """Return the part between the scheme and the first slash."""
    return uri.split("://", 1)[-1].split("/", 1)[0]


def _remote(scheme: str, rest: str, text: str) -> str:
    if scheme in ("s3", "s3a"):
        if not bucket_of(text):
            raise SpecError("this address names no bucket", where=text, remedy="write s3://bucket/folder")
        scheme = "s3"
    return f"{scheme}://{rest.rstrip('/')}"


def _path_of(rest: str, text: str) -> str:
    """Return the path that ``file://<rest>`` names."""
    if rest.startswith("localhost/"):
        rest = rest.removeprefix("localhost")
    if not rest.startswith("/"):
        raise SpecError(
            "a file:// address names a path of this machine from the root on", where=text,
            remedy="write three slashes, file:///data/faces, or the path alone",
        )  # fmt: skip
    return unquote(rest)


def _home(path: str) -> str:
    """Replace ``~`` or ``~user`` at the beginning, as a shell does."""
    if not path.startswith("~"):
        return path
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise SpecError(
            f"the home folder of {path.split('/')[0]} is not known", where=path,
            remedy=f"write the whole path, or set HOME; a file of that name is ./{path}",
        )  # fmt: skip
    return expanded


def _clean(path: str) -> str:
    """Drop what does not change the place: doubled slashes, ``.``, slashes at the end."""
    clean = "/".join(part for part in path.split("/") if part not in ("", "."))
    if path.startswith("/"):
        return f"/{clean}"
    if clean.startswith("~") or _ONE_SLASH.match(clean):  # read again it would be another place
        return os.path.join(os.getcwd(), clean)
    return clean or "."
