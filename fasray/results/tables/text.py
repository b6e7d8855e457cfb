"""The result frame as something to read: a text table, a markdown table; percent, with what must be said below.

Columns that looked at target labels carry a dagger.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from fasray.results.means import marks_of, reports_acer
from fasray.results.scores import Level
from fasray.results.selection import selection
from fasray.results.tables.escape import markdown, plain
from fasray.results.tables.published import SELECTION as PUBLISHED_SELECTION
from fasray.results.tables.published import STATUS_NOTE, Published, of_cell

DAGGER = "\u2020"
MARK = "\u00a7"
"""Of a protocol that is not the one which the literature compares on."""
ORACLE_NOTE = f"{DAGGER} the rule looked at target labels: not attainable in use."
NOTHING = "-"
EMPTY = "no confirmed runs yet\n"
TABLE_SELECTIONS = ("source-dev", "last", "oracle")
"""The rules that a table shows by default."""

Cells = dict[tuple[str, str], dict[str, dict[str, Any]]]
"""(method with its variant, protocol) -> selection -> row of the frame."""


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


def cells_of(frame: pd.DataFrame, level: Level, selections: Sequence[str] | None = None) -> Cells:
    """Return the rows of one level and of some rules, or of all, by cell and rule, in the order of the frame."""
    cells: Cells = {}
    for row in frame.to_dict("records"):
        if row["level"] == level and (selections is None or row["selection"] in selections):
            cells.setdefault((method_label(row), row["protocol"]), {})[row["selection"]] = row
    return cells


def method_label(row: Mapping[str, Any]) -> str:
    """Return the method, with its ablation if it is one."""
    return f"{row['method']}: {row['variant']}" if row["variant"] else str(row["method"])


def grid(
    frame: pd.DataFrame,
    level: Level = "video",
    selections: Sequence[str] | None = TABLE_SELECTIONS,
    published: Sequence[Published] = (),
    remarks: Sequence[str] = (),
) -> Grid:
    """Arrange one level of a result frame with honest and oracle figures side by side, one row a cell.

    Args:
        frame: of ``results_frame``.
        level: ``video`` or ``frame``.
        selections: the rules to show; None for all that the frame holds.
        published: figures to show next to those of their cell.
        remarks: of ``fasray.results.remarks``, for the end of the notes.
    """
    cells = cells_of(frame, level, selections)
    shown = dict.fromkeys(name for cell in cells.values() for name in cell)
    honest = [name for name in shown if not selection(name).oracle]
    marked = [name for name in shown if name not in honest]
    figures = ("acer", "hter", "auc") if any(reports_acer(protocol) for _, protocol in cells) else ("hter", "auc")
    columns = [(name, figure) for name in (*honest, *marked) for figure in figures]
    headers = ["method", "protocol", "seeds", *(_header(name, figure) for name, figure in columns)]
    gap_of = next((name for name in honest if name == "source-dev"), honest[0] if honest else "")
    if gap_of and marked:
        headers += ["gap HTER", "gap AUC"]
    if honest:
        headers.append("source-dev AUC")
    if published:
        headers += [f"{name} {PUBLISHED_SELECTION}" for name in ("HTER", "AUC", "status")]
    rows = []
    for (method, protocol), cell in cells.items():
        first = next(iter(cell.values()))
        texts = [method, with_mark(protocol), _seeds(first)]
        texts += [_figure(cell.get(name), figure) for name, figure in columns]
        if gap_of and marked:
            texts += [_signed(cell, gap_of, column) for column in ("optimism_gap", "optimism_gap_auc")]
        if honest:
            texts.append(_figure(cell.get(gap_of), "source_dev_auc"))
        if published:
            texts += _published(first, published)
        rows.append(tuple(texts))
    below = (*notes(level, honest, marked, cells), *remarks)
    return Grid(tuple(headers), tuple(rows), (*below, *_published_notes(cells, published)) if published else below)


def listing(frame: pd.DataFrame) -> Grid:
    """Arrange any frame as a table, as it is."""
    words = [name for name in frame.columns if pd.api.types.is_object_dtype(frame[name].dtype)]
    ordered = [*words, *(name for name in frame.columns if name not in words)]
    rows = tuple(tuple(map(_word, row)) for row in frame[ordered].itertuples(index=False))
    return Grid(tuple(ordered), rows, (f"{len(frame)} rows",), len(words))


def of_one_cell(table: Grid) -> Grid:
    """Return a table without its first columns, method and protocol, for a place that names both."""
    rows = tuple(row[2:] for row in table.rows)
    return replace(table, headers=table.headers[2:], rows=rows, text_columns=table.text_columns - 2)


def _word(value: object) -> str:
    if isinstance(value, float):
        return NOTHING if math.isnan(value) else f"{value:.6g}"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _published(row: Mapping[str, Any], figures: Sequence[Published]) -> list[str]:
    """Return HTER, AUC and status that were published for a cell; several are named."""
    found = [] if row["variant"] else of_cell(row["method"], row["protocol"], figures)
    names = [f" ({figure.name})" if len(found) > 1 else "" for figure in found]
    columns = (
        [percent(figure.hter) for figure in found],
        [percent(figure.auc) for figure in found],
        [figure.status for figure in found],
    )
    return [" ".join(text + name for text, name in zip(texts, names, strict=True)) or NOTHING for texts in columns]


def _published_notes(cells: Cells, figures: Sequence[Published]) -> list[str]:
    rows = [next(iter(cell.values())) for cell in cells.values()]
    found = [figure for row in rows for figure in of_cell(row["method"], row["protocol"], figures)]
    found = [figure for figure in found if figure.status != "-"]
    rules = dict.fromkeys(f"{figure.name} (published): {figure.rule}." for figure in found)
    return [STATUS_NOTE, *rules]


def to_text(table: Grid) -> str:
    """Return a plain text table with its notes; control characters are shown and not obeyed."""
    if not table.rows:
        return EMPTY
    table = Grid(table.headers, tuple(tuple(map(plain, row)) for row in table.rows), table.notes, table.text_columns)
    widths = [max(len(row[i]) for row in (table.headers, *table.rows)) for i in range(len(table.headers))]
    lines = [_line(table.headers, widths, table.text_columns), "  ".join("-" * width for width in widths)]
    lines += [_line(row, widths, table.text_columns) for row in table.rows]
    return "\n".join([*lines, "", *table.notes]) + "\n"


def to_markdown(table: Grid) -> str:
    """Return a markdown table with its notes; no cell holds markup."""
    if not table.rows:
        return EMPTY
    rule = [":--" if i < table.text_columns else "--:" for i in range(len(table.headers))]
    lines = ["| " + " | ".join(map(markdown, row)) + " |" for row in (table.headers, rule, *table.rows)]
    return "\n".join([*lines, "", *(f"{markdown(note)}  " for note in table.notes)]) + "\n"


def _header(name: str, figure: str) -> str:
    if name in ("source-dev", "oracle"):
        return figure.upper() + (DAGGER if name == "oracle" else "")
    return f"{figure.upper()} {name}{DAGGER if selection(name).oracle else ''}"


def _seeds(row: dict[str, Any]) -> str:
    failed = f" (+{row['n_failed']} failed)" if row["n_failed"] else ""
    runs = f" x {row['n_runs']} runs" if row["n_runs"] > 1 else ""
    return f"{row['n_seeds']}{runs}{failed}"


def _figure(row: dict[str, Any] | None, figure: str) -> str:
    return NOTHING if row is None else percent(row[figure], row[f"{figure}_std"])


def _signed(cell: dict[str, dict[str, Any]], selection: str, column: str) -> str:
    gap = cell[selection][column] if selection in cell else math.nan
    return NOTHING if math.isnan(gap) else f"{100 * gap:+.2f}"


def notes(level: Level, honest: Sequence[str], marked: Sequence[str], cells: Cells) -> tuple[str, ...]:
    """Return what must be said under a table of these rules."""
    unit = "one decision a video (mean of its frames)" if level == "video" else "one decision a frame"
    lines = [f"Percent, {unit}, on the unseen target; mean ± standard deviation over the confirming seeds."]
    if honest:
        usual = all(selection(name).threshold_rule == "source-dev-eer" for name in honest)
        lines.append(f"Step and threshold{' (EER of source-dev)' if usual else ''} chosen on source domains only.")
    lines += [f"{name}: {_meaning(name, cells)}." for name in honest if name not in ("source-dev", "last")]
    if "oracle" in marked:
        lines.append(
            f"{DAGGER} oracle: best step and EER threshold chosen on the target itself, as much of the literature does;"
            " not attainable in use."
        )
    lines += [
        f"{DAGGER} {name}: {_meaning(name, cells)}; not attainable in use." for name in marked if name != "oracle"
    ]
    if honest and marked:
        lines.append("gap: oracle minus honest on the same runs; how much the oracle's habit flatters.")
    if any(row["generated"] for cell in cells.values() for row in cell.values()):
        lines.append("The faces are generated: these figures are no evidence about real face anti-spoofing.")
    rows = [row for cell in cells.values() for row in cell.values() if row["n_runs"] == 1]
    few = {row["protocol"]: row["subjects"] for row in rows if row["few_subjects"]}
    if few:
        counts = ", ".join(f"{protocol} {count}" for protocol, count in few.items())
        lines.append(f"Few target subjects ({counts}): confidence intervals may cover less than they promise.")
    lines += mark_notes(protocol for _, protocol in cells)
    if any(next(iter(cell.values()))["n_failed"] for cell in cells.values()):
        lines.append("(+n failed): runs that diverged or failed and are not in the figures.")
    return tuple(lines)


def with_mark(protocol: str) -> str:
    """Return the name of a protocol as tables show it: with a sign if it has shots or an extra source."""
    return f"{protocol} {MARK}" if marks_of(protocol) else protocol


def mark_notes(protocols: Iterable[str]) -> list[str]:
    """Return what the sign at each of these protocols means, one line for all."""
    found = {name: marks for name in dict.fromkeys(protocols) if (marks := marks_of(name))}
    if not found:
        return []
    each = "; ".join(f"{name} ({', '.join(marks)})" for name, marks in found.items())
    return [
        f"{MARK} Videos of the target, or a source more than usual, train: {each}. Compare with no row without them."
    ]


def _meaning(name: str, cells: Cells) -> str:
    used = sorted({cell[name]["n_evaluations"] for cell in cells.values() if name in cell} - {0, 1})
    here = f"; here k = {', '.join(map(str, used))}" if used else ""
    return selection(name).meaning + here


def _line(cells: Sequence[str], widths: Sequence[int], text_columns: int) -> str:
    parts = [
        cell.ljust(width) if i < text_columns else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(parts).rstrip()
