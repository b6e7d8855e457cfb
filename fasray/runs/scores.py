"""The score file of an evaluation: its columns, and how it is written once and read back.

A **score** is one real number a frame, *higher = more bona fide (live)*. Score files repeat what is needed to
evaluate it.
"""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fasray import storage
from fasray.errors import DataError
from fasray.metrics.summary import SOURCE_DEV, SourceDev, source_dev_summary
from fasray.storage.parquet import DAMAGE

SCORE_SCHEMA = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),  # "source-dev" or "target"
        pa.field("score", pa.float64(), nullable=False),  # higher = more bona fide
        pa.field("label", pa.int8(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("attack_type", pa.string(), nullable=False),
        pa.field("instrument", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("video", pa.string(), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
    ]
)
REMEDY = "restore the file, or run the same sweep again in a new folder"


class ScoreTable(NamedTuple):
    """A score file as it was written."""

    rows: pa.Table
    """Columns of SCORE_SCHEMA, with the file's metadata."""
    trial: str
    step: int


def parse_scores(content: bytes, uri: str) -> ScoreTable:
    """Return what the bytes of a score file hold.

    Raises:
        DataError: the file is damaged or is not a score file.
    """
    try:
        rows = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read(use_threads=False)
    except DAMAGE as error:
        raise DataError(f"the score file is damaged: {error}", where=uri, remedy=REMEDY) from error
    if not rows.schema.equals(SCORE_SCHEMA):
        found = {f.name: str(f.type) for f in rows.schema}
        wrong = [f.name for f in SCORE_SCHEMA if found.get(f.name) != str(f.type)]
        raise DataError(f"this is not a score file: check column {', '.join(wrong)}", where=uri, remedy=REMEDY)
    metadata = rows.schema.metadata or {}
    trial, step = (metadata.get(key, b"").decode(errors="replace") for key in (b"fasray.trial", b"fasray.step"))
    if not trial or not step.isdecimal():
        raise DataError("the score file does not name its trial and step", where=uri, remedy=REMEDY)
    return ScoreTable(rows, trial, int(step))


def source_dev_of(table: pa.Table) -> SourceDev:
    """Return the source-dev figures of a score table; its target rows are not looked at."""
    chosen = table.filter(pc.equal(table["role"], SOURCE_DEV))
    names = ("role", "score", "label", "domain", "video")
    return source_dev_summary(*(chosen[name].to_numpy(zero_copy_only=False) for name in names))


def find_scores(uri: str, trial: str, step: int) -> pa.Table | None:
    """Return the score file of a trial's step; None if it is missing, damaged or of something else."""
    try:
        found = parse_scores(storage.read_bytes(uri), uri)
    except (DataError, OSError):
        return None
    return found.rows if (found.trial, found.step) == (trial, step) else None


def encode_scores(rows: pa.Table) -> bytes:
    """Return the bytes of a score file; the metadata of ``rows`` names trial and step."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def write_scores(uri: str, rows: pa.Table) -> pa.Table:
    """Write a score file unless a readable one of the same trial and step is there; return the one that is there."""
    content = encode_scores(rows)
    if storage.write_once(uri, content):
        return rows
    metadata = rows.schema.metadata
    present = find_scores(uri, metadata[b"fasray.trial"].decode(), int(metadata[b"fasray.step"]))
    if present is not None:
        return present
    storage.write_bytes(uri, content)
    return rows
