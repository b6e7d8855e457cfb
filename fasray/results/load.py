"""From a run directory to its results, as frames and as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd

from fasray.results.ablations import ablation_frame
from fasray.results.cache import LEAST_SCORE_FILES, ResultsCache
from fasray.results.costs import cost_frame
from fasray.results.frame import compute_results, offered, results_frame
from fasray.results.importance import importance_frame
from fasray.results.listings import evaluations_frame, scores_frame, trials_frame
from fasray.results.tables.export import write_parquet
from fasray.runs.layout import REPORT_FILE, RESULTS_FILE
from fasray.runs.record import RunRecord, read_run
from fasray.storage import exists, join, write_bytes


def load_results(run: str, selections: Sequence[str] = ()) -> pd.DataFrame:
    """Return the result frame of a run directory: one row per method, protocol, selection and level.

    Figures are fractions; every row names the trials and steps that it comes from. Of a long run the rows are kept in
    its ``results.cache`` (``fasray.results.cache``).

    Args:
        run: the run directory.
        selections: names of rules; none: all that the run offers.

    Raises:
        DataError: this is not a run directory, or a file of it is missing or damaged.
        SpecError: there is no such selection.
    """
    return results_of(read_run(run), selections)


def results_of(record: RunRecord, selections: Sequence[str] = ()) -> pd.DataFrame:
    """Return the result frame of a run that has been read; as :func:`load_results`."""
    selections = selections or offered(record)
    with _cache_of(record) as cache:
        return results_frame(record, selections, cache)


def load_trials(run: str) -> pd.DataFrame:
    """Return one row a trial of a run directory, from its event log; columns in ``listings.TRIAL_COLUMNS``.

    Raises:
        DataError: this is not a run directory, or a file of it is damaged.
    """
    return trials_frame(read_run(run))


def load_costs(run: str) -> pd.DataFrame:
    """Return what a run has taken, one row a cell and one for the whole; columns in ``costs.COST_COLUMNS``.

    Raises:
        DataError: this is not a run directory, or a file of it is damaged.
    """
    return cost_frame(read_run(run).trials)


def load_ablations(run: str, selection: str = "source-dev") -> pd.DataFrame:
    """Return what switching parts of the methods off did, paired by seed; columns in ``ablations.ABLATION_COLUMNS``.

    Raises:
        DataError: this is not a run directory, or a file of it is missing or damaged.
        SpecError: there is no such selection.
    """
    return ablation_frame(read_run(run), selection)


def load_importance(run: str) -> pd.DataFrame:
    """Return which searched settings matter and which pairs interact; columns in ``importance.IMPORTANCE_COLUMNS``.

    Raises:
        DataError: this is not a run directory, or a file of it is damaged.
    """
    return importance_frame(read_run(run))


def load_evaluations(run: str) -> pd.DataFrame:
    """Return one row an evaluation of every trial, from the score files; columns in ``listings.EVALUATION_COLUMNS``.

    Of a long run the figures are kept in its ``results.cache`` (``fasray.results.cache``).

    Raises:
        DataError: this is not a run directory, or a file of it is missing or damaged.
    """
    record = read_run(run)
    with _cache_of(record) as cache:
        return evaluations_frame(record, cache)


def load_scores(run: str, selection: str = "source-dev", trials: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row a frame of the confirmed runs at the step that a rule picked; ``listings.SCORE_COLUMNS``.

    Args:
        run: the run directory.
        selection: name of a rule.
        trials: ids of the runs; none: all confirmed ones.

    Raises:
        DataError: this is not a run directory, or a file of it is missing or damaged, or it has no such trial.
        SpecError: there is no such selection, or it applies to no single confirmed run.
    """
    return scores_frame(read_run(run), selection, trials)


@contextmanager
def _cache_of(run: RunRecord) -> Iterator[ResultsCache | None]:
    """Give the cache of a run that has enough score files for one, and save it afterwards."""
    if sum(len(trial.steps) for trial in run.trials) < LEAST_SCORE_FILES:
        yield None
    else:
        cache = ResultsCache(run.uri)
        yield cache
        cache.save()


def write_derived(run: str, renew: bool) -> list[str]:
    """Write ``results.parquet`` and ``report.html`` where they are missing, or all of them to ``renew``.

    Returns:
        The paths written.
    """
    paths = [join(run, name) for name in (RESULTS_FILE, REPORT_FILE)]
    if not renew and all(exists(path) for path in paths):
        return []
    from fasray.results.report import render_report  # pictures take a second to import, and tables need none

    record = read_run(run)
    results = compute_results(record, offered(record))
    write_parquet(results.frame, paths[0])
    write_bytes(paths[1], render_report(record, results).encode())
    return paths
