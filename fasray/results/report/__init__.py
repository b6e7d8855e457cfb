"""One self-contained page about a run: the answer first, then what each number was computed from.

The page loads nothing from anywhere and has no script: plots and pictures are inside it, and every text from a run is
escaped. The same run gives the same bytes.
"""

from fasray.results.report.content import GENERATED_WARNING, Report, build_report
from fasray.results.report.page import render_report, to_html, write_plots

__all__ = ["GENERATED_WARNING", "Report", "build_report", "render_report", "to_html", "write_plots"]
