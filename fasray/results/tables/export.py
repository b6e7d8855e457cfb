"""Frames as files for programs: csv, json, Parquet; fractions, whole or not at all."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fasray import storage
from fasray.results.tables.escape import csv_word

_LISTS = {
    "trials": pa.string(),
    "seeds": pa.int64(),
    "steps": pa.int64(),
    "thresholds": pa.float64(),
    "searched": pa.string(),
}
"""Columns that hold lists, and what of."""


def to_csv(frame: pd.DataFrame) -> str:
    """Return the frame as csv in fractions; lists are joined by spaces, NaN is empty.

    Words that a spreadsheet would run as a formula get a leading apostrophe, in headers as well.
    """
    plain = pd.DataFrame({name: [_csv_cell(value) for value in frame[name]] for name in frame.columns})
    plain.columns = [csv_word(str(name)) for name in plain.columns]
    return str(plain.to_csv(index=False, lineterminator="\n"))


def to_json(frame: pd.DataFrame) -> str:
    """Return the frame as a JSON list of rows in fractions; NaN is null, and what is not ASCII is escaped."""
    rows = [{name: _json_value(value) for name, value in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=1, allow_nan=False) + "\n"


def to_parquet(frame: pd.DataFrame) -> bytes:
    """Return the frame as the bytes of a Parquet file; the same frame gives the same bytes.

    What is missing is null. A column whose values are of several kinds is text: words as they are, others as JSON.
    """
    arrays = {str(name): _array(frame[name]) for name in frame.columns}
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink)
    return sink.getvalue()


def write_parquet(frame: pd.DataFrame, uri: str) -> None:
    """Write the frame to ``uri``, whole or not at all."""
    storage.write_bytes(uri, to_parquet(frame))


def _array(column: pd.Series) -> pa.Array:
    values = column.tolist()
    if column.name in _LISTS:
        return pa.array(values, type=pa.list_(_LISTS[str(column.name)]))
    values = [None if pd.api.types.is_scalar(value) and pd.isna(value) else value for value in values]
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    kind = _arrow_type(column, {type(value) for value in values if value is not None})
    if pa.types.is_string(kind):
        values = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pa.array(values, type=kind)


def _arrow_type(column: pd.Series, kinds: set[type]) -> pa.DataType:
    """Return the type of a column whose values are of these kinds; of one without values by its dtype."""
    if kinds == {bool} or pd.api.types.is_bool_dtype(column):
        return pa.bool_()
    if kinds == {int} or pd.api.types.is_integer_dtype(column):
        return pa.int64()
    numbers = bool(kinds) and kinds <= {int, float}
    return pa.float64() if numbers or pd.api.types.is_float_dtype(column) else pa.string()


def _csv_cell(value: object) -> object:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return csv_word(value) if isinstance(value, str) else value


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value
