"""The result frame as a LaTeX table for a paper: booktabs, best figure bold, second underlined, oracles marked.

It needs the package ``booktabs``; with ``graphicx`` a table that is too wide is shrunk to the line. Methods are rows,
protocols pairs of columns; each selection rule is a block of its own, in which figures are compared. More than four
protocols go into several tables below each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fasray.results.means import reports_acer
from fasray.results.scores import Level
from fasray.results.selection import selection
from fasray.results.tables.escape import latex
from fasray.results.tables.published import STATUS_NOTE, Published
from fasray.results.tables.text import Cells, cells_of, notes, with_mark

_PROTOCOLS_A_TABLE = 4
_NOTHING = "--"
_HEAD = (
    "% needs \\usepackage{booktabs}, and \\usepackage{graphicx} to shrink what is wider than the line",
    "\\begin{center}",
    "\\providecommand{\\resizebox}[3]{#3}",
    "\\small",
    "\\setlength{\\tabcolsep}{4pt}",
)
_SHRINK = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%"
_HIGHER_IS_BETTER = {"hter": False, "acer": False, "auc": True}


@dataclass(frozen=True)
class _Column:
    protocol: str
    figure: str


def to_latex(frame: pd.DataFrame, level: Level = "video", published: Sequence[Published] = ()) -> str:
    """Return the table as a LaTeX fragment, to be set inside a document.

    Figures are percent, mean and standard deviation over the confirming seeds. Bold is the best of a block's column,
    underlined the second; what prints alike is marked alike. Blocks of honest rules come before those of oracles,
    which carry a dagger, and published figures come last and are not compared.

    Args:
        frame: of ``results_frame``; all rules that it holds are shown.
        level: ``video`` or ``frame``.
        published: figures to add where their protocol is shown.
    """
    cells = cells_of(frame, level)
    if not cells:
        return "% no confirmed runs yet\n"
    shown = list(dict.fromkeys(protocol for _, protocol in cells))
    lines = list(_HEAD)
    for start in range(0, len(shown), _PROTOCOLS_A_TABLE):
        tabular = _tabular(cells, shown[start : start + _PROTOCOLS_A_TABLE], published)
        lines += [_SHRINK, *tabular, "}", "\\par\\medskip"]
    lines += ["\\end{center}", "{\\footnotesize\\raggedright"]
    lines += [f"{latex(note)}\\par" for note in _footnotes(frame, cells, level, bool(published))]
    return "\n".join([*lines, "}"]) + "\n"


def _tabular(cells: Cells, shown: Sequence[str], published: Sequence[Published]) -> list[str]:
    columns = [
        _Column(protocol, figure)
        for protocol in shown
        for figure in (("acer", "hter") if reports_acer(protocol) else ("hter", "auc"))
    ]
    methods = list(dict.fromkeys(method for method, protocol in cells if protocol in shown))
    rules = list(dict.fromkeys(name for cell in cells.values() for name in cell))
    rules.sort(key=lambda name: selection(name).oracle)
    titles = [f"{column.figure.upper()} (\\%)" for column in columns]
    heads = [f"\\multicolumn{{2}}{{c}}{{{latex(with_mark(protocol))}}}" for protocol in shown]
    rulers = "".join(f"\\cmidrule(lr){{{2 * n + 2}-{2 * n + 3}}}" for n in range(len(shown)))
    lines = [
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        f" & {' & '.join(heads)} \\\\",
        rulers,
        f"method & {' & '.join(titles)} \\\\",
    ]
    for rule in rules:
        texts = {
            column: _marked([cells.get((method, column.protocol), {}).get(rule) for method in methods], column)
            for column in columns
        }
        lines += ["\\midrule", _heading(latex(rule) + ("$^\\dagger$" if selection(rule).oracle else ""), len(columns))]
        lines += [
            f"{latex(method)} & {' & '.join(texts[c][n] for c in columns)} \\\\" for n, method in enumerate(methods)
        ]
    lines += _published_block(published, columns)
    return [*lines, "\\bottomrule", "\\end{tabular}"]


def _heading(text: str, columns: int) -> str:
    return f"\\multicolumn{{{columns + 1}}}{{l}}{{\\emph{{{text}}}}} \\\\"


def _marked(rows: Sequence[Mapping[str, Any] | None], column: _Column) -> list[str]:
    """Return one column of a block, the best figure bold and the second underlined."""
    means = [_percent(row[column.figure]) if row is not None else "" for row in rows]
    ranked = sorted({mean for mean in means if mean}, key=float, reverse=_HIGHER_IS_BETTER[column.figure])
    texts = []
    for row, mean in zip(rows, means, strict=True):
        if row is None or not mean:
            texts.append(_NOTHING)
            continue
        text = f"\\textbf{{{mean}}}" if mean == ranked[0] else mean
        text = f"\\underline{{{mean}}}" if len(ranked) > 1 and mean == ranked[1] else text
        spread = _percent(row[f"{column.figure}_std"])
        texts.append(f"{text} {{\\scriptsize $\\pm$ {spread}}}" if spread else text)
    return texts


def _percent(fraction: float) -> str:
    return "" if math.isnan(fraction) else f"{100 * fraction:.2f}"


def _published_block(published: Sequence[Published], columns: Sequence[_Column]) -> list[str]:
    by_name: dict[str, dict[str, Published]] = {}
    shown = {column.protocol for column in columns}
    for figure in published:
        if figure.protocol in shown:
            by_name.setdefault(figure.name, {})[figure.protocol] = figure
    if not by_name:
        return []
    lines = ["\\midrule", _heading("published, each under its own rule$^\\ddagger$", len(columns))]
    for name, figures in by_name.items():
        status = "/".join(sorted({figure.status for figure in figures.values()}))
        texts = [_published_figure(figures.get(column.protocol), column.figure) for column in columns]
        lines.append(f"{latex(name)} ({latex(status)}) & {' & '.join(texts)} \\\\")
    return lines


def _published_figure(figure: Published | None, which: str) -> str:
    known = figure is not None and which in ("hter", "auc")
    return (_percent(getattr(figure, which)) or _NOTHING) if known else _NOTHING


def _footnotes(frame: pd.DataFrame, cells: Cells, level: Level, published: bool) -> list[str]:
    rules = list(dict.fromkeys(name for cell in cells.values() for name in cell))
    marked = [name for name in rules if selection(name).oracle]
    below = [note for note in notes(level, [name for name in rules if name not in marked], marked, cells)]
    below = [note for note in below if not note.startswith("gap:")]
    rows = frame[frame["level"] == level]
    below.append(f"Frames a video: {_frames_a_video(rows)}. Seeds: {_seeds(rows)}.")
    thresholds = ", ".join(f"{name} {selection(name).threshold_rule}" for name in rules)
    below.append(f"Threshold rules: {thresholds}. Bold: best of a block; underlined: second.")
    return [*below, f"\u2021 {STATUS_NOTE}"] if published else below


def _frames_a_video(rows: pd.DataFrame) -> str:
    shares = sorted({f"{row.frames / row.videos:.3g}" for row in rows.itertuples() if row.videos}, key=float)
    return "unknown" if not shares else shares[0] if len(shares) == 1 else f"{shares[0]} to {shares[-1]} on average"


def _seeds(rows: pd.DataFrame) -> str:
    found = sorted({seed for name, seeds in zip(rows["selection"], rows["seeds"], strict=True)
                    if not selection(name).any_trial for seed in seeds})  # fmt: skip
    return ", ".join(map(str, found)) or "none"
