"""Corpora whose file names hold all labels: parse the names, compare them with the official list."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

from fasray.errors import DataError
from fasray.faces.corpora.corpus import Corpus, Survey, list_files
from fasray.faces.corpora.findings import compare, count_by_split
from fasray.faces.corpora.generated import NOTE_NAME, generated_note, subjects_of
from fasray.faces.corpora.source_video import SourceVideo
from fasray.faces.media import named_as_picture
from fasray.names import by_number, is_utf8

_PAPERS = re.compile(r"(.*/)?(read_?me|licen[cs]e|eula|agreement|md5|sha256)[^/]*", re.IGNORECASE)
"""Files that come with any download."""
_ENDING = re.compile(r"\.(avi|mov|mp4|hdf5|jpg|png)\Z", re.IGNORECASE)
_VIDEOS = (".avi", ".mov", ".mp4", "")
"""Endings that the name of a folder of frames may lack of that of their video."""
_DEEPEST = 5
"""How many folders deep a corpus is looked for, to suggest where it is."""


class NamedCorpus(Corpus):
    """A corpus whose file names hold all labels.

    A subclass understands a path completely or not at all: a name that breaks a rule (a subject in the wrong split, an
    unknown device) is not understood, and is reported.
    """

    folder: ClassVar[str] = ""
    """A folder, with its slash, that some copies have around all the others; official paths are without it."""

    tagged: ClassVar[bool] = False
    """Whether its videos have rotation tags, so that frames which somebody took from them are upright."""

    by_name: ClassVar[bool] = False
    """Whether an official video may have another path (folders, ending): it is found by its name, ``video``."""

    listed: ClassVar[Mapping[str, tuple[int, int]]] = {}
    """split -> (live, attack) videos in public lists that are not the names of all; reported, not compared."""

    @abstractmethod
    def parse(self, path: str) -> SourceVideo | None:
        """Return the video with the relative path ``path`` (forward slashes), or None if it is not one of the corpus.

        Only the name is looked at; the file need not exist. Several files may be of one video if they agree about it.
        """

    def video_path(self, path: str) -> str:
        """Return the path of the video that the file ``path`` belongs to: its own, or the folder of a frame."""
        return path

    def official_paths(self) -> list[str]:
        """Return the paths of all videos that were published; empty if no complete list is known."""
        return []

    @cache  # noqa: B019 - adapters live as long as the process
    def official(self) -> tuple[SourceVideo, ...]:
        """See Corpus."""
        return self._parsed(self.official_paths())

    def ignores(self, path: str) -> bool:
        """Return whether a file that is not a video belongs to the corpus (lists, annotations)."""
        return False

    def remarks(self, videos: Sequence[SourceVideo]) -> list[str]:
        """Return what a reader of the findings should know about these videos; here, where ``listed`` differs."""
        found = {split: (0, 0) for split in self.listed} | count_by_split(videos)
        return [
            f"split {split}: {found[split][0]} live and {found[split][1]} attack videos; public lists have {live} and"
            f" {attack}"
            for split, (live, attack) in self.listed.items()
            if found[split] != (live, attack)
        ]

    def people(self, root: str, paths: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Return subject -> fields of SourceVideo that text files of the copy ``root`` say; ``paths`` are its files."""
        return {}

    def survey(self, root: str) -> Survey:
        """See Corpus. With a note of a mimic in ``root``, only the subjects that it names are asked for."""
        paths = list_files(root)
        videos, companions, unknown = self._sort(paths)
        if not videos:
            example = next((video.path for video in self.examples()), "its videos in their published folders")
            raise DataError(
                f"no file here is a video of {self.title}",
                where=root,
                remedy=f"name the folder that holds {example}{self._further_down(paths)}",
            )
        subjects, people = subjects_of(root), self.people(root, paths)
        videos = [_completed(video, people) for video in videos]
        official = tuple(_completed(video, people) for video in self._should_be(root, paths))
        published = self.published()
        if self.by_name:
            there = {video.video: video.path for video in videos}
            official = tuple(replace(video, path=there.get(video.video, video.path)) for video in official)
        notes = self.remarks(videos) if subjects is None else []
        if subjects is not None:
            official = tuple(video for video in official if video.subject in subjects)
            published = count_by_split(official)
            notes.append(generated_note(subjects))
        findings = compare(
            self.title, videos, official, published, unknown, companions, notes, generated=subjects is not None
        )
        return Survey(root, tuple(videos), findings)

    def _should_be(self, root: str, paths: Iterable[str]) -> tuple[SourceVideo, ...]:
        """Return the official videos with paths as this copy would have them (some copies have one folder more)."""
        around = self._around(paths)
        return tuple(replace(video, path=around + video.path) for video in self.official())

    def _around(self, paths: Iterable[str]) -> str:
        """Return ``folder`` if this copy has it, else nothing."""
        return self.folder if any(path.startswith(self.folder) for path in paths) else ""

    def _parsed(self, paths: Iterable[str]) -> tuple[SourceVideo, ...]:
        """Return the videos with these paths, sorted by path."""
        return tuple(video for video in map(self.parse, sorted(paths)) if video is not None)

    def _video(
        self, path: str, kind: tuple[str, str], subject: str, split: str, *, name: str = "", **more: Any
    ) -> SourceVideo:
        """Return a video of this corpus.

        Args:
            path: relative to the root.
            kind: (attack type, instrument).
            subject: without the domain.
            split: of ``record.SPLITS``.
            name: unique in the corpus and without ending; default: the path without ``folder`` and ending.
            more: other fields of SourceVideo.
        """
        return SourceVideo(
            **{"camera": "", "session": ""} | more,
            path=path,
            attack_type=kind[0],
            instrument=kind[1],
            domain=self.domain,
            subject=f"{self.domain}-{subject}",
            video=f"{self.domain}/{name or _stem(path.removeprefix(self.folder))}",
            split=split,
        )

    def _sort(self, paths: Iterable[str]) -> tuple[list[SourceVideo], list[str], list[str]]:
        """Return (videos, companions that are there, files that nothing explains)."""
        places: dict[str, list[str]] = {}
        for path in paths:
            places.setdefault(self.video_path(path), []).append(path)
        parsed = {path: self.parse(path) if is_utf8(path) else None for path in places}
        first: dict[str, SourceVideo] = {}
        files: dict[str, list[str]] = {}
        for place, found in parsed.items():
            if found is not None and first.setdefault(found.path, found) == found:
                files.setdefault(found.path, []).extend(places[place])
        whole = [_with_pictures(video, files[path]) for path, video in first.items()]
        framed = self._framed([path for path, video in parsed.items() if video is None], first)
        videos = sorted((*whole, *framed), key=lambda video: video.path)
        used = {path for video in framed for path in video.pictures}
        others = [
            path for path, video in parsed.items() if path not in used and not (video and first[video.path] == video)
        ]
        expected = {path for video in (*videos, *self.official()) for path in video.companions}
        companions = [path for path in others if path in expected]
        unknown = [
            path
            for path in others
            if path not in expected and path != NOTE_NAME and not _PAPERS.fullmatch(path) and not self.ignores(path)
        ]
        return videos, companions, unknown

    def _framed(self, paths: Iterable[str], there: Container[str]) -> list[SourceVideo]:
        """Return the videos of which a copy has the pictures, in a folder of the video's name, and not the file."""
        folders: dict[str, list[str]] = {}
        for path in sorted(filter(named_as_picture, filter(is_utf8, paths)), key=by_number):
            folders.setdefault(path.rpartition("/")[0], []).append(path)
        framed = []
        for folder, pictures in folders.items():
            video = next(filter(None, (self.parse(folder + ending) for ending in _VIDEOS)), None)
            if video is not None and video.path not in there:
                turn = 0 if self.tagged else video.rotate_untagged
                framed.append(replace(video, pictures=tuple(pictures), rotate_untagged=turn))
        return framed

    def _further_down(self, paths: Iterable[str]) -> str:
        """Return a hint if the corpus is in a subfolder of the one that was named."""
        for path in paths:
            parts = path.split("/")
            for depth in range(1, min(len(parts), _DEEPEST)):
                if self.parse(self.video_path("/".join(parts[depth:]))) is not None:
                    return f"; here that is {'/'.join(parts[:depth])}"
        return ""


def _completed(video: SourceVideo, people: Mapping[str, Mapping[str, Any]]) -> SourceVideo:
    """Return a video with what is known of its subject."""
    return replace(video, **people[video.subject]) if video.subject in people else video


def _with_pictures(video: SourceVideo, files: Sequence[str]) -> SourceVideo:
    """Return a video with the files of its frames, if it is none itself."""
    return video if video.path in files else replace(video, pictures=tuple(sorted(files, key=by_number)))


def _stem(path: str) -> str:
    """Return a path without the ending of its last part; folders of frames have none, whatever dots they hold."""
    return _ENDING.sub("", path)
