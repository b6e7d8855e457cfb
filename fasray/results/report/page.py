"""From the content of a report to its HTML page, and to the files of its plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from fasray import storage
from fasray.results import plots
from fasray.results.frame import COLUMNS, RunResults, compute_results
from fasray.results.plots import Plot, PlotFormat
from fasray.results.report.cells import TEXT_COLUMNS, TRIAL_HEADERS
from fasray.results.report.comparison import OPERATING_POINTS
from fasray.results.report.content import Report, build_report
from fasray.results.report.cost import duration
from fasray.results.tables.text import TABLE_SELECTIONS
from fasray.runs.record import RunRecord
from fasray.runs.weights import read_weights


@dataclass(frozen=True)
class Fact:
    """A line of provenance."""

    name: str
    value: str


def render_report(run: RunRecord, results: RunResults | None = None, with_pictures: bool | None = None) -> str:
    """Return the report of a run as one HTML page.

    Args:
        run: the run; unfinished ones are fine.
        results: of ``compute_results(run)``, if they are at hand.
        with_pictures: whether faces are shown; None: only generated ones.

    Raises:
        DataError: a score file is missing or broken.
    """
    results = results if results is not None else compute_results(run, TABLE_SELECTIONS)
    return to_html(build_report(run, results, run.generated if with_pictures is None else with_pictures))


def page_environment(package: str) -> jinja2.Environment:
    """Return what renders the templates of a package; names and texts from data are escaped, plots are inlined."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["svg"] = _inline
    return environment


def to_html(report: Report) -> str:
    """Return the page of a report."""
    environment = page_environment("fasray.results.report")
    environment.filters["duration"] = duration
    style = resources.files("fasray.results.report").joinpath("report.css").read_text(encoding="utf-8")
    run = report.run
    return environment.get_template("report.html.j2").render(
        report=report,
        run=run,
        style=Markup(style),  # noqa: S704 (a file of this package)
        trial_headers=TRIAL_HEADERS,
        text_columns=TEXT_COLUMNS,
        operating_points=OPERATING_POINTS,
        columns=COLUMNS,
        provenance=_provenance(run),
        card=_facts(run.data.card),
    )


def write_plots(report: Report, folder: str, kind: PlotFormat) -> list[str]:
    """Write every plot of a report into ``folder`` as ``<name>.<kind>``.

    Returns:
        The paths written.
    """
    paths = []
    for plot in report.every_plot:
        path = storage.join(folder, f"{plot.name}.{kind}")
        storage.write_bytes(path, plots.encode(plot, kind))
        paths.append(path)
    return paths


def _inline(plot: Plot) -> Markup:
    return Markup(plots.to_page_svg(plot))  # noqa: S704 (matplotlib escapes its texts, to_page_svg the label)


def _provenance(run: RunRecord) -> list[Fact]:
    versions = {name if name == "commit" else f"{name} version": version for name, version in run.versions.items()}
    return [
        Fact("run", run.name),
        Fact("data manifest", run.data.manifest_hash),
        *map(Fact, versions, versions.values()),
        *([Fact("computed on", ", ".join(sorted(run.devices)))] if run.devices else []),
        *(Fact(f"initial weights of {used.method}", str(used)) for used in read_weights(run.uri).values()),
    ]


def _facts(card: Mapping[str, Any]) -> list[Fact]:
    return [
        Fact(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in card.items()
    ]
