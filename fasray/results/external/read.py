"""Score files of other programs, read into typed columns; what a file does not say is declared, never guessed.

====================  ===========================================================================================
csv, tsv              a header with ``score`` and ``label``, and ``subject``, ``video``, ``domain``,
                      ``attack_type``, ``frame``, ``role`` where known; other columns are left alone
bob.pad csv           a header with ``score`` and ``is_bonafide`` (True, False), ``claimed_id`` (the subject),
                      ``test_label`` (the video), ``attack_type``; ``frame_id`` where it is there
parquet               the columns of either; fasray's own score files are such
bob.pad text          no header; ``claimed_id real_id test_label score`` or, with a model's name in the second of
                      five columns, ``claimed_id model real_id test_label score``; bona fide where both ids are the
                      same, else the real id is the attack type
score and label text  no header; ``score label`` on each line, as CDCN and its descendants write it
====================  ===========================================================================================

``label`` is live where it equals the declared word (``1``), and an attack elsewhere; at most one other word may occur.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError, did_you_mean
from fasray.metrics import TARGET
from fasray.storage.parquet import DAMAGE

Direction = Literal["higher", "lower"]
"""Which scores are the more live ones."""

_OPTIONAL = ("subject", "video", "domain", "attack_type", "frame", "role")
_BOB = {"claimed_id": "subject", "test_label": "video", "attack_type": "attack_type", "frame_id": "frame",
        "is_bonafide": "label", "score": "score"}  # fmt: skip
_TEXT = {2: ("score", "label"), 4: ("subject", "real_id", "video", "score"),
         5: ("subject", "model", "real_id", "video", "score")}  # fmt: skip
_LARGEST_FRAME = 2**53


@dataclass(frozen=True, eq=False)
class ExternalScores:
    """The rows of a score file, equal length N; a column that the file does not have is None."""

    file: str
    layout: str
    """Which of the layouts above it has."""
    live_is: Direction
    """Direction of the file's own scores."""
    score: NDArray[np.float64]
    """[N] higher = more live: the file's scores, negated where lower ones are."""
    label: NDArray[np.int8]
    """[N] 1 = live, 0 = attack."""
    subject: NDArray[np.str_] | None = None
    video: NDArray[np.str_] | None = None
    domain: NDArray[np.str_] | None = None
    attack_type: NDArray[np.str_] | None = None
    frame: NDArray[np.int64] | None = None

    def native(self, value: float) -> float:
        """Return a score or threshold in the file's own direction, or one of those in ours: the same step."""
        return value if self.live_is == "higher" else -value


@dataclass(frozen=True)
class _Table:
    """Values by column, and the place of each row in the file."""

    layout: str
    columns: Mapping[str, Sequence[Any]]
    places: Sequence[str]


def read_external(uri: str, live_is: Direction, live_label: str = "1", role: str = TARGET) -> ExternalScores:
    """Read a score file.

    Args:
        uri: of the file; ``.parquet`` is Parquet, ``.csv`` and ``.tsv`` have a header, anything else is text without.
        live_is: which scores the file gives to live faces.
        live_label: what its label column says of them; ``True`` is what ``is_bonafide`` says.
        role: which rows count in a file with a column ``role``, such as fasray's own.

    Raises:
        DataError: there is no such file, it is empty or damaged, has no score or label, or a value cannot be read;
            with file and line.
    """
    content = storage.read_bytes(uri)
    ending = uri.rsplit("/", 1)[-1].rpartition(".")[2].lower()
    if ending in ("parquet", "pq"):
        table = _parquet(content, uri)
    elif ending in ("csv", "tsv"):
        table = _csv(_decoded(content, uri), uri, "\t" if ending == "tsv" else ",")
    else:
        table = _text(_decoded(content, uri), uri)
    return _typed(_of_role(table, role, uri), uri, live_is, live_label)


def _decoded(content: bytes, uri: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError("this is not UTF-8 text", where=f"{uri}, line {line}", remedy="save it as UTF-8") from error


def _parquet(content: bytes, uri: str) -> _Table:
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        layout, names = _columns_of(file.schema_arrow.names, uri)
        read = file.read(columns=list(names), use_threads=False)
        read.validate(full=True)  # texts that are not UTF-8 would be found only when they are used
    except DAMAGE as error:
        remedy = "write the file again, or give the scores as csv"
        raise DataError(f"the Parquet file cannot be read: {error}", where=uri, remedy=remedy) from error
    columns = {ours: read.column(theirs).to_pylist() for theirs, ours in names.items()}
    places = [f"row {row + 1}" for row in range(read.num_rows)]
    return _Table("parquet" if layout == "csv" else f"{layout.removesuffix('csv')}parquet", columns, places)


def _csv(text: str, uri: str, delimiter: str) -> _Table:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[list[str]] = []
    places: list[str] = []
    try:
        header = [word.strip() for word in next(lines, [])]
        if len(set(header)) < len(header):
            raise DataError("a column occurs twice", where=f"{uri}, line 1", remedy="give each another name")
        layout, names = _columns_of(header, uri)
        for words in lines:
            if not words:
                continue
            place = f"line {lines.line_num}"
            if len(words) != len(header):
                what = f"{len(words)} values where the header names {len(header)}"
                raise DataError(what, where=f"{uri}, {place}", remedy="quote values that hold the separator")
            rows.append(words)
            places.append(place)
    except csv.Error as error:
        remedy = "check its quotation marks"
        raise DataError(
            f"this is not valid csv: {error}", where=f"{uri}, line {lines.line_num}", remedy=remedy
        ) from error
    positions = {ours: header.index(theirs) for theirs, ours in names.items()}
    return _Table(layout, {ours: [row[at].strip() for row in rows] for ours, at in positions.items()}, places)


def _columns_of(header: Sequence[str], uri: str) -> tuple[str, dict[str, str]]:
    """Return the layout and from which columns of the file ours come."""
    if "is_bonafide" in header and "label" not in header:
        layout, names = "bob.pad csv", {theirs: ours for theirs, ours in _BOB.items() if theirs in header}
        names |= {own: own for own in _OPTIONAL if own in header and own not in names.values()}
    else:
        layout, names = "csv", {own: own for own in ("score", "label", *_OPTIONAL) if own in header}
    for needed in ("score", "label"):
        if needed not in names.values():
            shown = ", ".join(header) if header else "none"
            raise DataError(
                f"no column {needed!r}; the columns are: {shown}",
                where=f"{uri}, line 1",
                remedy=f"name it {needed!r}; {did_you_mean(needed, header)}" if header else "give it a header",
            )
    return layout, names


def _text(text: str, uri: str) -> _Table:
    rows: list[list[str]] = []
    places: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words:
            continue
        width = len(rows[0]) if rows else len(words)
        if len(words) != width or width not in _TEXT:
            raise DataError(
                f"{len(words)} words" + (f" where the lines above have {width}" if rows else ""),
                where=f"{uri}, line {number}",
                remedy="text has `score label`, or bob's `claimed_id real_id test_label score`; else write csv",
            )
        rows.append(words)
        places.append(f"line {number}")
    if not rows:
        return _Table("text", {"score": [], "label": []}, [])
    names = _TEXT[len(rows[0])]
    columns: dict[str, Sequence[Any]] = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    if "real_id" not in columns:
        return _Table("score and label text", columns, places)
    same = [claimed == real for claimed, real in zip(columns["subject"], columns["real_id"], strict=True)]
    types = ["" if live else real for live, real in zip(same, columns["real_id"], strict=True)]
    common = {name: columns[name] for name in ("score", "subject", "video")}
    return _Table("bob.pad text", {**common, "label": same, "attack_type": types}, places)


def _of_role(table: _Table, role: str, uri: str) -> _Table:
    """Keep the rows of one role, if the file has roles."""
    if "role" not in table.columns:
        return table
    roles = table.columns["role"]
    chosen = [row for row, name in enumerate(roles) if name == role]
    if roles and not chosen:
        raise DataError(
            f"no row has the role {role!r}", where=uri, remedy=did_you_mean(role, {str(name) for name in roles})
        )
    columns = {name: [values[row] for row in chosen] for name, values in table.columns.items() if name != "role"}
    return _Table(table.layout, columns, [table.places[row] for row in chosen])


def _typed(table: _Table, uri: str, live_is: Direction, live_label: str) -> ExternalScores:
    if not table.places:
        raise DataError("the file has no scores", where=uri, remedy="check that the right file was named")
    score = np.array(_numbers(table, "score", uri), np.float64)
    nan = np.flatnonzero(np.isnan(score))
    if nan.size:
        raise DataError(
            f"{nan.size} of {len(score)} scores are NaN, this one first",
            where=f"{uri}, {table.places[nan[0]]}",
            remedy="leave these rows out, or give them the least live score, and say which",
        )
    frame = table.columns.get("frame")
    words = {name: _words(table, name, uri) for name in ("subject", "video", "domain", "attack_type")}
    return ExternalScores(
        file=uri,
        layout=table.layout,
        live_is=live_is,
        score=score if live_is == "higher" else -score,
        label=_labels(table, uri, live_label),
        frame=None if frame is None else np.array(_numbers(table, "frame", uri, whole=True), np.int64),
        **words,
    )


def _numbers(table: _Table, name: str, uri: str, *, whole: bool = False) -> list[float]:
    found = []
    for value, place in zip(table.columns[name], table.places, strict=True):
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise DataError(
                f"{name} {_shown(value)} is not a number", where=f"{uri}, {place}", remedy="give a number with a dot"
            ) from None
        if whole and not (number.is_integer() and abs(number) <= _LARGEST_FRAME):
            raise DataError(
                f"{name} {_shown(value)} is not a frame index", where=f"{uri}, {place}", remedy="give whole numbers"
            )
        found.append(number)
    return found


def _labels(table: _Table, uri: str, live_label: str) -> NDArray[np.int8]:
    values = table.columns["label"]
    if table.layout.startswith("bob.pad"):
        live_label = "True"
    words = [_canonical(value) for value in values]
    wanted = _canonical(live_label)
    others: dict[str, str] = {}
    for value, word, place in zip(values, words, table.places, strict=True):
        if word == "" or (word != wanted and len(others) == 1 and word not in others):
            seen = f"; others are {live_label} and {next(iter(others))}" if others else ""
            remedy = "a label is one of two words; --live-label names that of live faces"
            raise DataError(f"label {_shown(value)}{seen}", where=f"{uri}, {place}", remedy=remedy)
        if word != wanted:
            others[word] = place
    if len(others) == 1 and wanted not in words:
        (other, place), *_ = others.items()
        raise DataError(
            f"no row has the label {live_label!r} of live faces; all have {other!r}",
            where=f"{uri}, {place}",
            remedy="name the word for live faces with --live-label; one class alone has no error rates",
        )
    return np.array([word == wanted for word in words], np.int8)


def _canonical(value: Any) -> str:
    """Return a label as one word: 1, 1.0 and "1" are the same, and so are True and "true"."""
    word = str(value).strip().casefold() if value is not None else ""
    try:
        number = float(word)
    except ValueError:
        return word
    return str(int(number)) if number.is_integer() else word


def _words(table: _Table, name: str, uri: str) -> NDArray[np.str_] | None:
    values = table.columns.get(name)
    if values is None:
        return None
    if name == "video":
        for value, place in zip(values, table.places, strict=True):
            if value is None or value == "":
                remedy = "name each row's video, or leave the column out"
                raise DataError("the video has no name", where=f"{uri}, {place}", remedy=remedy)
    return np.array(["" if value is None else str(value) for value in values], np.str_)


def _shown(value: Any) -> str:
    return ascii(value if value is None or len(str(value)) <= 40 else f"{str(value)[:40]}...")
