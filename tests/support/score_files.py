"""Score files of other programs, as text and as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Columns = Mapping[str, Sequence[Any]]


def text(
    columns: Columns,
    separator: str = ",",
    end: str = "\n",
    header: bool = True,
    comma: bool = False,
    quote: bool = False,
) -> str:
    def cell(value: Any) -> str:
        word = str(value).replace(".", ",") if comma and isinstance(value, float) else str(value)
        return f'"{word}"' if quote else word

    lines = [list(columns)] if header else []
    lines += [list(row) for row in zip(*columns.values(), strict=True)]
    return "".join(separator.join(map(cell, line)) + end for line in lines)


def as_parquet(columns: Columns) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(dict(columns)), sink)
    return bytes(sink.getvalue())
