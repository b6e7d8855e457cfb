"""Any tree of live and attack folders, read by patterns of paths that the user gives (docs: Faces of your own).

``fasray data prepare folders SRC OUT --pattern '{domain}/{label}/{subject}_*.jpg'``

A file is a video, or the picture of one; with ``{frame}``, or several pictures of one ``{video}``, they are the frames
of a video. What is unknown may be left out, but for label and domain: without a subject, every video counts as a person
of its own, without a split all is training, and a video is named by its path.

Every file is matched by a pattern or listed. Links to folders are followed where they lead out of the tree, each folder
once; a file that is reached by two names is used once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fasray.errors import DataError, SpecError
from fasray.faces.corpora.corpus import Corpus, Survey
from fasray.faces.corpora.csv_corpus import DOMAIN_NAME, person_of
from fasray.faces.corpora.findings import Findings, compare
from fasray.faces.corpora.folder_words import ATTACK, LabelWords, split_of
from fasray.faces.corpora.generated import NOTE_NAME, generated_note, subjects_of
from fasray.faces.corpora.path_pattern import PathPattern, Reading
from fasray.faces.corpora.source_video import SourceVideo
from fasray.faces.corpora.tree import walk
from fasray.faces.media import named_as_media, named_as_picture
from fasray.names import by_number, canonical, is_utf8, printable

_TEXT = ("instrument", "session", "camera", "ethnicity", "sex", "age_group", "modality")
_FREE = "write * for the part of the path that says something else"


@dataclass(frozen=True)
class FolderRules:
    """How the user reads a tree.

    Attributes:
        patterns: see ``path_pattern``.
        labels: word -> ``live``, ``attack`` or an attack type, in addition to the words of ``folder_words``.
        domain: of all files, where no pattern says it.
        letters: domain as the path has it -> name that it gets.
    """

    patterns: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    domain: str = ""
    letters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """One file that a pattern fits."""

    path: str
    reading: Reading

    def get(self, name: str) -> str:
        return self.reading.values.get(name, "").strip()


class Folders(Corpus):
    """See the module.

    Args:
        rules: how the tree is read; None only names the adapter.

    Raises:
        SpecError: a pattern, a word or a name of the rules is not one, or they leave label or domain open.
    """

    name = "folders"
    domain = ""
    title = "folders"

    def __init__(self, rules: FolderRules | None = None) -> None:
        self._rules = rules or FolderRules(())
        self._patterns = [PathPattern(text) for text in self._rules.patterns]
        self._words = LabelWords(self._rules.labels)
        for pattern in self._patterns:
            self._check(pattern)

    def _check(self, pattern: PathPattern) -> None:
        if not pattern.fields & {"label", "attack_type"}:
            what = f"{pattern.text!r} does not say what is live"
            raise SpecError(what, where="--pattern", remedy="add {label}, {attack_type} or {label=live}")
        if ("domain" in pattern.fields) == bool(self._rules.domain):
            state = "says the domain already" if self._rules.domain else "does not say the domain"
            remedy = (
                "leave out --domain" if self._rules.domain else "add {domain}, or give one to all with --domain NAME"
            )
            raise SpecError(f"{pattern.text!r} {state}", where="--domain", remedy=remedy)

    def rules(self) -> dict[str, Any]:
        """See Corpus."""
        given = self._rules
        rules = {"patterns": list(given.patterns), "labels": dict(given.labels), "letters": dict(given.letters)}
        return rules | {"domain": given.domain}

    def survey(self, root: str) -> Survey:
        """Return the videos in ``root``; ``findings.extra`` are the files that no pattern fits.

        Raises:
            SpecError: there is no pattern, or a word or a domain is not known.
            DataError: no pattern fits any file, one fits in two ways, or a video has two values of a field.
        """
        if not self._patterns:
            raise SpecError(
                "the corpus 'folders' is read by a pattern", where="--pattern",
                remedy="for example --pattern '{domain}/{label}/{subject}_*.jpg'",
            )  # fmt: skip
        tree = walk(root)
        files = [file for path in tree.paths if (file := self._file(path)) is not None]
        fitting = {file.path for file in files}
        rest = [path for path in tree.paths if path not in fitting and path != NOTE_NAME]
        if not files:
            shown = ", ".join(map(printable, rest[:3])) or "the folder is empty"
            remedy = f"look at the names of the files: {shown}"
            raise DataError(f"no pattern fits any of {len(rest)} files", where=root, remedy=remedy)
        self._check_words(files)
        videos = tuple(sorted(self._videos(files), key=lambda video: video.path))
        _check_splits(videos)
        return Survey(root, videos, self._findings(root, videos, rest, [*tree.notes, *self._unused(files)]))

    def _unused(self, files: Sequence[_File]) -> Iterator[str]:
        """Yield a note for each word of the rules that no file has."""
        words = {file.get(name).casefold() for file in files for name in ("label", "attack_type")}
        domains = {file.get("domain") for file in files}
        yield from (
            f"--label {word}: no file has this word" for word in self._rules.labels if word.casefold() not in words
        )
        yield from (f"--letter {name}: no file has this domain" for name in self._rules.letters if name not in domains)

    def _findings(self, root: str, videos: Sequence[SourceVideo], rest: Sequence[str], notes: list[str]) -> Findings:
        if any("subject" not in pattern.fields for pattern in self._patterns):
            notes.append("no {subject} in a pattern: each of its videos counts as a person of its own")
        subjects = subjects_of(root)
        if subjects is not None:
            notes.append(generated_note(subjects))
        return compare(self.title, videos, (), {}, rest, (), notes, generated=subjects is not None)

    def _file(self, path: str) -> _File | None:
        """Return what the patterns say of a file; None if none fits, or it is neither a video nor a picture."""
        if not is_utf8(path) or not (named_as_media(path) or "." not in path.rpartition("/")[2]):
            return None
        found: dict[str, Reading] = {}
        for pattern in self._patterns:
            reading = pattern.read(canonical(path))
            if reading is not None:
                found[pattern.text] = reading
        if len({tuple(sorted(reading.values.items())) for reading in found.values()}) > 1:
            one, other = list(found)[:2]
            what = f"{one!r} and {other!r} both fit {printable(path)} and say different things of it"
            raise DataError(what, where="--pattern", remedy="make one of them narrower")
        return next((_File(path, reading) for reading in found.values()), None)

    def _check_words(self, files: Sequence[_File]) -> None:
        """Refuse words for labels, splits and domains that nobody knows, all of them together (SpecError)."""
        unknown: dict[tuple[str, str], list[str]] = {}
        for file in files:
            label, kind, split = (file.get(name) for name in ("label", "attack_type", "split"))
            meaning = self._words.meaning(label) if label else None
            if label and meaning is None:
                unknown.setdefault(("--label", label), []).append(file.path)
            elif kind and meaning != "live" and self._words.meaning(kind) is None:
                unknown.setdefault(("--label", kind), []).append(file.path)
            if split and split_of(split) is None:
                unknown.setdefault(("{split}", split), []).append(file.path)
            if not DOMAIN_NAME.fullmatch(self._domain(file)):
                unknown.setdefault(("--letter", self._domain(file)), []).append(file.path)
        for option, remedy in (
            (
                "--label",
                "say what each means: --label {}=live, or =attack, print, replay, mask, partial, makeup, other",
            ),
            ("--letter", "names have letters, digits and . _ - alone: --letter '{}=X'"),
            ("{split}", f"train, dev and test are known, and devel, val, eval and the like; {_FREE}"),
        ):
            words = {word: paths for (where, word), paths in unknown.items() if where == option}
            if words:
                listed = [f"  {word!r}: {len(paths)} files, {printable(paths[0])}" for word, paths in words.items()]
                what = f"{len(words)} words are not known:\n" + "\n".join(listed[:20])
                raise SpecError(what, where=option, remedy=remedy.format(next(iter(words))))

    def _domain(self, file: _File) -> str:
        name = self._rules.domain or file.get("domain")
        return self._rules.letters.get(name, name)

    def _videos(self, files: Sequence[_File]) -> Iterator[SourceVideo]:
        groups: dict[tuple[str, str, str], list[_File]] = {}
        for file in files:
            name, path = file.get("video"), canonical(_without_frame(file))
            key = (name, "") if name else (os.path.splitext(path)[0], path)
            groups.setdefault((self._domain(file), *key), []).append(file)
        for (domain, name, _), group in groups.items():
            yield self._video(domain, name, group)

    def _video(self, domain: str, name: str, group: Sequence[_File]) -> SourceVideo:
        """Return the video of a file, or of the files of its frames."""
        made = [self._of_file(domain, name, file) for file in group]
        for file, one in zip(group[1:], made[1:], strict=True):
            _check_same(name, group[0], made[0], file, one)
        if len(group) == 1 and group[0].reading.frame is None:
            return made[0]
        for file in group:
            if not named_as_picture(file.path):
                other = next(one for one in group if one is not file) if len(group) > 1 else file
                what = f"video {name!r} has two files: {printable(other.path)} and {printable(file.path)}"
                if other is file:
                    what = f"{printable(file.path)} has the number of a frame and is no picture"
                raise DataError(what, where="--pattern", remedy=_FREE)
        numbers: dict[int, _File] = {}
        for file in group:
            if file.reading.frame is not None:
                first = numbers.setdefault(int(file.get("frame")), file)
                if first is not file:
                    what = f"video {name!r} has two files of frame {file.get('frame')}"
                    where = f"{printable(first.path)}, {printable(file.path)}"
                    raise DataError(what, where=where, remedy="remove one of them, or make the pattern narrower")
        order = [numbers[number] for number in sorted(numbers)] or sorted(group, key=lambda one: by_number(one.path))
        path = _without_frame(group[0]) if numbers else os.path.commonprefix([file.path for file in order]) + "*"
        return replace(made[0], path=path, pictures=tuple(file.path for file in order))

    def _of_file(self, domain: str, name: str, file: _File) -> SourceVideo:
        attack_type = self._attack_type(file)
        values: dict[str, Any] = {column: file.get(column) for column in _TEXT}
        if attack_type == "live":
            values["instrument"] = ""
        return SourceVideo(
            path=file.path,
            attack_type=attack_type,
            domain=domain,
            subject=person_of(domain, file.get("subject") or name),
            video=f"{domain}/{name}",
            split=split_of(file.get("split")) or "train",
            **values,
        )

    def _attack_type(self, file: _File) -> str:
        """Return what the words of label and attack type say together.

        Raises:
            DataError: they contradict each other, or are both empty.
        """
        label, kind = file.get("label"), file.get("attack_type")
        said = {self._words.meaning(word) for word in (label, kind) if word} - {None}
        exact = said - {ATTACK}
        if not said or len(exact) > 1 or said == {"live", ATTACK}:
            what = f"the label is {label!r} and the attack type {kind!r}"
            raise DataError(
                what, where=printable(file.path), remedy="move the file, or say with --label what a word means"
            )
        return next(filter(None, exact), "other")


def _without_frame(file: _File) -> str:
    """Return a path with a star for the number of its frame."""
    if file.reading.frame is None:
        return file.path
    first, end = file.reading.frame
    path = canonical(file.path)
    return f"{path[:first]}*{path[end:]}"


def _check_same(name: str, first: _File, one: SourceVideo, file: _File, other: SourceVideo) -> None:
    """Refuse a video whose files differ in a field (DataError)."""
    for column in ("attack_type", "subject", "split", *_TEXT):
        values = getattr(one, column), getattr(other, column)
        if values[0] != values[1]:
            raise DataError(
                f"video {name!r} has two values of {column}: {values[0]!r} in {printable(first.path)} and "
                f"{values[1]!r} in {printable(file.path)}",
                where="--pattern",
                remedy="if these are two videos, write * for {video}: a video is named by its path then",
            )


def _check_splits(videos: Sequence[SourceVideo]) -> None:
    """Refuse a person who is in two splits (DataError)."""
    first: dict[str, SourceVideo] = {}
    for video in videos:
        other = first.setdefault(video.subject, video)
        if other.split != video.split:
            raise DataError(
                f"subject {video.subject!r} is in two splits: {other.split} ({printable(other.path)}) and "
                f"{video.split} ({printable(video.path)})",
                where="--pattern",
                remedy="if the numbers of people begin again in every split, write * for {split}, or for {subject}",
            )
