"""Any other set: a folder of videos or images and a table ``manifest.csv`` that says what each of them is.

The first line of the CSV file (UTF-8, comma) names its columns, in any order:

============  ====================================================================================================
path          of a file, or of a folder of pictures that are the frames of one video; relative to the CSV file's
              folder, forward slashes; required
label         ``live`` or ``attack`` (also 1, bonafide; 0, spoof); required
domain        a short name; domains are what ``A&B->C`` in a sweep is made of; required
subject       the person, unique within the domain; required
attack_type   print, replay, mask, partial, makeup or other; required for attacks, empty or ``live`` for live
split         train, dev or test; default train
instrument, camera, session     free text; default empty
ethnicity, sex, age_group, modality     free text; default empty, which means unknown
video         name of the video, unique within the domain; default: the path without its ending
first_frame, last_frame         the window of frames that may be used, both included, from 0; default all
rotate        degrees clockwise that bring frames without a rotation tag upright: 0, 90, 180, 270; default 0
============  ====================================================================================================

All mistakes of a file are reported together, with their lines.
"""

from __future__ import annotations

import csv
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from fasray.errors import DataError, did_you_mean
from fasray.faces.corpora.corpus import Corpus, Survey, list_files
from fasray.faces.corpora.findings import Misnamed, compare
from fasray.faces.corpora.source_video import SourceVideo
from fasray.faces.record import ATTACK_TYPES, OPTIONAL_COLUMNS, SPLITS
from fasray.names import canonical, printable

FILE_NAME = "manifest.csv"
REQUIRED = ("path", "label", "domain", "subject")
OPTIONAL = (
    "attack_type", "split", "instrument", "camera", "session", "video", "first_frame", "last_frame", "rotate",
    *OPTIONAL_COLUMNS,
)  # fmt: skip
_LABELS = {"live": True, "1": True, "bonafide": True, "attack": False, "0": False, "spoof": False}
_ATTACKS = tuple(name for name in ATTACK_TYPES if name != "live")
DOMAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_MOST_SHOWN = 20


class CsvCorpus(Corpus):
    """See the module. Files that the table does not name are ignored."""

    name = "manifest"
    domain = ""
    title = "manifest"

    def survey(self, root: str) -> Survey:
        """Return the videos of ``manifest.csv`` in the folder ``root`` (or of the CSV file ``root``) that are there.

        Raises:
            DataError: there is no such file, it has mistakes (each named with its line), or none of its files exists.
        """
        table = Path(root) if Path(root).is_file() else Path(root) / FILE_NAME
        folder = str(table.parent)
        listed, hints = _located(folder, read_table(table))
        videos = tuple(video for video in listed if video.path not in hints)
        if not videos:
            there = next((f"; there is {printable(path)}" for path in hints.values() if path), "")
            remedy = f"paths are relative to the folder of the CSV file{there}"
            raise DataError("none of the files that it names exists", where=str(table), remedy=remedy)
        findings = compare(table.name, videos, listed, {}, (), ())
        misnamed = tuple(Misnamed(printable(path), name) for name, path in sorted(hints.items()) if path)
        missing = tuple(name for name, path in sorted(hints.items()) if not path)
        return Survey(folder, videos, replace(findings, missing=missing, misnamed=misnamed))


def _located(folder: str, listed: tuple[SourceVideo, ...]) -> tuple[tuple[SourceVideo, ...], dict[str, str]]:
    """Return the videos with their paths as the disk spells them; and listed path -> a file that may be it, or "".

    A name that was written on another system may be there with its accents in another Unicode form.
    """
    absent = {video.path for video in listed if not os.path.exists(os.path.join(folder, video.path))}
    if not absent:
        return listed, {}
    there = list_files(folder, hidden=True)
    same = {canonical(path): path for path in (*map(os.path.dirname, there), *there)}
    found = {path: same[canonical(path)] for path in absent if canonical(path) in same}
    like = _similar(there)
    hints = {path: next(filter(None, (like.get(key) for key in _keys(path))), "") for path in absent - found.keys()}
    videos = (replace(video, path=found.get(video.path, video.path)) for video in listed)
    return tuple(sorted(videos, key=lambda video: video.path)), hints


def _similar(paths: list[str]) -> dict[str, str]:
    """Return the files by what a mistaken spelling of their paths has in common with them."""
    found: dict[str, str] = {}
    for path in paths:
        old = path.encode("utf-8", "surrogateescape").decode("latin-1")  # as older systems wrote accents
        for key in (*_keys(path), *_keys(old)):
            found.setdefault(key, path)
    return found


def _keys(path: str) -> tuple[str, ...]:
    """Return what a path may share with another spelling: all but case, all but its ending, the name without folder."""
    folded = canonical(path).casefold()
    return folded, os.path.splitext(folded)[0], "/" + folded.rpartition("/")[2]


def read_table(table: Path) -> tuple[SourceVideo, ...]:
    """Return what a CSV file names, sorted by path; the files themselves are not looked for.

    Raises:
        DataError: it cannot be read, a column is missing or unknown, or rows have mistakes.
    """
    remedy = "see the page 'Faces of your own' of the documentation"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)  # spreadsheets of some languages write semicolons
            separator = max(",;\t", key=header.count)
            reader = csv.DictReader(file, restkey="", restval=None, strict=True, delimiter=separator)
            _check_header(list(reader.fieldnames or ()), str(table))
            rows = _Rows()
            for row in reader:
                rows.add(reader.line_num, row)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=str(table), remedy=remedy) from error
    except UnicodeDecodeError as error:
        what = f"cannot be read as CSV: it is not UTF-8 (byte 0x{error.object[error.start]:02x})"
        raise DataError(what, where=str(table), remedy="save it as UTF-8") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot be read as CSV: {error}", where=str(table), remedy=remedy) from error
    if rows.mistakes:
        shown = rows.mistakes[:_MOST_SHOWN]
        more = [f"and {len(rows.mistakes) - len(shown)} more"] if len(rows.mistakes) > len(shown) else []
        what = f"{len(rows.mistakes)} mistakes:\n" + "\n".join(f"  {line}" for line in shown + more)
        raise DataError(what, where=str(table), remedy=remedy)
    if not rows.videos:
        raise DataError("names no video", where=str(table), remedy=remedy)
    return tuple(sorted(rows.videos, key=lambda video: video.path))


def _check_header(columns: list[str], where: str) -> None:
    for name in columns:
        if name not in REQUIRED + OPTIONAL:
            raise DataError(f"unknown column {name!r}", where=where, remedy=did_you_mean(name, REQUIRED + OPTIONAL))
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        remedy = f"the first line names the columns; {', '.join(REQUIRED)} are required"
        raise DataError(f"column {missing[0]!r} is missing", where=where, remedy=remedy)
    if len(set(columns)) < len(columns):
        raise DataError("a column is named twice", where=where, remedy="name each column once")


@dataclass
class _Rows:
    """The rows so far, and what is wrong with them."""

    videos: list[SourceVideo] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    _line_of: dict[tuple[str, str], int] = field(default_factory=dict)
    _split_of: dict[str, tuple[str, int]] = field(default_factory=dict)

    def add(self, line: int, row: dict[str, Any]) -> None:
        """Add one row, or its mistakes."""
        try:
            video = _video(row)
            self._once(line, "path", canonical(video.path))
            self._once(line, "video", video.video)
            split, first = self._split_of.setdefault(video.subject, (video.split, line))
            if split != video.split:
                raise ValueError(
                    f"subject {row['subject']!r} is in split {video.split!r}, in line {first} in {split!r}"
                )
        except ValueError as error:
            self.mistakes.append(f"line {line}: {error}")
        else:
            self.videos.append(video)

    def _once(self, line: int, column: str, value: str) -> None:
        first = self._line_of.setdefault((column, value), line)
        if first != line:
            raise ValueError(f"{column} {value!r} is already in line {first}")


def _video(row: dict[str, Any]) -> SourceVideo:
    """Return the video of one row; ValueError says what is wrong."""
    if "" in row:
        raise ValueError(f"has more fields than the first line: {row['']}")
    if None in row.values():
        raise ValueError("has fewer fields than the first line")
    values = {name: str(value).strip() for name, value in row.items()}
    values |= {name: canonical(value) for name, value in values.items() if name != "path"}
    for name in REQUIRED:
        if not values[name]:
            raise ValueError(f"{name} is empty")
    domain, path = values["domain"], _path(values["path"])
    if not DOMAIN_NAME.fullmatch(domain):
        raise ValueError(f"domain {domain!r} is not a valid name (letters, digits, . _ -)")
    if values["label"].lower() not in _LABELS:
        raise ValueError(f"label {values['label']!r}: write live or attack")
    video = values.get("video") or canonical(str(PurePosixPath(path).with_suffix("")))
    return SourceVideo(
        path=path,
        attack_type=_attack_type(_LABELS[values["label"].lower()], values.get("attack_type", "")),
        instrument=values.get("instrument", ""),
        domain=domain,
        subject=person_of(domain, values["subject"]),
        video=f"{domain}/{video}",
        camera=values.get("camera", ""),
        session=values.get("session", ""),
        split=_one_of("split", values.get("split") or SPLITS[0], SPLITS),
        rotate_untagged=int(_one_of("rotate", values.get("rotate") or "0", ("0", "90", "180", "270"))),
        frames=_window(values.get("first_frame", ""), values.get("last_frame", "")),
        ethnicity=values.get("ethnicity", ""),
        sex=values.get("sex", ""),
        age_group=values.get("age_group", ""),
        modality=values.get("modality", ""),
    )


def person_of(domain: str, subject: str) -> str:
    """Return one name for both that no other pair has: joined by a hyphen where its first one parts them, else a slash.

    A domain never holds a slash, and what is joined by a hyphen holds none at all.
    """
    return f"{domain}/{subject}" if "-" in domain or "/" in subject else f"{domain}-{subject}"


def _path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError(f"path {value!r} is not relative to the folder of the CSV file, with forward slashes")
    return str(path)


def _attack_type(live: bool, value: str) -> str:
    if live:
        if value not in ("", "live"):
            raise ValueError(f"live with attack_type {value!r}")
        return "live"
    if not value:
        raise ValueError(f"attack_type is empty; an attack is one of {', '.join(_ATTACKS)}")
    return _one_of("attack_type", value, _ATTACKS)


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name} {value!r}: {did_you_mean(value, choices)}")
    return value


def _window(first: str, last: str) -> tuple[int, int] | None:
    if not first and not last:
        return None
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ValueError(f"first_frame {first!r} and last_frame {last!r}: two numbers from 0, the first not larger")
    return int(first), int(last) + 1
