"""Types of the arguments and options that name a place: each command resolves its addresses here, first of all.

``~``, ``file://``, slashes at the end and so on mean the same place everywhere (``fasray.storage.resolve``).
"""

from __future__ import annotations

import os
from typing import Any

import click


class Address(click.ParamType[str]):
    """An address of something that is read, or of a folder that is written to."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address in its one spelling.

        Raises:
            SpecError: it names no place, or none of the kind that is wanted here.
        """
        from fasray.errors import SpecError

        names = [] if param is None else [name for name in param.opts if name.startswith("--")]
        try:
            return self.resolved(str(value))
        except SpecError as error:
            where = [*names, *filter(None, [error.where])] or ["an argument"]
            raise SpecError(error.what, where=" ".join(where), remedy=error.remedy) from error

    def resolved(self, text: str) -> str:
        """Return the address of ``text``; SpecError as ``convert``."""
        from fasray.storage import resolve

        return resolve(text)


class LocalAddress(Address):
    """A file or folder of this machine."""

    def resolved(self, text: str) -> str:
        """Return the path of ``text``, which may be any name if it is there."""
        from fasray.errors import SpecError
        from fasray.storage import local_path, resolve

        try:
            place = str(local_path(resolve(text)))
        except SpecError:
            if os.path.lexists(text):
                return text
            raise
        same = os.path.realpath(place) == os.path.realpath(text)
        return place if same or not os.path.lexists(text) else text


class OutputFolder(Address):
    """A folder that is written to."""

    def resolved(self, text: str) -> str:
        """Return the address of ``text``, where files are still there when the command has ended."""
        from fasray.errors import SpecError
        from fasray.storage import resolve

        place = resolve(text)
        scheme = place.partition("://")[0] if "://" in place else ""
        if scheme in ("memory", "http", "https", "data", "zip", "tar"):
            raise SpecError(
                f"nothing can be kept at an address that begins with {scheme}://", where=place,
                remedy="choose a local disk or an s3:// address",
            )  # fmt: skip
        return place


class OutputFile(OutputFolder):
    """A file that is written."""

    def resolved(self, text: str) -> str:
        """Return the address of ``text``, which is no folder's."""
        from fasray.errors import SpecError
        from fasray.storage import is_remote

        place = super().resolved(text)
        if text.rstrip().endswith("/") or (not is_remote(place) and os.path.isdir(place)):
            raise SpecError("this is a folder, not a file", where=place, remedy="add the name of a file in it")
        return place


ADDRESS = Address()
LOCAL = LocalAddress()
OUT_FOLDER = OutputFolder()
OUT_FILE = OutputFile()
