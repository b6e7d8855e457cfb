"""Every figure by group: camera, session, attack type, instrument, domain and, where the data know it, of whom.

The target's videos of each confirmed run are split by one attribute at a time. Errors are taken at the run's own
threshold, and intervals are the subject bootstrap's, with the same resamples for all groups, so that what two groups
share cancels in the difference between them (``gap``: differential performance, ISO/IEC 19795-10).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fasray.metrics.intervals import RESAMPLES, figure_interval, worst_apcer
from fasray.metrics.replicates import Counts, Floats, ScoredClusters
from fasray.metrics.resampling import Clusters, draw, find_clusters, standard_error, whole
from fasray.results.confirmed import confirmed_cells
from fasray.results.scores import Scores
from fasray.results.selection import selection
from fasray.results.tables.text import NOTHING, ORACLE_NOTE, Grid, mark_notes, method_label, percent, with_mark
from fasray.runs.record import RunRecord
from fasray.runs.videos import VIDEO_COLUMNS, VideoFacts, read_videos

CONFIDENCE = 0.95
FEW_IN_GROUP = 10
"""Subjects below which a group carries a warning."""
ATTRIBUTES = ("domain", "attack_type", "instrument", *VIDEO_COLUMNS)
"""What the target may be split by."""
_OF_ATTACKS = ("attack_type", "instrument")
UNKNOWN = "(unknown)"

SLICE_COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol",
    "selection": "rule that picked step and threshold",
    "oracle": "whether the rule looked at target labels",
    "by": "attribute that the target's videos are split by; all: the whole target",
    "group": f"value of the attribute; {UNKNOWN} where the data do not say",
    "figure": "far (attacks accepted, types together), apcer (of the group's worst attack type), bpcer, hter or auc",
    "value": "mean over the confirming runs, fraction",
    "lower": f"lower end of the {100 * CONFIDENCE:g} % interval over subjects",
    "upper": "upper end",
    "gap": "how much worse than the best group of the attribute with enough subjects",
    "gap_lower": "lower end of its interval, Student's t over the subjects",
    "gap_upper": "upper end",
    "worst": "whether this is the worst group with enough subjects",
    "videos": "videos that the figure counts",
    "subjects": "different people in them",
    "few_subjects": f"whether they are fewer than {FEW_IN_GROUP}",
}
"""Columns of the slices' frame."""

_Figure = Callable[[Scores, NDArray[np.bool_], Clusters, Counts, float], Floats]
"""A figure of some of the target's videos and under resamples, [1 + B]."""


def _apcer(target: Scores, rows: NDArray[np.bool_], clusters: Clusters, counts: Counts, threshold: float) -> Floats:
    videos = target.videos
    live, part = (videos.label == 1)[rows], _part(clusters, rows)
    return worst_apcer(videos.score[rows], live, videos.attack_type[rows], part, counts, threshold)


def _rate(which: str) -> _Figure:
    def figure(target: Scores, rows: NDArray[np.bool_], clusters: Clusters, counts: Counts, threshold: float) -> Floats:
        videos = target.videos
        sample = ScoredClusters(videos.score[rows], (videos.label == 1)[rows], clusters.index[rows])
        if which == "auc":
            return sample.auc(counts)
        far = sample.far(counts, threshold) if which != "bpcer" else None
        frr = sample.frr(counts, threshold) if which != "far" else None
        return np.asarray(frr if far is None else far if frr is None else (far + frr) / 2)

    return figure


_FIGURES: Mapping[str, tuple[_Figure, bool, bool]] = {
    "far": (_rate("far"), False, True),
    "apcer": (_apcer, False, True),
    "bpcer": (_rate("bpcer"), True, False),
    "hter": (_rate("hter"), True, True),
    "auc": (_rate("auc"), True, True),
}
"""Figure -> how it is computed, whether it needs live videos, whether it needs attacks."""


@dataclass(frozen=True, eq=False)
class _Group:
    """One group's figure: means over runs, [1 + B]."""

    values: Floats
    videos: int
    subjects: int

    @property
    def counts(self) -> bool:
        return self.subjects >= FEW_IN_GROUP


def slices_frame(
    run: RunRecord, rule: str = "source-dev", by: Sequence[str] = (), resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Return one row for each cell, attribute, group and figure; see ``SLICE_COLUMNS``.

    Args:
        run: the run. One of an earlier release knows nothing of cameras, sessions and people.
        rule: name of a selection rule that applies to each confirmed run.
        by: attributes; none: all that have two groups or more in the target.
        resamples: of the target's subjects.

    Raises:
        DataError: a score file or the file of the run's videos is missing or damaged.
        SpecError: there is no such rule, or it applies to no single confirmed run.
    """
    facts, oracle = read_videos(run.uri), selection(rule).oracle
    rows: list[dict[str, Any]] = []
    for (method, variant, protocol), runs in confirmed_cells(run, rule):
        head = {"method": method, "variant": variant, "protocol": protocol, "selection": rule, "oracle": oracle}
        picks = [(each, pick) for each in runs for pick in each.choice.picks]
        read = [(each.evaluations[pick.step].target, pick.video_threshold) for each, pick in picks]
        rows += [{**head, **row} for row in slice_rows(read, facts, by, resamples)]
    return pd.DataFrame(rows, columns=list(SLICE_COLUMNS))


def target_attributes(target: Scores, facts: VideoFacts | None) -> dict[str, NDArray[np.str_]]:
    """Return what is known of each video of a target, [V] by attribute; without those of which nothing is known.

    Args:
        target: the rows.
        facts: of the run's videos; None: not recorded.
    """
    videos = target.videos
    first = np.unique(target.grouping.inverse, return_index=True)[1]
    found = {
        "domain": videos.domain,
        "attack_type": videos.attack_type,
        "instrument": target.instrument[first],
        **({name: facts.of_videos(name, videos.video) for name in VIDEO_COLUMNS} if facts else {}),
    }
    known = {name: np.where(values == "", UNKNOWN, values) for name, values in found.items() if (values != "").any()}
    return {name: values.astype(np.str_) for name, values in known.items()}


def slice_rows(
    runs: Sequence[tuple[Scores, float]], facts: VideoFacts | None, by: Sequence[str] = (), resamples: int = RESAMPLES
) -> list[dict[str, Any]]:
    """Return one row for each attribute, group and figure of some runs on one target, without the columns of a cell.

    Args:
        runs: the target's scores of each, over the same videos, and its threshold for videos.
        facts: of the run's videos; None: not recorded.
        by: attributes; none: all that have two groups or more in the target.
        resamples: of the target's subjects.
    """
    target = runs[0][0]
    live = target.grouping.videos.label == 1
    clusters = find_clusters(np.zeros(len(live)), live, target.grouping.subjects)
    counts = np.concatenate([whole(clusters), draw(clusters, resamples, seed=0)])
    attributes = {"all": np.full(len(live), "all"), **target_attributes(target, facts)}
    rows: list[dict[str, Any]] = []
    for name, values in attributes.items():
        judged = values[~live] if name in _OF_ATTACKS else values
        groups = np.unique(judged).tolist()
        if name != "all" and ((by and name not in by) or (len(groups) < 2 and name not in by)):
            continue
        for figure in ("apcer",) if name in _OF_ATTACKS else tuple(_FIGURES):
            found = {group: _group(runs, values == group, figure, clusters, counts) for group in groups}
            known = {group: each for group, each in found.items() if each is not None}
            rows += [{"by": name, **row} for row in _figure_rows(known, figure)]
    return rows


def _group(
    runs: Sequence[tuple[Scores, float]], rows: NDArray[np.bool_], figure: str, clusters: Clusters, counts: Counts
) -> _Group | None:
    """Return a group's figure, None where it lacks the videos that it needs."""
    compute, needs_live, needs_attacks = _FIGURES[figure]
    live = runs[0][0].grouping.videos.label == 1
    counted = rows & (live if not needs_attacks else ~live if not needs_live else np.ones_like(live))
    sides = [counted & side for side, needed in ((live, needs_live), (~live, needs_attacks)) if needed]
    if not all(side.any() for side in sides):
        return None
    values = np.mean([compute(target, counted, clusters, counts, limit) for target, limit in runs], axis=0)
    subjects = min(len(np.unique(clusters.index[side])) for side in sides)
    return _Group(values, int(counted.sum()), subjects)


def _figure_rows(groups: Mapping[str, _Group], figure: str) -> list[dict[str, Any]]:
    sign = -1 if figure == "auc" else 1
    ranked = {name: sign * float(group.values[0]) for name, group in groups.items() if group.counts}
    best = min(ranked, key=lambda name: ranked[name], default=None) if len(ranked) > 1 else None
    worst = max(ranked, key=lambda name: ranked[name], default=None) if len(ranked) > 1 else None
    rows = []
    for name, group in groups.items():
        value = float(group.values[0])
        interval = figure_interval(value, group.values[1:], group.subjects, CONFIDENCE)
        gap = (math.nan,) * 3
        if best is not None and name != best:
            other = groups[best]
            gap = _gap(sign * (group.values - other.values), min(group.subjects, other.subjects))
        rows.append(
            {
                "group": name,
                "figure": figure,
                "value": value,
                "lower": interval.lower,
                "upper": interval.upper,
                "gap": gap[0],
                "gap_lower": gap[1],
                "gap_upper": gap[2],
                "worst": name == worst,
                "videos": group.videos,
                "subjects": group.subjects,
                "few_subjects": not group.counts,
            }
        )
    return rows


def _gap(differences: Floats, subjects: int) -> tuple[float, float, float]:
    from scipy.special import stdtrit

    found = float(differences[0])
    half = float(stdtrit(max(subjects - 1, 1), (1 + CONFIDENCE) / 2)) * standard_error(differences[1:], subjects)
    return found, found - half, found + half


def _part(clusters: Clusters, rows: NDArray[np.bool_]) -> Clusters:
    """Return the clusters of some rows, numbered as before."""
    return Clusters(clusters.index[rows], clusters.stratum, clusters.kind, clusters.live, clusters.attack)


def slices_grid(frame: pd.DataFrame) -> Grid:
    """Arrange slices for people, in percent: one row a group, with what errors it has and how far it is behind."""
    rows: list[tuple[str, ...]] = []
    for (method, variant, protocol), cell in frame.groupby(["method", "variant", "protocol"], sort=False):
        label = method_label({"method": method, "variant": variant})
        rows += [(label, with_mark(protocol), *row) for row in cell_slices_grid(cell.to_dict("records")).rows]
    notes = (*_NOTES, *([ORACLE_NOTE] if frame["oracle"].any() else []), *mark_notes(frame["protocol"]))
    return Grid(("method", "protocol", *_HEADERS), tuple(rows), notes, text_columns=4)


def cell_slices_grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """Arrange the rows of one cell for people, as ``slices_grid``."""
    groups: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["by"], row["group"]), {})[row["figure"]] = row
    lines = []
    for (by, group), figures in groups.items():
        few = any(row["few_subjects"] for row in figures.values())
        counts = max(row["videos"] for row in figures.values()), min(row["subjects"] for row in figures.values())
        shown = [_shown(figures.get(name)) for name in ("apcer", "bpcer", "hter", "auc")]
        lines.append((by, f"{group}{' !' if few else ''}", *map(str, counts), *shown))
    return Grid(_HEADERS, tuple(lines), _NOTES, text_columns=2)


_HEADERS = ("by", "group", "videos", "subjects", "APCER", "BPCER", "HTER", "AUC")
_NOTES = (
    "Percent, with the 95 % interval over subjects, at each run's own threshold; one decision a video.",
    "APCER is that of the worst attack type in the group; HTER takes attack types together.",
    "* worst group of those with enough subjects; (+x to y) how far it is behind the best one, 95 %, other people.",
    f"! a group of fewer than {FEW_IN_GROUP} subjects: too few to say anything of it.",
)


def _shown(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return NOTHING
    interval = "" if math.isnan(row["lower"]) else f" [{100 * row['lower']:.1f}, {100 * row['upper']:.1f}]"
    behind = ""
    if row["worst"] and not math.isnan(row["gap_lower"]):
        behind = f" * ({100 * row['gap_lower']:+.1f} to {100 * row['gap_upper']:+.1f})"
    return percent(row["value"]) + interval + behind
