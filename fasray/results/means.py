"""Rows that are means over protocols: over the targets of one training, a published group, or the runs of a family.

The mean over a family's runs (OULU-NPU's protocols 3 and 4 ...) is called like the family and varies over the runs, as
its literature has it. Any other mean is called ``mean over NAME``, varies over seeds, and has an interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from fasray import protocols
from fasray.metrics.intervals import interval_of_error
from fasray.metrics.resampling import joined, standard_error
from fasray.results.bootstrap import CONFIDENCE, Replicates
from fasray.results.cells import CellFigures
from fasray.results.figures import FIGURES, TrialFigures, mean_and_std

MEAN_OVER = "mean over "


def is_mean(protocol: str) -> bool:
    """Return whether a row of this protocol is a mean over other rows."""
    return protocol.startswith(MEAN_OVER) or protocol in protocols.GROUPS


def members(protocol: str) -> tuple[str, ...]:
    """Return the names of the protocols that a mean is over; of any other protocol its own."""
    if protocol.startswith(MEAN_OVER):
        return tuple(protocols.names_in_order([protocol.removeprefix(MEAN_OVER)]))
    return protocols.GROUPS.get(protocol, (protocol,))


def reports_acer(protocol: str) -> bool:
    """Return whether a protocol is reported as APCER, BPCER and ACER: OULU-NPU's own and others within one corpus."""
    return protocols.parse(members(protocol)[0]).headline == "acer"


def marks_of(protocol: str) -> tuple[str, ...]:
    """Return what parts a protocol, or one that a mean is over, from the one that the literature compares on."""
    return tuple(dict.fromkeys(mark for name in members(protocol) for mark in protocols.parse(name).marks))


def means_of(wanted: Iterable[str], present: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the means that a table has, by name, with the protocols of each.

    Args:
        wanted: names and groups of protocols, as the sweep has them.
        present: names of the protocols of which there are rows.
    """
    families = dict.fromkeys(protocols.parse(name).aggregate for name in present)
    found = {name: protocols.GROUPS[name] for name in families if name}
    for name, names in protocols.mean_rows(wanted).items():
        if name not in families:
            found[f"{MEAN_OVER}{name}"] = names
    return found


def mean_rows(rows: Sequence[CellFigures], means: Mapping[str, tuple[str, ...]]) -> Iterator[CellFigures]:
    """Yield a row for each mean, method, variant, rule and level of which every protocol has a row with runs."""
    known = {(row.key, row.selection, row.level): row for row in rows if row.runs}
    wanted = dict.fromkeys((row.key[:2], row.selection, row.level) for row in rows)
    for name, names in means.items():
        for (method, variant), rule, level in wanted:
            found = [known.get(((method, variant, each), rule, level)) for each in names]
            if all(found):
                yield _mean((method, variant, name), [row for row in found if row])


def _mean(key: tuple[str, str, str], rows: Sequence[CellFigures]) -> CellFigures:
    named = key[2].startswith(MEAN_OVER)
    mean, over_runs = mean_and_std([row.mean for row in rows])
    failed, videos, frames = (sum(getattr(row, count) for row in rows) for count in ("n_failed", "videos", "frames"))
    subjects = {_target(row): row.subjects for row in rows} if named else dict(enumerate(row.subjects for row in rows))
    return CellFigures(
        key=key,
        selection=rows[0].selection,
        level=rows[0].level,
        n_runs=len(rows),
        n_failed=failed,
        mean=mean,
        std=_over_seeds(rows) if named else over_runs,
        runs=tuple(run for row in rows for run in row.runs),
        videos=videos,
        frames=frames,
        subjects=sum(subjects.values()),
        intervals=_intervals(mean, rows) if named else (math.nan,) * 4,
    )


def _over_seeds(rows: Sequence[CellFigures]) -> tuple[float, ...]:
    """Return the deviations over seeds of each seed's mean; NaN where the protocols have other seeds."""
    by_seed: dict[int, list[TrialFigures]] = {}
    for row in rows:
        for run in row.runs:
            by_seed.setdefault(run.seed, []).append(run)
    if any(len(runs) != len(rows) for runs in by_seed.values()):
        by_seed = {}
    means = [mean_and_std([run.values for run in runs])[0] for runs in by_seed.values()]
    return mean_and_std(means)[1]


def _intervals(mean: Sequence[float], rows: Sequence[CellFigures]) -> tuple[float, float, float, float]:
    """Return the 95 % intervals of HTER and AUC over the subjects of all targets, drawn jointly for all runs.

    People of one target are drawn alike for every protocol that it judges, those of different targets independently.
    Two parts of one dataset may share people whom nothing draws alike: then there is no interval.
    """
    drawn = [_replicates(row) for row in rows]
    parts: dict[str, list[Replicates]] = {}
    people: dict[str, int] = {}
    for row, values in zip(rows, drawn, strict=True):
        if values is None:
            return (math.nan,) * 4
        parts.setdefault(_target(row), []).append(values)
        people[_target(row)] = row.independent
    datasets = {protocols.parse(row.key[2]).target_parts[0].domain for row in rows}
    if len(datasets) < len(parts) or min(people.values()) < 2:
        return (math.nan,) * 4
    subjects = min(people.values()) * len(people)
    ends: list[float] = []
    for place, name in enumerate(("hter", "auc")):
        moved = [np.sum([each[place] for each in values], axis=0) / len(rows) for values in parts.values()]
        sizes = zip(moved, people.values(), strict=True)
        variance, freedom = joined([(standard_error(values, size) ** 2, size - 1) for values, size in sizes])
        found = interval_of_error(mean[FIGURES.index(name)], math.sqrt(variance), subjects, CONFIDENCE, freedom)
        ends += [round(found.lower, 6), round(found.upper, 6)]
    return ends[0], ends[1], ends[2], ends[3]


def _replicates(row: CellFigures) -> Replicates | None:
    """Return the mean of the runs' replicates, [2, B]; None without them."""
    known = [run.replicates for run in row.runs if run.replicates is not None]
    return np.mean(known, axis=0) if len(known) == len(row.runs) else None


def _target(row: CellFigures) -> str:
    return protocols.parse(row.key[2]).target
