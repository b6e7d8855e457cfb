"""Score files that are text: which separator, whether there is a header, and which column is what.

Decided where the content leaves one reading; refused, with the option that names it, where it leaves several or none.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from fasray.errors import DataError
from fasray.results.external.columns import Request, Table, columns_of
from fasray.results.external.values import canonical, is_number

_SEPARATORS = ("\t", ";", "|", ",", "")
"""Of columns; the last is blanks, any number of them."""
_BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_BOB_TEXT = {4: ("subject", "real_id", "video", "score"), 5: ("subject", "model", "real_id", "video", "score")}
_NAME_THEM = "name the columns by position, such as --column score=2 --column label=3"


@dataclass(frozen=True)
class _Rows:
    """The cells of a file under one separator."""

    cells: list[list[str]]
    lines: list[int]
    """Line of each row in the file, from 1."""

    @property
    def width(self) -> int:
        return len(self.cells[0])

    @property
    def places(self) -> list[str]:
        return [f"line {line}" for line in self.lines]

    def column(self, at: int) -> list[str]:
        return [row[at] for row in self.cells]


def read_delimited(content: bytes, uri: str, request: Request) -> Table:
    """Read csv with any usual separator, or lines without a header.

    Raises:
        DataError: it is not text, or which column is the score or the label is not known; with file and line.
    """
    text, skipped, separators = _preamble(_decoded(content, uri))
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        return Table("text", {"score": [], "label": []}, [])
    split = {separator: _cells(first, separator) for separator in separators}
    if not any(is_number(cell) for cells in split.values() for cell in cells):
        return _with_header(text, skipped, uri, split, request)
    return _without_header(text, skipped, uri, split, request)


def read_label_list(content: bytes, uri: str) -> Table:
    """Read a list of labels: ``path label`` on each line, or a header with ``path`` or ``video``, and ``label``.

    Of more columns without a header the first is the path and the last the label, as challenges list colour, depth and
    infrared pictures. A header's ``attack_type``, ``subject``, ``domain`` are taken as well.

    Raises:
        DataError: it is not text, is empty, or lines have no label; with file and line.
    """
    text, skipped, separators = _preamble(_decoded(content, uri))
    first = next((line for line in text.splitlines() if line.strip()), "")
    found = []
    for separator in separators:
        header = [cell.casefold() for cell in _cells(first, separator)]
        key = next((name for name in ("path", "video") if name in header), "")
        if len(header) < 2:
            continue
        rows = _rows_of(text, skipped, separator, uri)
        if any(len(row) != rows.width for row in rows.cells):
            continue
        if key and "label" in header:
            names = {"path": key} | {name: name for name in ("label", "attack_type", "subject", "domain")}
            columns = {name: rows.column(header.index(of))[1:] for name, of in names.items() if of in header}
            return Table("list", columns, rows.places[1:])
        if len(set(rows.column(rows.width - 1))) <= 2:
            found.append(Table("list", {"path": rows.column(0), "label": rows.column(rows.width - 1)}, rows.places))
    if len(found) != 1:
        remedy = "write `path label` on each line, or csv with a header path,label"
        raise DataError("this is no list of labels of two kinds", where=uri, remedy=remedy)
    return found[0]


def _decoded(content: bytes, uri: str) -> str:
    for mark, encoding in _BOMS.items():
        if content.startswith(mark):
            content = content[len(mark) :].decode(encoding, "surrogatepass").encode("utf-8", "surrogatepass")
            break
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError("this is not UTF-8 text", where=f"{uri}, line {line}", remedy="save it as UTF-8") from error


def _preamble(text: str) -> tuple[str, int, Sequence[str]]:
    """Return the text without leading comments, how many lines those had, and the separators that come into question.

    A comment that names columns ``score`` and ``label`` is the header, as NumPy's ``savetxt`` writes it; a spreadsheet
    may say ``sep=;`` in the first line.
    """
    skipped = 0
    while True:
        line, end, rest = text.partition("\n")
        bare = line.strip()
        if bare[:4].casefold() == "sep=" and len(bare) == 5:
            return rest, skipped + 1, [bare[4]]
        if not bare.startswith("#"):
            return text, skipped, _SEPARATORS
        named = bare.lstrip("# ")
        if any({"score", "label"} <= set(_cells(named.casefold(), separator)) for separator in _SEPARATORS):
            return named + end + rest, skipped, _SEPARATORS
        text, skipped = rest, skipped + 1


def _cells(line: str, separator: str) -> list[str]:
    if not separator:
        return line.split()
    try:
        found = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        found = line.split(separator)
    return [cell.strip() for cell in found]


def _rows_of(text: str, skipped: int, separator: str, uri: str) -> _Rows:
    rows, lines = [], []
    if not separator:
        for number, line in enumerate(text.splitlines(), 1):
            if words := line.split():
                rows.append(words)
                lines.append(number + skipped)
        return _Rows(rows, lines)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append(cells)
                lines.append(reader.line_num + skipped)
    except csv.Error as error:
        raise DataError(
            f"this is not valid csv: {error}",
            where=f"{uri}, line {reader.line_num + skipped}",
            remedy="check its quotation marks",
        ) from error
    return _Rows(rows, lines)


def _with_header(text: str, skipped: int, uri: str, split: dict[str, list[str]], request: Request) -> Table:
    def merit(separator: str) -> tuple[bool, int]:
        try:
            columns_of(split[separator], uri, request)
        except DataError:
            return False, len(split[separator])
        return True, len(split[separator])

    separator = max(split, key=merit)
    rows = _rows_of(text, skipped, separator, uri)
    header = rows.cells[0] if rows.cells else []
    where = f"{uri}, line {rows.lines[0] if rows.lines else 1}"
    named = [name for name in header if name]
    if len(set(named)) < len(named):
        raise DataError("a column occurs twice", where=where, remedy="give each another name")
    layout, positions = columns_of(header, where, request)
    for row, line in zip(rows.cells[1:], rows.lines[1:], strict=True):
        if len(row) != len(header):
            what = f"{len(row)} values where the header names {len(header)}"
            raise DataError(what, where=f"{uri}, line {line}", remedy="quote values that hold the separator")
    columns = {ours: rows.column(at)[1:] for ours, at in positions.items()}
    return Table(layout, columns, rows.places[1:])


def _without_header(text: str, skipped: int, uri: str, split: dict[str, list[str]], request: Request) -> Table:
    read: list[Table] = []
    for separator in [each for each in split if len(split[each]) > 1] or [""]:
        try:
            rows = _rows_of(text, skipped, separator, uri)
        except DataError:
            continue
        if rows.cells and all(len(row) == rows.width for row in rows.cells):
            table = _assigned(rows, separator, request)
            read += [table] if table else []
    read = [table for table in read if all(map(is_number, table.columns["score"]))] or read
    if read and all(table.columns == read[0].columns for table in read):
        return read[0]
    if read:
        what = "the columns can be separated in more than one way"
        raise DataError(what, where=f"{uri}, line 1", remedy="write a header, such as score,label")
    separator = max(split, key=lambda each: len(split[each]))
    raise _unread(_rows_of(text, skipped, separator, uri), separator, uri, request)


def _assigned(rows: _Rows, separator: str, request: Request) -> Table | None:
    """Return the columns of rows without a header, or None where it is not certain which is what."""
    if request.columns:
        header = [str(position + 1) for position in range(rows.width)]
        try:
            _, positions = columns_of(header, "", request)
        except DataError:
            return None
        return Table("text", {ours: rows.column(at) for ours, at in positions.items()}, rows.places)
    if request.keyed and rows.width > 1:
        return Table("path and score text", {"path": rows.column(0), "score": rows.column(rows.width - 1)}, rows.places)
    if not request.labelled:
        numeric = [at for at in range(rows.width) if all(map(is_number, rows.column(at)))]
        if rows.width > 2 or len(numeric) != 1:
            return None
        others = {"path": rows.column(1 - numeric[0])} if rows.width == 2 else {}
        return Table("score text", {"score": rows.column(numeric[0]), **others}, rows.places)
    if rows.width == 2:
        return _score_and_label(rows, request.live_label)
    return _bob_text(rows) if not separator and rows.width in _BOB_TEXT and any(_of_live(rows)) else None


def _score_and_label(rows: _Rows, live_label: str) -> Table | None:
    columns = [rows.column(0), rows.column(1)]
    labels = [at for at in (0, 1) if _label_like(columns[at], live_label)]
    if not labels:
        # Words of two kinds beside numbers are labels whose live word was not named: that is said by who reads labels.
        labels = [
            at
            for at in (0, 1)
            if all(map(is_number, columns[1 - at]))
            and not any(map(is_number, columns[at]))
            and len(set(columns[at])) <= 2 < len(columns[at])
        ]
    if len(labels) != 1:
        return None
    label, score = columns[labels[0]], columns[1 - labels[0]]
    notes = () if labels[0] else ("the file has no header: its first column was read as the label",)
    return Table("score and label text", {"score": score, "label": label}, rows.places, notes)


def _label_like(column: Sequence[str], live_label: str) -> bool:
    """Return whether a column has the label of live faces and at most one other word, which is no broken number."""
    words: set[str] = set()
    for word in column:
        if word not in words:
            words.add(canonical(word))
            if len(words) > 2:
                return False
    broken = any("," in word or (is_number(word) and not float(word).is_integer()) for word in words)
    return canonical(live_label) in words and not broken


def _of_live(rows: _Rows) -> list[bool]:
    """Return which lines of bob's text are of live faces: where claimed and real id are the same."""
    return [row[0] == row[rows.width - 3] for row in rows.cells]


def _bob_text(rows: _Rows) -> Table:
    columns = {name: rows.column(at) for at, name in enumerate(_BOB_TEXT[rows.width])}
    same = _of_live(rows)
    types = ["" if live else real for live, real in zip(same, columns["real_id"], strict=True)]
    common = {name: columns[name] for name in ("score", "subject", "video")}
    return Table("bob.pad text", {**common, "label": list(map(str, same)), "attack_type": types}, rows.places)


def _unread(rows: _Rows, separator: str, uri: str, request: Request) -> DataError:
    """Return why rows without a header are not read, and what to do."""
    for row, line in zip(rows.cells, rows.lines, strict=True):
        if len(row) != rows.width:
            what = f"{len(row)} {'values' if separator else 'words'} where the lines above have {rows.width}"
            return DataError(what, where=f"{uri}, line {line}", remedy="give each line as many, or write csv")
    where = f"{uri}, line {rows.lines[0]}"
    if request.columns:
        what, remedy = f"the file has no header and {rows.width} columns", "name those: --column score=POSITION, from 1"
        return DataError(what, where=where, remedy=remedy)
    numeric = [at + 1 for at in range(rows.width) if all(map(is_number, rows.column(at)))]
    if rows.width <= 2 and len(numeric) == 1:
        return DataError(
            "there are scores and no labels",
            where=where,
            remedy="give a list of `path label` with --labels, the paths of live faces with --live-path, or, if this "
            "file has live faces alone, the scores of attacks with --attacks",
        )
    if rows.width == 2:
        return DataError(
            f"which of the two columns is the label is not certain (that of live faces is {request.live_label!r})",
            where=where,
            remedy="say which: --column score=1 --column label=2; --live-label names the word for live faces",
        )
    what, remedy = f"the file has no header and {rows.width} {'columns' if separator else 'words a line'}", _NAME_THEM
    if rows.width in _BOB_TEXT:
        what += ", and no line with the same claimed_id and real_id, as bob.pad has for live faces"
        remedy += "; if these are paths and a score, give the labels with --labels"
    return DataError(what, where=where, remedy=remedy)
