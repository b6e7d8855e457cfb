"""Corpora whose videos are folders of pictures, one a frame, with the lists that their owners give.

The owners of the CASIA corpora publish fixed lists, one video or one picture a line and its label:
``protocol/NAME@pX_{video,image}_{train,dev,test}.txt``. The lists of videos in a copy are what should be in it. Whether
and how a list divides the videos among training and judging is a protocol's matter: ``fasray protocol import``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from fasray.errors import DataError
from fasray.faces.corpora.corpus import Survey
from fasray.faces.corpora.named import NamedCorpus
from fasray.faces.corpora.source_video import SourceVideo

_LIST = re.compile(r"(?:.+/)?[^/@]+@p([\d.]+)_(?:video|image)_(train|dev|test)\.txt")


class FrameCorpus(NamedCorpus):
    """A corpus whose videos are folders of pictures; ``parse`` is given such a folder.

    Pictures are frames in the order of their names; those of other names are reported and not used.
    """

    frame: ClassVar[re.Pattern[str]] = re.compile(r"\d+\.(jpg|png)")
    """The name of a picture that is a frame."""
    frame_ending: ClassVar[str] = ".jpg"
    """Of the pictures as they were published."""

    def video_path(self, path: str) -> str:
        """See NamedCorpus."""
        folder, _, name = path.rpartition("/")
        return folder if folder and self.frame.fullmatch(name) else path

    def frame_name(self, video: SourceVideo, number: int) -> str:
        """Return the name that a frame of a video has, for mimics."""
        return f"{number:04d}{self.frame_ending}"


class ListedCorpus(FrameCorpus):
    """A corpus of frame folders whose owners' lists are the list of what should be there."""

    folder = "Data/"
    list_name: ClassVar[str]
    """What the owners' lists call the corpus: the first part of their names and of the paths in them."""

    def ignores(self, path: str) -> bool:
        """The owners' lists are no videos."""
        return _LIST.fullmatch(path) is not None

    def survey(self, root: str) -> Survey:
        """See Corpus. Entries of the lists that name no video of this corpus are noted."""
        found = super().survey(root)
        unclear = self._not_there(root, found)
        if not unclear:
            return found
        note = f"{len(unclear)} entries of the lists in protocol/ are not understood, the first: {unclear[0]}"
        return replace(found, findings=replace(found.findings, notes=(*found.findings.notes, note)))

    def _not_there(self, root: str, found: Survey) -> list[str]:
        """Return the paths that videos of the lists would have here and that are neither found nor called missing."""
        findings = found.findings
        around = self._around(video.path for video in found.videos)
        known = {video.path for video in found.videos} | {*findings.missing}
        known |= {item.nearest for item in findings.misnamed}
        return sorted({around + entry for _, _, entry in self.entries_listed(root)} - known)

    def _should_be(self, root: str, paths: Iterable[str]) -> tuple[SourceVideo, ...]:
        """Return the official videos and those that the lists in this copy name, with paths as this copy has them."""
        around = self._around(paths)
        listed = {entry for _, _, entry in self.entries_listed(root)}
        found = (self.parse(around + entry) for entry in sorted(listed))
        official = {video.path: video for video in super()._should_be(root, paths)}
        official |= {video.path: video for video in found if video is not None}
        return tuple(official[path] for path in sorted(official))

    def papers(self, videos: Iterable[SourceVideo]) -> dict[str, str]:
        """See Corpus. One list a split, as protocol 1: live is 0, an attack is 1."""
        lists: dict[str, str] = {}
        for video in videos:
            path = f"protocol/{self.list_name}@p1_video_{video.split}.txt"
            lists[path] = lists.get(path, "") + f"{self.list_name}/{self.folder}{video.path} {1 - video.label}\n"
        return lists

    def entries_listed(self, root: str) -> Iterator[tuple[str, str, str]]:
        """Yield (protocol, part, path without name of the corpus and ``folder``) of the lists of videos in a copy.

        Raises:
            DataError: a list cannot be read.
        """
        for path in sorted(Path(root, "protocol").glob("*_video_*.txt")):
            match = _LIST.fullmatch(path.name)
            if match is None:
                continue
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError) as error:
                what = f"the list cannot be read: {error}"
                raise DataError(what, where=str(path), remedy="get the file again") from error
            for words in filter(None, (line.replace(",", " ").split() for line in lines)):
                entry = words[0].partition("/")[2]
                yield match[1], match[2], entry.removeprefix(self.folder).rstrip("/")
