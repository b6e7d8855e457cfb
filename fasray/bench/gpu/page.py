"""The page of a check, in Markdown: readable in a terminal, by somebody who has just rented the card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from fasray.bench.gpu.record import Part, Record, Row

_INTRODUCTIONS = {
    "gpu-check": "What this device does with fasray's methods, measured without Ray on images of noise: whether its "
    "numbers are right, how fast it is, what it has room for, and what to set.",
    "gpu-check-ray": "What a sweep makes of this device, measured through Ray on generated faces: how busy it is, what "
    "several trials at once bring, and whether a killed sweep ends in the same table.",
}


def write(record: Record, folder: Path) -> tuple[Path, Path]:
    """Write the JSON document and the page into ``folder``, replacing those of before; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    document, text = folder / f"{record.check}.json", folder / f"{record.check}.md"
    document.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    text.write_text(page(record), encoding="utf-8")
    return document, text


def page(record: Record) -> str:
    """Return the page of a record."""
    device = record.device
    lines = [
        f"# {record.check}: {device['name']}",
        "",
        _INTRODUCTIONS[record.check],
        "",
        _verdict(record),
        "",
        f"Time: {record.seconds:.0f} s of {record.minutes:g} min. "
        + ", ".join(f"{key.replace('_', ' ')}: {_text(value)}" for key, value in device.items() if key != "name")
        + ". "
        + ", ".join(f"{name} {number}" for name, number in record.versions.items())
        + ".",
    ]
    if settings := record.settings():
        lines += ["", "## What to set", "", "In the sweep file, as far as the figures below go:", "", "```yaml"]
        lines += [*yaml.safe_dump(settings, sort_keys=False).splitlines(), "```"]
    for part in record.parts:
        lines += _section(part)
    lines += ["", "## The sizes", "", *_items(f"{key}: {_text(value)}" for key, value in record.setting.items())]
    lines += ["", f"All figures, with their units, are in `{record.check}.json`."]
    return "\n".join(lines) + "\n"


def _verdict(record: Record) -> str:
    if wrong := record.wrong:
        return "**WRONG RESULTS. Train nothing on this device before they are explained:**\n\n" + "\n".join(
            _items(wrong)
        )
    if not record.complete:
        return "**The check has not ended: what follows is what it had measured so far.**"
    judged = [f"{part.title.lower()}{_only(part)}" for part in record.parts if part.judges and part.rows]
    missing = [part.title.lower() for part in record.parts if part.judges and not part.rows]
    lines = [f"**Nothing is wrong** in: {'; '.join(judged)}."] if judged else []
    lines += [f"**Not checked**: {'; '.join(missing)}."] if missing else []
    return " ".join(lines) or "Nothing was checked for being right."


def _only(part: Part) -> str:
    """Say which items were looked at, if not all were."""
    if part.status == "done":
        return ""
    return f" (only {', '.join(str(next(iter(row.values()))) for row in part.rows)})"


def _section(part: Part) -> list[str]:
    lines = ["", f"## {part.title}", "", part.about]
    if part.findings:
        lines += ["", *_items(part.findings)]
    if part.rows:
        lines += ["", *_table(part.columns, part.rows)]
        lines += ["", *_items(f"{name}: {meaning}" for name, meaning in part.columns.items())]
    if part.status != "done":
        lines += ["", f"{part.status}: {part.reason}"]
    return lines


def _table(columns: Iterable[str], rows: Sequence[Row]) -> list[str]:
    there = [name for name in columns if any(name in row for row in rows)]
    cells = [[_text(row.get(name, "")) for name in there] for row in rows]
    widths = [max(len(name), *(len(row[place]) for row in cells)) for place, name in enumerate(there)]
    head = [
        name.ljust(width) if place == 0 else name.rjust(width)
        for place, (name, width) in enumerate(zip(there, widths, strict=True))
    ]
    marks = ["-" * width if place == 0 else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    body = [
        [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in cells
    ]
    return [f"| {' | '.join(line)} |" for line in (head, marks, *body)]


def _items(texts: Iterable[str]) -> list[str]:
    return [f"- {text}" for text in texts]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value).replace("|", "\\|")
