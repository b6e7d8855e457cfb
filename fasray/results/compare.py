"""Is A better than B: the methods of one run or two against a baseline, paired by protocol, seed and target subject.

Every method's confirmed runs are evaluated under the same resamples of the target's subjects, at the step and threshold
that one selection rule picked; ``fasray.metrics.mean_difference`` says what follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fasray.errors import DataError, SpecError, did_you_mean
from fasray.metrics.inputs import check_confidence
from fasray.metrics.intervals import FEW_SUBJECTS, RESAMPLES, eer_values, worst_apcer
from fasray.metrics.mean_difference import POWER, MeanDifference, PairedRuns, holm, mean_difference
from fasray.metrics.ranks import Ranks, rank_methods
from fasray.metrics.replicates import Counts, Floats, ScoredClusters
from fasray.metrics.resampling import Clusters, draw, find_clusters, whole
from fasray.metrics.tally import tally
from fasray.results.ablations import MEAN_OF_PROTOCOLS
from fasray.results.confirmed import ConfirmedRun, confirmed_cells
from fasray.results.scores import Scores
from fasray.results.selection import selection
from fasray.runs.record import RunRecord
from fasray.validation import difference

Figure = Literal["hter", "auc", "eer", "acer"]
COMPARED: tuple[Figure, ...] = ("hter", "auc", "eer", "acer")
HIGHER_IS_BETTER = frozenset({"auc"})

COMPARE_COLUMNS: dict[str, str] = {
    "method": "name of the method, with that of its run where two runs have it",
    "baseline": "what it is compared with",
    "protocol": f"name of the protocol; {MEAN_OF_PROTOCOLS}: mean over the protocols that both ran",
    "figure": "what is compared: hter, auc, eer or acer of the target",
    "selection": "rule that picked step and threshold, in both of a pair",
    "oracle": "whether the rule looked at target labels",
    "n_protocols": "protocols averaged",
    "n_pairs": "seeds that both ran to the end; the fewest of a protocol",
    "subjects": "independent subjects of the target; the fewest of a protocol",
    "value": "the method's figure, mean over protocols and seeds, fraction",
    "value_baseline": "the baseline's",
    "difference": "value minus value_baseline",
    "lower": "lower end of the confidence interval of the difference, over other subjects and other seeds",
    "upper": "upper end",
    "p": "two-sided p-value of no difference",
    "p_holm": "p, adjusted by Holm for all methods compared on the same protocol (or the mean)",
    "better": "probability that the method is better than the baseline, a half where they are the same",
    "seen": f"smallest true difference that so many subjects and seeds find with a power of {100 * POWER:.0f} %",
    "subject_share": "share of the variance that is due to which subjects were in the target; the rest: seeds",
    "margin": "the margin of equivalence; missing without one",
    "p_equivalence": "p-value of the true difference being as large as the margin (two one-sided tests)",
    "p_equivalence_holm": "the same, adjusted as p_holm",
    "verdict": "better, worse, equivalent, undecided, or better (worse), within the margin; by the adjusted p-values",
    "note": "what the interval does not speak of, or why there is none",
}
"""Columns of the comparison's frame."""

Key = tuple[str, str]
"""(label of a method, protocol)."""


@dataclass(frozen=True)
class CompareOptions:
    """What is compared, and how."""

    baseline: str
    figure: Figure = "hter"
    selection: str = "source-dev"
    margin: float | None = None
    """Differences below it do not matter; a fraction. None: equivalence is not asked for."""
    confidence: float = 0.95
    resamples: int = RESAMPLES

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher figure is better."""
        return self.figure in HIGHER_IS_BETTER


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison."""

    options: CompareOptions
    frame: pd.DataFrame
    """See ``COMPARE_COLUMNS``: one row a method and protocol, means first."""
    methods: tuple[str, ...]
    """Those that are ranked: all, the baseline too, that ran on each protocol."""
    ranks: Ranks | None
    """None for fewer than two protocols or methods."""
    generated: bool
    notes: tuple[str, ...]
    """What was left out, and in what the runs differ."""


@dataclass(frozen=True, eq=False)
class _Cell:
    """One method on one protocol: its figure by seed, [1 + B] each, that of the target itself first."""

    figures: dict[int, Floats]
    trials: dict[int, str]
    people: tuple[str, ...]
    """Who is in the target; videos in place of people who are not known."""
    subjects: int
    """Independent ones: the fewer of those with live and with attack videos."""
    rows: tuple[NDArray[Any], ...]
    """Which videos choose and judge, to be the same in all that is compared."""


def compare_runs(runs: Sequence[RunRecord], options: CompareOptions) -> Comparison:
    """Compare every method of the runs with the baseline, which is the first run's where both have it.

    Raises:
        DataError: the runs have other data or other rows in a role; nothing can be paired; a score file is missing or
            damaged.
        SpecError: there is no such baseline or selection, the margin is not above zero, or the confidence or the
            number of resamples is out of range.
    """
    check_confidence(options.confidence)
    if options.margin is not None and not 0 < options.margin < 1:
        what = f"a margin of {100 * options.margin:g} points is not possible"
        raise SpecError(what, where="--margin", remedy="write 1 for one point of a percentage")
    _check_same_data(runs)
    cells = _cells(runs, options)
    methods = list(dict.fromkeys(method for method, _ in cells))
    if options.baseline not in methods:
        what = f"no confirmed run of {options.baseline!r}"
        raise SpecError(what, where="--baseline", remedy=did_you_mean(options.baseline, methods))
    if len(methods) < 2:
        what = "there is nothing to compare the baseline with: one method has confirmed runs"
        raise DataError(what, where=runs[0].uri, remedy="name a second run, or sweep over two methods")
    rows, notes = _rows(cells, methods, options)
    ranked, ranks = _ranks(cells, methods, options)
    return Comparison(
        options,
        _judged(pd.DataFrame(rows, columns=list(COMPARE_COLUMNS)), options),
        ranked,
        ranks,
        any(run.generated for run in runs),
        (*notes, *_differences(runs)),
    )


def _check_same_data(runs: Sequence[RunRecord]) -> None:
    first = runs[0]
    for other in runs[1:]:
        if other.data.manifest_hash != first.data.manifest_hash:
            raise DataError(
                f"the runs have different data: their face sets have the hashes {first.data.manifest_hash[:12]} and"
                f" {other.data.manifest_hash[:12]}",
                where=other.uri,
                remedy="figures on different faces have no pairs; run the sweep again on the same set",
            )


def _differences(runs: Sequence[RunRecord]) -> list[str]:
    """Say in what the specifications of two runs differ that their figures follow from."""
    keys = ("training", "search", "confirm", "scheduler")
    specs = [{key: run.spec[key] for key in keys if key in run.spec} for run in runs]
    found = [line for other in specs[1:] for line in difference(specs[0], other)]
    return [f"The runs differ in {'; '.join(found[:6])}{' ...' if len(found) > 6 else ''}."] if found else []


def _cells(runs: Sequence[RunRecord], options: CompareOptions) -> dict[Key, _Cell]:
    """Read the confirmed runs of every method, ablations left out, at the steps and thresholds that the rule picked."""
    methods = [{each.method for each in run.confirmed if each.steps and not each.variant} for run in runs]
    resamples = _SharedResamples(options.resamples)
    found: dict[Key, _Cell] = {}
    for number, run in enumerate(runs):
        others = {name for other, names in enumerate(methods) if other != number for name in names}
        for (method, _, protocol), confirmed in confirmed_cells(run, options.selection, ablations=False):
            shared = method in others and not (number == 0 and method == options.baseline)
            # The baseline of the first run keeps its plain name.
            label = f"{method} ({_run_name(runs, number)})" if shared else method
            cell = _cell(confirmed, resamples, options)
            known = next((c for (_, other), c in found.items() if other == protocol), None)
            if known is not None and not _same(known.rows, cell.rows):
                raise DataError(
                    f"the runs disagree in who chooses and who judges on {protocol}: their protocols differ",
                    where=run.uri,
                    remedy="figures on different videos have no pairs; run both with one protocol and target split",
                )
            found[label, protocol] = cell
    return found


def _run_name(runs: Sequence[RunRecord], number: int) -> str:
    names = [run.name for run in runs]
    return names[number] if len(set(names)) == len(names) else f"{number + 1}"


def _cell(confirmed: Sequence[ConfirmedRun], resamples: _SharedResamples, options: CompareOptions) -> _Cell:
    figures: dict[int, list[Floats]] = {}
    for each in confirmed:
        for pick in each.choice.picks:
            figure = _figure(each.evaluations[pick.step].target, pick.video_threshold, options.figure, resamples)
            figures.setdefault(each.trial.seed, []).append(figure)
    trials = {each.trial.seed: each.trial.id for each in confirmed}
    evaluation = confirmed[0].evaluation
    dev, target = evaluation.source_dev.grouping, evaluation.target.grouping
    rows = (dev.videos.video, target.videos.video, target.videos.label, target.videos.attack_type, target.subjects)
    means = {seed: np.asarray(np.mean(values, axis=0)) for seed, values in figures.items()}
    clusters, _ = resamples.of(evaluation.target)
    return _Cell(means, trials, _people(evaluation.target), min(clusters.live, clusters.attack), rows)


def _figure(target: Scores, threshold: float, figure: Figure, resamples: _SharedResamples) -> Floats:
    """Return a figure of the target's videos, and under each resample, [1 + B]."""
    videos = target.videos
    live = videos.label == 1
    clusters, counts = resamples.of(target)
    sample = ScoredClusters(videos.score, live, clusters.index)
    if figure == "auc":
        return sample.auc(counts)
    if figure == "eer":
        return eer_values(sample, counts, tally(videos.score, live))
    frr = sample.frr(counts, threshold)
    if figure == "hter":
        return np.asarray((sample.far(counts, threshold) + frr) / 2)
    return np.asarray((worst_apcer(videos.score, live, videos.attack_type, clusters, counts, threshold) + frr) / 2)


class _SharedResamples:
    """Draws the subjects of each target once, so that all methods and protocols that share them have the same draws."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._drawn: dict[tuple[str, ...], Counts] = {}

    def of(self, target: Scores) -> tuple[Clusters, Counts]:
        """Return the subjects of a target and their counts, [1 + B, S], each once first."""
        grouping = target.grouping
        live = grouping.videos.label == 1
        clusters = find_clusters(np.zeros(len(live)), live, grouping.subjects)
        key = _people(target)
        if key not in self._drawn:
            seed = len(self._drawn)
            self._drawn[key] = np.concatenate([whole(clusters), draw(clusters, self._count, seed)])
        return clusters, self._drawn[key]


def _people(target: Scores) -> tuple[str, ...]:
    subjects, videos = target.grouping.subjects, target.grouping.videos.video
    return tuple(np.unique(np.where(subjects == "", videos, subjects)).tolist())


def _same(one: Sequence[NDArray[Any]], other: Sequence[NDArray[Any]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def _rows(cells: Mapping[Key, _Cell], methods: Sequence[str], options: CompareOptions) -> tuple[list[Any], list[str]]:
    """Return one row for each method and protocol that the baseline ran, too, and its mean; and what was left out."""
    protocols = list(dict.fromkeys(protocol for _, protocol in cells))
    rows: list[dict[str, Any]] = []
    notes = []
    for method in methods:
        if method == options.baseline:
            continue
        pairs = {
            protocol: (cells[method, protocol], cells[options.baseline, protocol])
            for protocol in protocols
            if (method, protocol) in cells and (options.baseline, protocol) in cells
        }
        paired = {name: pair for name, pair in pairs.items() if set(pair[0].figures) & set(pair[1].figures)}
        missing = [name for name in protocols if name not in paired]
        if missing:
            notes.append(f"{method} has no seed in common with {options.baseline} on {', '.join(missing)}: left out.")
        if len(paired) > 1:
            rows.append(_row(method, MEAN_OF_PROTOCOLS, list(paired.values()), options))
        rows += [_row(method, name, [pair], options) for name, pair in paired.items()]
    if not rows:
        what = f"no method has a seed in common with {options.baseline} on any protocol"
        raise DataError(
            what, where="--baseline", remedy="confirm both with the same seeds (`confirm: {seeds: [0, 1, 2]}`)"
        )
    rows.sort(key=lambda row: row["protocol"] != MEAN_OF_PROTOCOLS)
    return rows, notes


def _row(method: str, protocol: str, pairs: Sequence[tuple[_Cell, _Cell]], options: CompareOptions) -> dict[str, Any]:
    runs, means = [], []
    for ours, theirs in pairs:
        seeds = sorted(set(ours.figures) & set(theirs.figures))
        one, other = (np.array([cell.figures[seed] for seed in seeds]) for cell in (ours, theirs))
        difference = one - other
        means.append((one[:, 0].mean(), other[:, 0].mean()))
        training = tuple((ours.trials[seed], theirs.trials[seed]) for seed in seeds)
        runs.append(PairedRuns(difference[:, 0], difference[:, 1:], ours.subjects, ours.people, training))
    found = mean_difference(runs, options.confidence)
    lower, upper = np.clip([found.lower, found.upper], -1, 1).tolist()  # as far as rates can differ
    value, baseline = np.mean(means, axis=0).tolist()
    margin = math.nan if options.margin is None else options.margin
    return {
        "method": method,
        "baseline": options.baseline,
        "protocol": protocol,
        "figure": options.figure,
        "selection": options.selection,
        "oracle": selection(options.selection).oracle,
        "n_protocols": found.protocols,
        "n_pairs": found.seeds,
        "subjects": found.subjects,
        "value": value,
        "value_baseline": baseline,
        "difference": found.mean,
        "lower": lower,
        "upper": upper,
        "p": found.p,
        "p_holm": math.nan,
        "better": _better(found, options),
        "seen": found.smallest_seen(),
        "subject_share": found.subject_share,
        "margin": margin,
        "p_equivalence": math.nan if options.margin is None else found.equivalence_p(margin),
        "p_equivalence_holm": math.nan,
        "verdict": "",
        "note": found.note,
    }


def _better(found: MeanDifference, options: CompareOptions) -> float:
    return 1 - found.below_zero if options.higher_is_better else found.below_zero


def _judged(frame: pd.DataFrame, options: CompareOptions) -> pd.DataFrame:
    """Return the frame with p-values adjusted within each protocol, and the verdicts that follow."""
    for _, of_protocol in frame.groupby("protocol", sort=False):
        for name in ("p", "p_equivalence"):
            frame.loc[of_protocol.index, f"{name}_holm"] = holm(of_protocol[name].to_numpy())
    frame["verdict"] = [_verdict(row, options) for row in frame.to_dict("records")]
    return frame


def _verdict(row: Mapping[str, Any], options: CompareOptions) -> str:
    level = 1 - options.confidence
    within = "equivalent" if row["p_equivalence_holm"] < level else ""
    if not row["p_holm"] < level:
        return within or "undecided"
    side = "better" if (row["difference"] > 0) == options.higher_is_better else "worse"
    return f"{side}, within the margin" if within else side


def _ranks(
    cells: Mapping[Key, _Cell], methods: Sequence[str], options: CompareOptions
) -> tuple[tuple[str, ...], Ranks | None]:
    """Rank the methods that ran on every protocol of the baseline, by their means over seeds."""
    protocols = [protocol for method, protocol in cells if method == options.baseline]
    whole_rows = tuple(name for name in methods if all((name, protocol) in cells for protocol in protocols))
    if len(protocols) < 2 or len(whole_rows) < 2:
        return whole_rows, None
    sign = -1 if options.higher_is_better else 1
    error = [
        [
            sign * float(np.mean([values[0] for values in cells[name, protocol].figures.values()]))
            for protocol in protocols
        ]
        for name in whole_rows
    ]
    ranks = rank_methods(error, options.confidence)
    order = sorted(range(len(whole_rows)), key=lambda place: ranks.mean[place])
    means = tuple(ranks.mean[place] for place in order)
    return tuple(whole_rows[place] for place in order), replace(ranks, mean=means)


def few_subjects(frame: pd.DataFrame) -> bool:
    """Return whether a comparison rests on so few subjects that its intervals may cover less than they promise."""
    return bool((frame["subjects"] < FEW_SUBJECTS).any())
