"""Score files of other programs, read into typed columns; what a file does not say is declared, never guessed.

====================  ===========================================================================================
csv                   a header with ``score`` and ``label``, and ``subject``, ``video``, ``domain``,
                      ``attack_type``, ``frame``, ``role`` where known; other columns are left alone. Separated by
                      commas, semicolons, tabs, ``|`` or blanks
bob.pad csv           a header with ``score`` and ``is_bonafide`` (True, False), ``claimed_id`` (the subject),
                      ``video_key`` or else ``test_label`` (the video), ``attack_type``; ``frame_id`` if it is there
parquet               the columns of either; fasray's own score files are such
npz                   arrays ``score`` and ``label`` and so on, or HFN+MP's ``scores_pred`` and ``scores_gt``
bob.pad text          no header; ``claimed_id real_id test_label score`` or, with a model's name in the second of
                      five columns, ``claimed_id model real_id test_label score``; bona fide where both ids are the
                      same, else the real id is the attack type
score and label text  no header; ``score label`` or ``label score`` on each line, where only one can be the label
====================  ===========================================================================================

``label`` is live where it equals the declared word (``1``), and an attack elsewhere; at most one other word may occur.
Files without labels are read with a list of labels, a pattern of live paths, or a second file with the attacks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError, SpecError, did_you_mean
from fasray.metrics import TARGET
from fasray.metrics.video import check_frames
from fasray.names import canonical_array
from fasray.results.external.arrays import read_npz, read_parquet
from fasray.results.external.columns import Request, Table
from fasray.results.external.delimited import read_delimited, read_label_list
from fasray.results.external.labels import (
    Labels,
    attack_type_words,
    check_attack_types,
    column_labels,
    listed_columns,
    path_labels,
)
from fasray.results.external.values import numbers

Direction = Literal["higher", "lower"]
"""Which scores are the more live ones."""
STANDARD_INPUT, _ITS_NAME = "-", "standard input"
_UNREAD = {
    b"\x1f\x8b": ("compressed with gzip", "unpack it on the way: zcat FILE | fasray metrics - ..."),
    b"BZh": ("compressed with bzip2", "unpack it on the way: bzcat FILE | fasray metrics - ..."),
    b"\xfd7zXZ": ("compressed with xz", "unpack it on the way: xzcat FILE | fasray metrics - ..."),
    b"\x89HDF": ("HDF5", "write csv with columns score and label, such as with pandas' to_csv"),
    b"\x93NUMPY": ("a single NumPy array", "save scores and labels by name: np.savez(FILE, score=..., label=...)"),
    b"{": ("JSON", "write csv, such as with pandas: read_json(FILE).to_csv(...)"),
    b"[": ("JSON", "write csv, such as with pandas: read_json(FILE).to_csv(...)"),
    b"\x80": ("a pickle, which could run any code", "write csv with columns score and label"),
}  # fmt: skip
"""First bytes of files that are not read, what they are, and what to do."""


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
    notes: tuple[str, ...] = ()
    """How it was read, where that is worth a remark."""

    def native(self, value: float) -> float:
        """Return a score or threshold in the file's own direction, or one of those in ours: the same step."""
        return value if self.live_is == "higher" else -value


@dataclass(frozen=True)
class LabelSource:
    """Where labels come from if the file has none; at most one of these."""

    labels: str = ""
    """Address of a list of ``path label``."""
    live_path: str = ""
    """Pattern of the paths of live faces."""
    attacks: tuple[tuple[str, str], ...] = ()
    """(attack type or empty, address) of files with the scores of attacks; the first file has live ones alone."""

    def __post_init__(self) -> None:
        given = [f"--{name.replace('_', '-')}" for name in ("labels", "live_path", "attacks") if getattr(self, name)]
        if len(given) > 1:
            raise SpecError(f"{given[0]} and {given[1]} both give labels", where=given[1], remedy="give one of them")

    @property
    def outside(self) -> bool:
        """Whether labels are not in the file."""
        return bool(self.labels or self.live_path or self.attacks)


_IN_THE_FILE = LabelSource()


def read_external(
    uri: str,
    live_is: Direction,
    live_label: str = "1",
    role: str = TARGET,
    *,
    columns: Mapping[str, str] | None = None,
    source: LabelSource = _IN_THE_FILE,
) -> ExternalScores:
    """Read a score file.

    Args:
        uri: of the file, or ``-`` for standard input; its kind is known by its content.
        live_is: which scores the file gives to live faces.
        live_label: what its label column says of them; ``True`` is what ``is_bonafide`` says.
        role: which rows count in a file with a column ``role``, such as fasray's own.
        columns: where to find ours, by name in the header or by position from 1; ``-`` leaves one out.
        source: of the labels, if the file has none.

    Raises:
        DataError: there is no such file, it is empty or damaged, has no score or label, a value cannot be read, a frame
            is there twice, or attack types contradict the labels; with file and line.
        SpecError: there is no such column, or labels are given twice.
    """
    keyed = bool(source.labels or source.live_path)
    request = Request(columns or {}, live_label, labelled=not source.outside, keyed=keyed)
    table, uri = _of_role(_table(uri, request), role, _name(uri)), _name(uri)
    if not source.outside:
        label, other = column_labels(table, uri, live_label) if len(table) else (np.zeros(0, np.int8), "")
        return _typed(table, uri, live_is, label, "" if table.layout.startswith("bob.pad") else _swap(other))
    if "label" in table.columns:
        option = "--labels" if source.labels else "--live-path" if source.live_path else "--attacks"
        raise SpecError(f"{uri} has labels of its own", where=option, remedy=f"leave {option} out")
    if source.attacks:
        live = _typed(_named_by_path(table), uri, live_is, np.ones(len(table), np.int8))
        return _joined(live, [_attacks(kind, file, request, live_is) for kind, file in source.attacks])
    return _labelled(table, uri, live_is, live_label, source)


def _table(uri: str, request: Request) -> Table:
    """Read the columns of a file, whose kind its content says."""
    content, uri = _content(uri), _name(uri)
    if content[:4] == b"PAR1" or uri.rpartition(".")[2].lower() in ("parquet", "pq"):
        return read_parquet(content, uri, request)
    if content[:2] == b"PK":
        return read_npz(content, uri, request)
    for magic, (what, remedy) in _UNREAD.items():
        if content.startswith(magic):
            raise DataError(f"the file is {what}; it is not read", where=uri, remedy=remedy)
    return read_delimited(content, uri, request)


def _name(uri: str) -> str:
    """Return what messages call a file."""
    return _ITS_NAME if uri == STANDARD_INPUT else uri


def _content(uri: str) -> bytes:
    if uri != STANDARD_INPUT:
        return storage.read_bytes(uri)
    if sys.stdin is None:
        raise DataError("it is closed", where=_ITS_NAME, remedy="name a file, or pipe one into this command")
    return sys.stdin.buffer.read()


def _labelled(table: Table, uri: str, live_is: Direction, live_label: str, source: LabelSource) -> ExternalScores:
    """Type the rows of a table that a list or a pattern gives labels to."""
    table = _named_by_path(table)
    if "path" not in table.columns:
        remedy = "say which column names the rows: --column path=NAME, or its position"
        raise DataError("rows have no path to find their labels by", where=uri, remedy=remedy)
    if source.live_path:
        label = path_labels([str(path) for path in table.columns["path"]], source.live_path)
        return _typed(table, uri, live_is, label)
    list_name = _name(source.labels)
    listed = read_label_list(_content(source.labels), list_name)
    found, note = listed_columns(table, listed, uri, list_name)
    table = replace(table, columns={**found, **table.columns}, notes=(*table.notes, *([note] if note else [])))
    label, other = column_labels(table, uri, live_label)
    return _typed(table, uri, live_is, label, _swap(other))


def _swap(other: str) -> str:
    return f"declare the other label as that of live faces: --live-label {other}" if other else ""


def _named_by_path(table: Table) -> Table:
    """Let the path name the video where no column does, and the video the path."""
    columns = dict(table.columns)
    for name, other in (("video", "path"), ("path", "video")):
        if name not in columns and other in columns:
            columns[name] = columns[other]
    return replace(table, columns=columns)


def _attacks(kind: str, uri: str, request: Request, live_is: Direction) -> ExternalScores:
    table, uri = _named_by_path(_table(uri, request)), _name(uri)
    if "label" in table.columns:
        remedy = "give files of scores alone, or one file with both and no --attacks"
        raise DataError("the file has labels of its own", where=uri, remedy=remedy)
    types = {"attack_type": [kind] * len(table)} if kind else {}
    return _typed(replace(table, columns={**table.columns, **types}), uri, live_is, np.zeros(len(table), np.int8))


def _joined(live: ExternalScores, attacks: Sequence[ExternalScores]) -> ExternalScores:
    """Put the rows of several files together; a column that one of them lacks is left out."""
    if live.attack_type is None:
        live = replace(live, attack_type=np.full(len(live.score), ""))
    # Names of videos count within their file: 001 of the live ones is another than 001 of the attacks.
    parts = [
        part if part.video is None else replace(part, video=np.char.add(part.video, f" ({part.file})"))
        for part in (live, *attacks)
    ]
    columns: dict[str, Any] = dict.fromkeys(("subject", "video", "domain", "frame", "attack_type"))
    for name in columns:
        values = [getattr(part, name) for part in parts]
        if all(value is not None for value in values):
            columns[name] = np.concatenate(values)
    return replace(
        live,
        layout=f"{live.layout} of live faces, {len(attacks)} file{'s' * (len(attacks) > 1)} of attacks",
        score=np.concatenate([part.score for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        **columns,
    )


def _of_role(table: Table, role: str, uri: str) -> Table:
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
    return replace(table, columns=columns, places=[table.places[row] for row in chosen])


def _typed(table: Table, uri: str, live_is: Direction, label: Labels, swap: str = "") -> ExternalScores:
    """Return the rows as arrays; ``swap`` is what to do if labels turn out to mean the opposite."""
    if not len(table):
        raise DataError("the file has no scores", where=uri, remedy="check that the right file was named")
    score = np.array(numbers(table.columns["score"], table.places, "score", uri), np.float64)
    nan = np.flatnonzero(np.isnan(score))
    if nan.size:
        raise DataError(
            f"{nan.size} of {len(score)} scores are NaN, this one first",
            where=f"{uri}, {table.places[nan[0]]}",
            remedy="leave these rows out, or give them the least live score, and say which",
        )
    types = attack_type_words(table.columns)
    if types is not None:
        check_attack_types(types, label, table.places, uri, swap)
    frame = None
    if "frame" in table.columns:
        frame = np.array(numbers(table.columns["frame"], table.places, "frame", uri, whole=True), np.int64)
    video = _words(table, "video", uri)
    if video is not None and frame is not None:
        try:
            check_frames(video, frame, table.places)
        except DataError as error:
            raise DataError(error.what, where=f"{uri}, {error.where}", remedy=error.remedy) from None
    return ExternalScores(
        file=uri,
        layout=table.layout,
        live_is=live_is,
        score=score if live_is == "higher" else -score,
        label=label,
        subject=_words(table, "subject", uri),
        video=video,
        domain=_words(table, "domain", uri),
        attack_type=types,
        frame=frame,
        notes=table.notes,
    )


def _words(table: Table, name: str, uri: str) -> NDArray[np.str_] | None:
    values = table.columns.get(name)
    if values is None:
        return None
    if name == "video":
        for value, place in zip(values, table.places, strict=True):
            if value is None or value == "":
                remedy = "name each row's video, or leave the column out"
                raise DataError("the video has no name", where=f"{uri}, {place}", remedy=remedy)
    return canonical_array(np.array(["" if value is None else str(value) for value in values], np.str_))
