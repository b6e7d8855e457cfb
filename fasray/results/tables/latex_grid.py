"""Any table for people as a LaTeX fragment: booktabs, words to the left, numbers to the right, notes below."""

from __future__ import annotations

from fasray.results.tables.escape import latex
from fasray.results.tables.text import Grid


def grid_to_latex(table: Grid) -> str:
    """Return a table with its notes as a fragment to be set inside a document; every word is shown and not obeyed."""
    columns = "l" * table.text_columns + "r" * (len(table.headers) - table.text_columns)
    lines = [
        "% needs \\usepackage{booktabs}, and \\usepackage{graphicx} to shrink what is wider than the line",
        "\\begin{center}",
        "\\providecommand{\\resizebox}[3]{#3}",
        "\\small",
        "\\setlength{\\tabcolsep}{4pt}",
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        f"{' & '.join(map(latex, table.headers))} \\\\",
        "\\midrule",
        *(f"{' & '.join(map(latex, row))} \\\\" for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}}",
        "\\end{center}",
        "{\\footnotesize\\raggedright",
        *(f"{latex(note)}\\par" for note in table.notes),
        "}",
    ]
    return "\n".join(lines) + "\n"
