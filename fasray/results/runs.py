"""From a run directory to its results: what the ledger holds, in the shape that the results are computed from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import yaml

from fasray.results.evaluations import RunView
from fasray.results.frame import compute_results, results_frame
from fasray.results.report import render_report
from fasray.results.select import SELECTIONS
from fasray.results.tables import write_parquet
from fasray.storage import exists, join, write_bytes
from fasray.sweep.ledger import read_run

FRAME_FILE, REPORT_FILE = "results.parquet", "report.html"


def view(run: str) -> RunView:
    """Return a run directory, finished or not, as the results see it.

    Raises:
        DataError: this is no run directory, or a file of it is damaged.
    """
    record = read_run(run)
    return RunView(
        name=record.name,
        spec_text=yaml.safe_dump(dict(record.spec), sort_keys=False, allow_unicode=True),
        trials=record.trials,
        score_uri=record.score_uri,
        data_card=record.data.card,
        versions=record.versions,
        manifest_hash=record.data.manifest_hash,
        data=record.spec.get("data"),
    )


def load_results(run: str, selections: Sequence[str] = tuple(SELECTIONS)) -> pd.DataFrame:
    """Return the result frame of a run directory: one row per method, protocol, selection and level.

    Figures are fractions; every row names the trials and steps that it comes from.

    Raises:
        DataError: this is no run directory, or a file of it is missing or damaged.
        SpecError: there is no such selection.
    """
    return results_frame(view(run), selections)


def write_derived(run: str, renew: bool) -> list[str]:
    """Write ``results.parquet`` and ``report.html`` where they are missing, or all of them to ``renew``.

    Returns:
        The paths written.
    """
    paths = [join(run, name) for name in (FRAME_FILE, REPORT_FILE)]
    if not renew and all(exists(path) for path in paths):
        return []
    seen = view(run)
    results = compute_results(seen)
    write_parquet(results.frame, paths[0])
    write_bytes(paths[1], render_report(seen, results).encode())
    return paths
