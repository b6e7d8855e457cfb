"""The result frame as something to read or to load: text, markdown, csv, json, Parquet.

Tables for people are in percent; files keep fractions. Columns that looked at target labels carry a dagger.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fasray import protocols, storage
from fasray.results.evaluations import Level

DAGGER = "\u2020"
NOTHING = "-"


@dataclass(frozen=True)
class Grid:
    """A table for people: cells of text, and what must be said under it."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    text_columns: int = 2
    """Columns from the left that hold words; the others hold numbers."""


def percent(mean: float, std: float = math.nan) -> str:
    """Return a fraction in percent, with its deviation if it has one; ``-`` for NaN."""
    if math.isnan(mean):
        return NOTHING
    return f"{100 * mean:.2f}" if math.isnan(std) else f"{100 * mean:.2f} ± {100 * std:.2f}"


def grid(frame: pd.DataFrame, level: Level = "video") -> Grid:
    """Arrange one level of a result frame with honest and oracle figures side by side, one row a cell."""
    chosen = frame[frame["level"] == level]
    cells: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in chosen.to_dict("records"):
        cells.setdefault((row["method"], row["protocol"]), {})[row["selection"]] = row
    selections = list(dict.fromkeys(chosen["selection"]))
    figures = ("acer", "hter", "auc") if any(_reports_acer(protocol) for _, protocol in cells) else ("hter", "auc")
    honest = [name for name in selections if not any(cell.get(name, {}).get("oracle") for cell in cells.values())]
    marked = [name for name in selections if name not in honest]
    columns = [(name, figure) for name in (*honest, *marked) for figure in figures]
    headers = ["method", "protocol", "seeds"]
    headers += [_header(name, figure, name in marked) for name, figure in columns]
    gap_of = next((name for name in honest if name == "source-dev"), honest[0] if honest else "")
    if gap_of and marked:
        headers += ["gap HTER", "gap AUC"]
    if honest:
        headers.append("source-dev AUC")
    rows = []
    for (method, protocol), cell in cells.items():
        any_row = next(iter(cell.values()))
        texts = [method, protocol, _seeds(any_row)]
        texts += [_figure(cell.get(name), figure) for name, figure in columns]
        if gap_of and marked:
            texts += [_signed(cell, gap_of, column) for column in ("optimism_gap", "optimism_gap_auc")]
        if honest:
            texts.append(_figure(cell.get(gap_of), "source_dev_auc"))
        rows.append(tuple(texts))
    return Grid(tuple(headers), tuple(rows), _notes(level, honest, marked, cells))


def to_text(frame: pd.DataFrame, level: Level = "video") -> str:
    """Return a plain text table in percent with its notes."""
    table = grid(frame, level)
    if not table.rows:
        return "no confirmed runs yet\n"
    widths = [max(len(row[i]) for row in (table.headers, *table.rows)) for i in range(len(table.headers))]
    lines = [_line(table.headers, widths, table.text_columns), "  ".join("-" * width for width in widths)]
    lines += [_line(row, widths, table.text_columns) for row in table.rows]
    return "\n".join([*lines, "", *table.notes]) + "\n"


def to_markdown(frame: pd.DataFrame, level: Level = "video") -> str:
    """Return a markdown table in percent with its notes."""
    table = grid(frame, level)
    if not table.rows:
        return "no confirmed runs yet\n"
    rule = [":--" if i < table.text_columns else "--:" for i in range(len(table.headers))]
    lines = ["| " + " | ".join(map(_markdown_cell, row)) + " |" for row in (table.headers, rule, *table.rows)]
    return "\n".join([*lines, "", *(f"{_markdown_cell(note)}  " for note in table.notes)]) + "\n"


def to_csv(frame: pd.DataFrame) -> str:
    """Return the frame as csv in fractions; lists are joined by spaces, NaN is empty.

    Words that a spreadsheet would run as a formula get a leading apostrophe.
    """
    plain = frame.copy()
    for name in plain.columns:
        plain[name] = [_csv_cell(value) for value in plain[name]]
    return str(plain.to_csv(index=False, lineterminator="\n"))


def to_json(frame: pd.DataFrame) -> str:
    """Return the frame as a JSON list of rows in fractions; NaN is null."""
    rows = [{name: _json_value(value) for name, value in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_parquet(frame: pd.DataFrame, uri: str) -> None:
    """Write the frame to ``uri``, whole or not at all."""
    lists = {"trials": pa.string(), "seeds": pa.int64(), "steps": pa.int64(), "thresholds": pa.float64()}
    arrays = {
        name: pa.array(frame[name].tolist(), type=pa.list_(lists[name]))
        if name in lists
        else pa.array(frame[name].tolist(), from_pandas=False, type=_arrow_type(frame[name]))
        for name in frame.columns
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink)
    storage.write_bytes(uri, sink.getvalue())


def _arrow_type(column: pd.Series) -> pa.DataType:
    if pd.api.types.is_bool_dtype(column):
        return pa.bool_()
    if pd.api.types.is_integer_dtype(column):
        return pa.int64()
    return pa.float64() if pd.api.types.is_float_dtype(column) else pa.string()


def _header(selection: str, figure: str, marked: bool) -> str:
    name = figure.upper()
    if marked:
        return f"{name}{DAGGER}" if selection == "oracle" else f"{name} {selection}{DAGGER}"
    return name if selection == "source-dev" else f"{name} {selection}"


def _seeds(row: dict[str, Any]) -> str:
    failed = f" (+{row['n_failed']} failed)" if row["n_failed"] else ""
    runs = f" x {row['n_runs']} runs" if row["n_runs"] > 1 else ""
    return f"{row['n_seeds']}{runs}{failed}"


def _figure(row: dict[str, Any] | None, figure: str) -> str:
    return NOTHING if row is None else percent(row[figure], row[f"{figure}_std"])


def _signed(cell: dict[str, dict[str, Any]], selection: str, column: str) -> str:
    gap = cell[selection][column] if selection in cell else math.nan
    return NOTHING if math.isnan(gap) else f"{100 * gap:+.2f}"


def _reports_acer(protocol: str) -> bool:
    return protocol in protocols.GROUPS or protocols.parse(protocol).headline == "acer"


def _notes(
    level: Level,
    honest: Sequence[str],
    marked: Sequence[str],
    cells: dict[tuple[str, str], dict[str, dict[str, Any]]],
) -> tuple[str, ...]:
    unit = "one decision a video (mean of its frames)" if level == "video" else "one decision a frame"
    notes = [f"Percent, {unit}, on the unseen target; mean ± standard deviation over the confirming seeds."]
    if honest:
        notes.append("Step and threshold (EER of source-dev) chosen on source domains only.")
    if marked:
        notes.append(
            f"{DAGGER} oracle: best step and EER threshold chosen on the target itself, as much of the literature does;"
            " not attainable in use."
        )
        notes.append("gap: oracle minus honest on the same runs; how much the oracle's habit flatters.")
    failed = sum(next(iter(cell.values()))["n_failed"] for cell in cells.values())
    if failed:
        notes.append("(+n failed): runs that diverged or failed and are not in the figures.")
    return tuple(notes)


def _line(cells: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    parts = [
        cell.ljust(width) if i < text_columns else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()


def _markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _csv_cell(value: object) -> object:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value


def _json_value(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
