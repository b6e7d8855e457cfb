"""The contract of a dataset adapter: from a folder of a published corpus to its videos and what is wrong with them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal

from fasray.errors import DataError
from fasray.faces.corpora.findings import Findings, compare, count_by_split
from fasray.faces.corpora.generated import NOTE_NAME, subjects_of
from fasray.faces.corpora.source import SourceVideo

Kind = Literal["video", "image"]

_LITTER = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Survey:
    """One look at a folder: the videos that were understood, sorted by path, and the findings."""

    videos: tuple[SourceVideo, ...]
    findings: Findings


class Corpus(ABC):
    """A published dataset: how its files are named, who is in which split, and how many there should be.

    A subclass is one file of this package and one line of the registry. It must understand a path completely or not at
    all: a name that breaks a rule (a subject in the wrong split, an unknown device) is not understood, and is reported.
    """

    name: ClassVar[str]
    """As in ``fasray data prepare NAME``."""
    domain: ClassVar[str]
    """The letter of the literature; one corpus is one domain."""
    title: ClassVar[str]
    kind: ClassVar[Kind] = "video"
    """``image``: every file is one frame, and a "video" of one frame."""

    @abstractmethod
    def parse(self, path: str) -> SourceVideo | None:
        """Return what the relative path ``path`` (forward slashes) stands for, or None if it is no video of the corpus.

        Only the name is looked at; the file need not exist.
        """

    def official(self) -> tuple[SourceVideo, ...]:
        """Return every video that was published, sorted by path; empty if no complete list is known."""
        return ()

    def published(self) -> dict[str, tuple[int, int]]:
        """Return split -> (live, attack) videos as published; here those of the official list."""
        return count_by_split(self.official())

    def ignores(self, path: str) -> bool:
        """Tell whether a file that is no video belongs to the corpus all the same (lists, annotations)."""
        return False

    def survey(self, root: str) -> Survey:
        """Look at the folder ``root``: nothing is opened, every file is either understood, ignored or reported.

        Raises:
            DataError: ``root`` is no folder, or no file in it is a video of this corpus.
        """
        paths = list_files(root)
        videos, companions, unknown = self._sort(paths)
        if not videos:
            raise DataError(
                f"no file here is a video of {self.title}",
                where=root,
                remedy=f"name the folder that holds {self._example()}",
            )
        subjects = subjects_of(root)
        official, published = self._should_be(paths), self.published()
        notes = []
        if subjects is not None:
            official = tuple(video for video in official if video.subject in subjects)
            published = count_by_split(official)
            notes.append(f"generated videos ({NOTE_NAME}), {len(subjects)} subjects; scores on them are no evidence")
        return Survey(tuple(videos), compare(self.title, videos, official, published, unknown, companions, notes))

    def entries(self, root: str) -> list[SourceVideo]:
        """Return the videos in ``root``, sorted by path; see ``survey``."""
        return list(self.survey(root).videos)

    def check(self, root: str) -> Findings:
        """Return how ``root`` differs from the published corpus; see ``survey``."""
        return self.survey(root).findings

    def _should_be(self, paths: Iterable[str]) -> tuple[SourceVideo, ...]:
        """Return the official videos with paths as this copy would have them (some copies have one folder more)."""
        return self.official()

    def _sort(self, paths: Iterable[str]) -> tuple[list[SourceVideo], list[str], list[str]]:
        """Return (videos, companions that are there, files that nothing explains)."""
        videos, others = [], []
        for path in paths:
            video = self.parse(path)
            if video is None:
                others.append(path)
            else:
                videos.append(video)
        videos.sort(key=lambda video: video.path)
        expected = {path for video in videos for path in video.companions}
        companions = [path for path in others if path in expected]
        unknown = [path for path in others if path not in expected and path != NOTE_NAME and not self.ignores(path)]
        return videos, companions, unknown

    def _example(self) -> str:
        official = self.official()
        return official[0].path if official else "its videos in their published folders"


def list_files(root: str) -> list[str]:
    """Return all files under ``root``, relative, with forward slashes, sorted; links to folders are followed.

    Hidden files and what file managers leave behind are no files of a corpus.

    Raises:
        DataError: ``root`` is no folder.
    """
    if not os.path.isdir(root):
        raise DataError("there is no such folder", where=root, remedy="name the folder of the corpus")
    found = []
    entered = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = os.path.realpath(folder)
        if here in entered:
            folders.clear()
            continue
        entered.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(folder, root)
        for name in files:
            if not name.startswith(".") and name not in _LITTER:
                path = name if relative == os.curdir else os.path.join(relative, name)
                found.append(path.replace(os.sep, "/"))
    return sorted(found)
