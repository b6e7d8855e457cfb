"""The contract of a dataset adapter: from a folder of a published corpus to its videos and what is wrong with them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fasray.errors import DataError
from fasray.faces.corpora.findings import Findings, count_by_split
from fasray.faces.corpora.source_video import SourceVideo

Kind = Literal["video", "image"]

LITTER = ("Thumbs.db", "desktop.ini")
"""Files that file managers leave behind."""


@dataclass(frozen=True)
class Survey:
    """One look at a folder."""

    root: str
    """The folder that all paths are relative to."""
    videos: tuple[SourceVideo, ...]
    """Those that were understood, sorted by path."""
    findings: Findings
    """What else is there, or is missing."""


class Corpus(ABC):
    """A dataset on disk: where its videos are, who is in which split, and how many there should be.

    A subclass is one file of this package and one line of the registry. For most, the file names hold all labels: see
    ``NamedCorpus``.
    """

    name: ClassVar[str]
    """As in ``fasray data prepare NAME``."""
    domain: ClassVar[str]
    """The letter of the literature, one a corpus; empty for a manifest, which names its own domains."""
    title: ClassVar[str]
    kind: ClassVar[Kind] = "video"
    """``image``: every file is one frame, and a "video" of one frame."""

    @abstractmethod
    def survey(self, root: str) -> Survey:
        """Look at the folder ``root``: no video is opened, every file is understood, ignored or reported.

        Raises:
            DataError: ``root`` is not a folder, or no file in it is a video of this corpus.
        """

    def rules(self) -> dict[str, Any]:
        """Return the rules that a user gave this adapter, JSON values; empty if it has its own alone."""
        return {}

    def official(self) -> tuple[SourceVideo, ...]:
        """Return every video that was published, sorted by path; empty if no complete list is known."""
        return ()

    def examples(self) -> tuple[SourceVideo, ...]:
        """Return videos as they were published, for mimics: the official ones, or some that its rules allow."""
        return self.official()

    def papers(self, videos: Iterable[SourceVideo]) -> dict[str, str]:
        """Return the text files that a copy with just these videos has (lists, labels), by path, for mimics."""
        return {}

    def published(self) -> dict[str, tuple[int, int]]:
        """Return split -> (live, attack) videos as published; here those of the official list."""
        return count_by_split(self.official())

    def entries(self, root: str) -> list[SourceVideo]:
        """Return the videos in ``root``, sorted by path; see ``survey``."""
        return list(self.survey(root).videos)

    def check(self, root: str) -> Findings:
        """Return how ``root`` differs from the published corpus; see ``survey``."""
        return self.survey(root).findings


def list_files(root: str, *, hidden: bool = False) -> list[str]:
    """Return all files under ``root``, relative, with forward slashes, sorted; links to folders are followed.

    Hidden files, unless asked for, and those that file managers leave behind are skipped.

    Raises:
        DataError: ``root`` is not a folder.
    """
    if not os.path.isdir(root):
        raise DataError("there is no such folder", where=root, remedy="name the folder of the corpus")
    found = []
    entered = set()
    top = len(os.path.join(root, ""))
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        here = (status.st_dev, status.st_ino)
        if here in entered:
            folders.clear()
            continue
        entered.add(here)
        folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
        inner = folder[top:]
        names = (name for name in files if (hidden or not name.startswith(".")) and name not in LITTER)
        found += [(f"{inner}{os.sep}{name}" if inner else name).replace(os.sep, "/") for name in names]
    return sorted(found)
