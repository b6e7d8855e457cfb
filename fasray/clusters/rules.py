"""Rules that no schema knows, shared by both kinds of files: image tags, and credentials written out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from fasray.clusters.documents import ConfigFinding, Document
from fasray.yaml_lines import KeyPath

_CREDENTIALS = r"(?:SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|CREDENTIALS?)"
_ASSIGNED = re.compile(rf"\b([A-Z][A-Z0-9_]*{_CREDENTIALS}[A-Z0-9_]*)=(?!\$)[\"']?[^\s\"'$]")
SECRET_NAME = re.compile(rf"{_CREDENTIALS}(?!_PATH|_FILE|_MODE)", re.IGNORECASE)
_PATH_NAMES = ("_PATH", "_FILE", "_MODE", "_URI", "_ENDPOINT")
_RAY_IMAGE = re.compile(r"(?:^|/)rayproject/ray(?:-[a-z]+)?:(\d+\.\d+\.\d+)")
_RAY_IN_TAG = re.compile(r"ray-?v?(\d+\.\d+\.\d+)")


def installed_version(package: str) -> str:
    """Return the version of a package that is installed here, empty if none is."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def ray_version_of(image: str) -> str:
    """Return Ray's version in the name of an image, ``rayproject/ray:2.60.0`` or ``x:0.1-ray2.60.0``, or empty."""
    found = _RAY_IMAGE.search(image) or _RAY_IN_TAG.search(image.rpartition(":")[2])
    return found.group(1) if found else ""


def image_findings(
    document: Document, path: KeyPath, image: object, wanted: str, source: str
) -> Iterator[ConfigFinding]:
    """Check the tag of one image.

    Args:
        document: that names the image.
        path: of the image's name.
        image: its name.
        wanted: version of Ray that it must hold; empty for any.
        source: where that version comes from, for the message.
    """
    if not isinstance(image, str):
        return
    name, _, tag = image.rpartition(":")
    if "@sha256:" in image:
        return
    if not name or "/" in tag or tag == "latest":
        what = f"image {image!r} has no fixed tag: nodes that start later would run another version"
        yield document.finding(path, what, "name a tag that never moves, with Ray's version in it: 0.1.0-ray2.60.0")
        return
    found = ray_version_of(image)
    if wanted and found and found != wanted:
        what = f"image {image!r} holds Ray {found}, but {source} says {wanted}"
        remedy = "all nodes and the driver must run one version of Ray: change one of the two"
        yield document.finding(path, what, remedy)


def credential_findings(document: Document) -> Iterator[ConfigFinding]:
    """Find credentials that are assigned in a command or an option, ``NAME=value``; their values are never shown."""
    for path, text in document.texts():
        for match in _ASSIGNED.finditer(text):
            name = match.group(1)
            if not name.endswith(_PATH_NAMES):
                what = f"the credential {name} is written into the file"
                remedy = "take it from the instance's role, a mounted file or a secret; and change it, it has been seen"
                yield document.finding(path, what, remedy)
