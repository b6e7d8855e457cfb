"""The files of a tree with links: each once, whatever leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from fasray.errors import DataError
from fasray.faces.corpora.corpus import LITTER
from fasray.names import printable

_Files = Iterator[tuple[bool, str, str]]


@dataclass(frozen=True)
class Tree:
    """What there is under a folder."""

    paths: tuple[str, ...]
    """Relative, with forward slashes, sorted; hidden files and those of file managers left out."""
    notes: tuple[str, ...]
    """Links that were not followed, and why."""


def walk(root: str) -> Tree:
    """Return the files under ``root``.

    A link to a folder is followed if that is not in the tree, nor entered by another link. Of the names of one file,
    the one that is no link is taken, else the first.

    Raises:
        DataError: ``root`` is not a folder.
    """
    if not os.path.isdir(root):
        raise DataError("there is no such folder", where=root, remedy="name the folder of the files")
    notes: list[str] = []
    entered: dict[str, str] = {}
    found: list[tuple[bool, str, str]] = []
    links = [""]
    while links:  # what lies in the tree itself is entered before what links lead to
        further: list[str] = []
        for start in links:
            found += _enter(root, start, entered, further, notes)
        links = sorted(further)
    taken: dict[str, str] = {}
    for _, path, real in sorted(found):
        first = taken.setdefault(real, path)
        if first != path:
            notes.append(f"not used: {printable(path)} is a link to {printable(first)}")
    return Tree(tuple(sorted(taken.values())), tuple(sorted(notes)))


def _enter(root: str, start: str, entered: dict[str, str], links: list[str], notes: list[str]) -> _Files:
    """Yield (is it a link, path, real path) of the files under one folder, note links to folders, enter none twice."""
    top = os.path.join(root, start)
    for folder, folders, files in os.walk(top):
        relative = os.path.relpath(folder, root)
        here = "" if relative == os.curdir else relative.replace(os.sep, "/") + "/"
        real = os.path.realpath(folder)
        first = entered.setdefault(real, here or ".")
        if first != (here or "."):
            notes.append(f"not entered: {printable(here[:-1])} is the folder {printable(first.rstrip('/'))}")
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [name for name in folders if os.path.islink(os.path.join(folder, name))]:
            folders.remove(name)
            links.append(here + name)
        for name in files:
            if not name.startswith(".") and name not in LITTER:
                is_link, place = os.path.islink(os.path.join(folder, name)), os.path.join(real, name)
                yield is_link, here + name, os.path.realpath(place) if is_link else place
