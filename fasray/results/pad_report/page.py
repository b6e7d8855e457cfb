"""From the content of a PAD report to its one HTML page, for the screen and for paper."""

from __future__ import annotations

from importlib import resources

from markupsafe import Markup

from fasray.results.pad_report.checklist import how_many
from fasray.results.pad_report.content import PadReport, rule_words
from fasray.results.report.page import page_environment


def pad_report_html(report: PadReport) -> str:
    """Return the page of a PAD report; it asks the network for nothing, and prints as it is."""
    files = (("fasray.results.report", "report.css"), ("fasray.results.pad_report", "pad_report.css"))
    style = "\n".join(resources.files(package).joinpath(name).read_text(encoding="utf-8") for package, name in files)
    return (
        page_environment("fasray.results.pad_report")
        .get_template("pad_report.html.j2")
        .render(
            report=report,
            style=Markup(style),  # noqa: S704 (files of this package)
            rule=rule_words(report.options.threshold),
            how_many=how_many(),
            many_videos=any(each.count > each.subjects for each in (report.counts.live, *report.counts.species)),
        )
    )
