"""Corpora whose file names hold all labels: parse the names, compare them with the official list."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache

from fasray.errors import DataError
from fasray.faces.corpora.corpus import Corpus, Survey, list_files
from fasray.faces.corpora.findings import compare, count_by_split
from fasray.faces.corpora.generated import NOTE_NAME, subjects_of
from fasray.faces.corpora.source_video import SourceVideo
from fasray.names import is_utf8

_PAPERS = re.compile(r"(.*/)?(read_?me|licen[cs]e|eula|agreement|md5|sha256)[^/]*", re.IGNORECASE)
"""Files that come with any download."""
_DEEPEST = 5
"""How many folders deep a corpus is looked for, to suggest where it is."""


class NamedCorpus(Corpus):
    """A corpus whose file names hold all labels.

    A subclass understands a path completely or not at all: a name that breaks a rule (a subject in the wrong split, an
    unknown device) is not understood, and is reported.
    """

    @abstractmethod
    def parse(self, path: str) -> SourceVideo | None:
        """Return the video with the relative path ``path`` (forward slashes), or None if it is not one of the corpus.

        Only the name is looked at; the file need not exist.
        """

    def official_paths(self) -> list[str]:
        """Return the paths of all videos that were published; empty if no complete list is known."""
        return []

    @cache  # noqa: B019 - adapters live as long as the process
    def official(self) -> tuple[SourceVideo, ...]:
        """See Corpus."""
        return tuple(video for video in map(self.parse, sorted(self.official_paths())) if video is not None)

    def ignores(self, path: str) -> bool:
        """Return whether a file that is not a video belongs to the corpus (lists, annotations)."""
        return False

    def remarks(self, videos: Sequence[SourceVideo]) -> list[str]:
        """Return what a reader of the findings should know about these videos."""
        return []

    def survey(self, root: str) -> Survey:
        """See Corpus. With a note of a mimic in ``root``, only the subjects that it names are asked for."""
        paths = list_files(root)
        videos, companions, unknown = self._sort(paths)
        if not videos:
            example = next((video.path for video in self.official()), "its videos in their published folders")
            raise DataError(
                f"no file here is a video of {self.title}",
                where=root,
                remedy=f"name the folder that holds {example}{self._further_down(paths)}",
            )
        subjects = subjects_of(root)
        official, published, notes = self._should_be(paths), self.published(), self.remarks(videos)
        if subjects is not None:
            official = tuple(video for video in official if video.subject in subjects)
            published = count_by_split(official)
            notes.append(f"generated videos ({NOTE_NAME}), {len(subjects)} subjects; scores on them are no evidence")
        findings = compare(
            self.title, videos, official, published, unknown, companions, notes, generated=subjects is not None
        )
        return Survey(root, tuple(videos), findings)

    def _should_be(self, paths: Iterable[str]) -> tuple[SourceVideo, ...]:
        """Return the official videos with paths as this copy would have them (some copies have one folder more)."""
        return self.official()

    def _sort(self, paths: Iterable[str]) -> tuple[list[SourceVideo], list[str], list[str]]:
        """Return (videos, companions that are there, files that nothing explains)."""
        parsed = {path: self.parse(path) if is_utf8(path) else None for path in paths}
        videos = sorted((video for video in parsed.values() if video is not None), key=lambda video: video.path)
        others = [path for path, video in parsed.items() if video is None]
        expected = {path for video in (*videos, *self.official()) for path in video.companions}
        companions = [path for path in others if path in expected]
        unknown = [
            path
            for path in others
            if path not in expected and path != NOTE_NAME and not _PAPERS.fullmatch(path) and not self.ignores(path)
        ]
        return videos, companions, unknown

    def _further_down(self, paths: Iterable[str]) -> str:
        """Return a hint if the corpus is in a subfolder of the one that was named."""
        for path in paths:
            parts = path.split("/")
            for depth in range(1, min(len(parts), _DEEPEST)):
                if self.parse("/".join(parts[depth:])) is not None:
                    return f"; here that is {'/'.join(parts[:depth])}"
        return ""
