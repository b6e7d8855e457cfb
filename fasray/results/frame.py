"""The result frame: one row per method, protocol, selection rule and level, each naming the runs that it comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
from pydantic import TypeAdapter

from fasray.errors import SpecError
from fasray.metrics.intervals import FEW_SUBJECTS, RESAMPLES
from fasray.results.bootstrap import Resamples, interval
from fasray.results.cache import VALUES, ResultsCache
from fasray.results.cells import CellFigures, CellKey, trials_by_cell
from fasray.results.digests import TrialDigests, digests_of, target_digest
from fasray.results.figures import FIGURES, FigureComputer, TrialFigures, mean_and_std
from fasray.results.leave_one_out import check_inner_trials, has_inner_trials, inner_trials, with_inner_trials
from fasray.results.means import marks_of, mean_rows, means_of
from fasray.results.scores import LEVELS, Level, ScoredEvaluation, ScoreReader
from fasray.results.selection import (
    PLANNED_SELECTIONS,
    SELECTIONS,
    Selection,
    StepChoice,
    best_target_step,
    choose,
    selection,
)
from fasray.runs.events import ENDED, TrialRecord
from fasray.runs.record import RunRecord

COLUMNS: dict[str, str] = {
    "method": "name of the method",
    "variant": "name of the ablation; empty for the method itself",
    "protocol": "name of the protocol, or of what is averaged: a family of runs (oulu-npu-3), or `mean over NAME`",
    "selection": "rule that picked step and threshold",
    "threshold_rule": "source-dev-eer, left-out-eer, target-eer or target-min-hter",
    "oracle": "whether the rule looked at target labels",
    "level": "video (mean of its frames) or frame",
    "n_seeds": "confirming runs that reached their full budget; 1 for oracle-search, which takes one trial",
    "n_runs": "protocols that were averaged: 1, 6 for OULU-NPU protocols 3 and 4, or those of a mean",
    "n_failed": "confirming runs that diverged or failed (or inner trials of theirs) and are not in the figures",
    "n_evaluations": "evaluations averaged in each run: 1, or the k of mean-of-last-k",
    "hter": "(FAR + FRR) / 2 on the target at the threshold, mean over seeds, fraction",
    "hter_std": "standard deviation over seeds (ddof 1), in a family of runs over runs; NaN for one",
    "hter_lower": "95 % interval of hter over the target's subjects (bootstrap, see fasray.metrics.intervals)",
    "hter_upper": "as hter_lower; NaN at frame level, for families of runs, and without runs",
    "auc": "area under the target's ROC",
    "auc_std": "as hter_std",
    "auc_lower": "as hter_lower",
    "auc_upper": "as hter_lower",
    "eer": "equal error rate of the target, a property of the ranking and no decision that could be deployed",
    "eer_std": "as hter_std",
    "acer": "(APCER of the worst attack type + BPCER) / 2 on the target at the threshold",
    "acer_std": "as hter_std",
    "apcer": "APCER of the worst attack type",
    "apcer_std": "as hter_std",
    "bpcer": "BPCER",
    "bpcer_std": "as hter_std",
    "bpcer_at_apcer1": "least BPCER with an APCER of each attack type of at most 1 %, threshold on the target itself",
    "bpcer_at_apcer1_std": "as hter_std",
    "bpcer_at_apcer5": "as bpcer_at_apcer1, 5 %",
    "bpcer_at_apcer5_std": "as hter_std",
    "bpcer_at_apcer10": "as bpcer_at_apcer1, 10 %",
    "bpcer_at_apcer10_std": "as hter_std",
    "tpr_at_fpr1": "largest share of live faces accepted while at most 1 % of the attacks are",
    "tpr_at_fpr1_std": "as hter_std",
    "source_dev_auc": "macro average over the source domains of the source-dev AUC at the picked step",
    "source_dev_auc_std": "as hter_std",
    "optimism_gap": "HTER of oracle minus HTER of this row, same runs: how much lower target-based selection reads",
    "optimism_gap_auc": "AUC of oracle minus AUC of this row",
    "videos": "target videos evaluated",
    "frames": "target frames evaluated",
    "subjects": "target subjects evaluated",
    "few_subjects": "whether they are so few that the intervals may cover less than they promise",
    "generated": "whether the faces were generated, so that the figures are no evidence about real ones",
    "trials": "ids of the runs; trials, seeds, steps and thresholds have one entry for each evaluation used",
    "seeds": "their seeds",
    "steps": "the steps picked",
    "thresholds": "the thresholds applied",
}
"""Columns of the result frame and what they mean; rates are fractions."""

MARKS = "marks"
MARK_COLUMNS: dict[str, str] = {
    MARKS: "what parts the protocol from the one that the literature compares on: 5-shot, +CA; empty for any other"
}
"""Columns that the frame of a run has in addition if one of its protocols has shots or an extra source."""

TrialKey = tuple[str, str]
"""(id, protocol) of a trial."""


_ROWS = TypeAdapter(list[CellFigures], config=VALUES)


@dataclass(frozen=True)
class RunResults:
    """Everything that tables, plots and the report are made of."""

    frame: pd.DataFrame
    digests: dict[TrialKey, TrialDigests]
    """Every evaluation of each confirmed trial."""
    choices: dict[tuple[TrialKey, str], StepChoice]
    """By trial and selection, for the rules that apply to each confirmed trial."""


def offered(run: RunRecord) -> tuple[str, ...]:
    """Return the names of all rules that can be applied to a run."""
    rules = [rule.name for rule in SELECTIONS.values() if not (rule.any_trial and run.sealed)]
    return (*rules, *(PLANNED_SELECTIONS if has_inner_trials(run.trials) else ()))


def results_frame(
    run: RunRecord, selections: Sequence[str] = tuple(SELECTIONS), cache: ResultsCache | None = None
) -> pd.DataFrame:
    """Return the result frame of a run; see ``COLUMNS``.

    Cells whose confirming runs all diverged or failed are rows of NaN; cells in which none has ended are left out.
    ``cache`` gives rows that are still valid and takes new ones.

    Raises:
        DataError: a score file is missing, damaged, or holds scores that are not finite numbers.
        SpecError: there is no such selection, or it needs inner trials and the sweep planned none.
    """
    cells = _CellComputer(run, _rules(run, selections), ScoreReader(), FigureComputer(Resamples()))
    return _to_frame(_all_rows(cells, cache), selections, run.generated)


def compute_results(
    run: RunRecord,
    selections: Sequence[str] = tuple(SELECTIONS),
    reader: ScoreReader | None = None,
    resamples: int = RESAMPLES,
) -> RunResults:
    """Return the result frame and what it was derived from; errors as ``results_frame``.

    Each score file is read once. Those of trials that only searched are read for ``oracle-search`` alone.

    Args:
        run: the run.
        selections: names of rules.
        reader: reads the score files; left out: a fresh one.
        resamples: of the target's subjects, for the confidence intervals; 0: no intervals.
    """
    cells = _CellComputer(run, _rules(run, selections), reader or ScoreReader(), FigureComputer(Resamples(resamples)))
    return RunResults(_to_frame(_all_rows(cells), selections, run.generated), cells.digests, cells.choices)


def _all_rows(cells: _CellComputer, cache: ResultsCache | None = None) -> list[CellFigures]:
    """Return the rows of every cell, rule by rule, then those of means over protocols."""
    rows: list[CellFigures] = []
    grouped = trials_by_cell(cells.run)
    means = means_of(cells.run.spec.get("protocols", ()), [key[2] for key in grouped])
    known_means = _CachedMeans(cells, grouped, means, cache)
    for key, trials in grouped.items():
        # Rules over inner trials are not cached: those are not among the trials of the cell.
        sources = {rule.name: _source(rule, trials) for rule in cells.rules if not rule.inner}
        wanted = {name: used for name, used in sources.items() if (key, name) not in known_means.missing}
        known = {name: cache.get((*key, name), used, _ROWS) for name, used in wanted.items()} if cache else {}
        missing = [rule for rule in cells.rules if known.get(rule.name) is None]
        made = replace(cells, rules=missing).rows(key, trials) if missing else []
        for rule in missing:
            known[rule.name] = found = [row for row in made if row.selection == rule.name]
            if cache and rule.name in sources:
                cache.put((*key, rule.name), sources[rule.name], _plain(found), _ROWS)
        rows += [row for rule in cells.rules for row in known[rule.name] or ()]
    return [*rows, *known_means.completed(list(mean_rows(rows, means)))]


class _CachedMeans:
    """The means over protocols that a cache holds, since their intervals need more than the cached rows of cells."""

    def __init__(
        self,
        cells: _CellComputer,
        grouped: Mapping[CellKey, list[TrialRecord]],
        means: Mapping[str, tuple[str, ...]],
        cache: ResultsCache | None,
    ) -> None:
        self._cache = cache
        self._sources: dict[tuple[CellKey, str], list[TrialRecord]] = {}
        self._known: dict[tuple[CellKey, str], list[CellFigures]] = {}
        self.missing: set[tuple[CellKey, str]] = set()
        """Cell and rule of every row that a mean has to be computed from."""
        if cache is None:
            return
        for method, variant in dict.fromkeys(key[:2] for key in grouped):
            for name, protocols in means.items():
                parts = [(method, variant, protocol) for protocol in protocols]
                for rule in cells.rules:
                    if not rule.inner and all(part in grouped for part in parts):
                        place = (method, variant, name), rule.name
                        used = [trial for part in parts for trial in _source(rule, grouped[part])]
                        self._sources[place] = used
                        if (known := cache.get((*place[0], rule.name), used, _ROWS)) is None:
                            self.missing |= {(part, rule.name) for part in parts}
                        else:
                            self._known[place] = known

    def completed(self, made: list[CellFigures]) -> list[CellFigures]:
        """Return the means with the cached ones in place of those made without replicates; keep the others."""
        by_rule: dict[tuple[CellKey, str], list[CellFigures]] = {}
        for row in made:
            by_rule.setdefault((row.key, row.selection), []).append(row)
        for place, found in by_rule.items():
            if place in self._known:
                by_rule[place] = self._known[place]
            elif self._cache and place in self._sources:
                self._cache.put((*place[0], place[1]), self._sources[place], _plain(found), _ROWS)
        return [row for found in by_rule.values() for row in found]


def _source(rule: Selection, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials of a cell that a rule looks at."""
    return [trial for trial in trials if rule.any_trial or trial.stage == "confirm"]


def _plain(rows: Sequence[CellFigures]) -> list[CellFigures]:
    """Return the rows as they are cached."""
    return [replace(row, runs=tuple(replace(run, replicates=None) for run in row.runs)) for row in rows]


def _rules(run: RunRecord, selections: Sequence[str]) -> list[Selection]:
    """Return the rules by name, and the oracle, which gaps are measured from."""
    rules = [selection(name) for name in dict.fromkeys((*selections, "oracle"))]
    for rule in rules:
        check_inner_trials(run, rule)
        if rule.any_trial and run.sealed:
            raise SpecError(
                f"{rule.name} needs target scores of search trials, which this run does not have",
                where="--select",
                remedy="ask for them in the sweep with `search: {score_target: true}`, or name another rule",
            )
    return rules


@dataclass
class _CellComputer:
    """Reads the trials of one cell after another and computes the rows of each rule."""

    run: RunRecord
    rules: Sequence[Selection]
    reader: ScoreReader
    computer: FigureComputer
    digests: dict[TrialKey, TrialDigests] = field(default_factory=dict)
    choices: dict[tuple[TrialKey, str], StepChoice] = field(default_factory=dict)

    def rows(self, key: CellKey, trials: Sequence[TrialRecord]) -> list[CellFigures]:
        """Return the rows of a cell."""
        ended = [trial for trial in trials if trial.stage == "confirm" and trial.status in ENDED]
        confirmed = {trial.id for trial in ended if trial.status == "done" and trial.steps}
        by_cell = [rule for rule in self.rules if rule.any_trial]
        figures: dict[tuple[str, Level], list[TrialFigures]] = {}
        best: _Candidate | None = None
        for trial in trials:
            if trial.id not in confirmed and not (by_cell and trial.steps):
                continue
            uris = [self.run.score_uri(trial.id, step) for step in trial.steps]
            read = self.reader.read_all(uris, trial.protocol)
            evaluations = dict(zip(trial.steps, read, strict=True))
            if trial.id in confirmed:
                self._add_run(trial, evaluations, figures)
            if by_cell:
                found = _Candidate.of(trial, evaluations, self.digests.get(trial.key))
                best = found if best is None or found.merit < best.merit else best
        if best is not None and confirmed:
            for rule in by_cell:
                for level, best_figures in best.figures(rule, self.computer).items():
                    figures[rule.name, level] = [best_figures]
        self.computer.forget()
        failed = {rule.name: len(ended) - len(confirmed) + self._lost(rule, confirmed, ended) for rule in self.rules}
        return [
            _cell(key, rule.name, level, failed[rule.name], figures.get((rule.name, level), []))
            for rule in self.rules
            for level in LEVELS
        ]

    def _lost(self, rule: Selection, confirmed: set[str], ended: Sequence[TrialRecord]) -> int:
        """Return how many confirming runs a rule cannot be applied to, because an inner trial diverged or failed."""
        runs = [trial for trial in ended if rule.inner and trial.id in confirmed]
        return sum(inner_trials(self.run.cell_trials, trial).lost for trial in runs)

    def _add_run(
        self,
        trial: TrialRecord,
        evaluations: dict[int, ScoredEvaluation],
        figures: dict[tuple[str, Level], list[TrialFigures]],
    ) -> None:
        digests = digests_of(trial.id, evaluations.values())
        if any(rule.inner for rule in self.rules):
            digests = with_inner_trials(digests, self.run, trial, self.reader)
        self.digests[trial.key] = digests
        for rule in self.rules:
            if not rule.any_trial and not (rule.inner and not digests.left_out):
                choice = choose(rule.name, digests)
                self.choices[trial.key, rule.name] = choice
                for level, computed in self.computer.compute(evaluations, choice, trial.seed).items():
                    figures.setdefault((rule.name, level), []).append(computed)


@dataclass(frozen=True)
class _Candidate:
    """The best evaluation of one trial, by the target's labels."""

    trial: TrialRecord
    digests: TrialDigests
    evaluation: ScoredEvaluation
    merit: tuple[float, float]
    """Lower is better; the first of equals wins."""

    @classmethod
    def of(
        cls, trial: TrialRecord, evaluations: dict[int, ScoredEvaluation], digests: TrialDigests | None
    ) -> _Candidate:
        target = digests.target if digests else tuple(map(target_digest, evaluations.values()))
        best = best_target_step(target)
        return cls(trial, TrialDigests(trial.id, (), (best,)), evaluations[best.step], (best.hter, -best.auc))

    def figures(self, rule: Selection, computer: FigureComputer) -> dict[Level, TrialFigures]:
        choice = choose(rule.name, self.digests)
        return computer.compute({choice.step: self.evaluation}, choice, self.trial.seed)


def _cell(key: CellKey, rule: str, level: Level, failed: int, runs: Sequence[TrialFigures]) -> CellFigures:
    mean, std = mean_and_std([run.values for run in runs])
    counts = (runs[0].videos, runs[0].frames, runs[0].subjects) if runs else (0, 0, 0)
    ends: list[float] = []
    for place, name in enumerate(("hter", "auc")):
        replicates = [None if run.replicates is None else run.replicates[place] for run in runs]
        ends += interval(mean[FIGURES.index(name)], replicates, min((run.independent for run in runs), default=0))
    return CellFigures(
        key, rule, level, 1, failed, mean, std, tuple(runs), *counts, (ends[0], ends[1], ends[2], ends[3])
    )


def _to_frame(rows: Sequence[CellFigures], selections: Sequence[str], generated: bool) -> pd.DataFrame:
    oracle = {(row.key, row.level): row.mean for row in rows if row.selection == "oracle"}
    records = [_record(row, oracle[row.key, row.level], generated) for row in rows if row.selection in selections]
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    methods = {name: place for place, name in enumerate(dict.fromkeys(row.key[0] for row in rows))}
    frame["_method"] = frame["method"].map(methods)
    frame = frame.sort_values("_method", kind="stable").drop(columns="_method").reset_index(drop=True)
    marks = {name: ", ".join(marks_of(name)) for name in frame["protocol"].unique()}
    return frame.assign(**{MARKS: frame["protocol"].map(marks)}) if any(marks.values()) else frame


def _record(row: CellFigures, oracle: tuple[float, ...], generated: bool) -> dict[str, object]:
    rule = selection(row.selection)
    method, variant, protocol = row.key
    mean = dict(zip(FIGURES, row.mean, strict=True))
    std = {f"{name}_std": value for name, value in zip(FIGURES, row.std, strict=True)}
    intervals = dict(zip(("hter_lower", "hter_upper", "auc_lower", "auc_upper"), row.intervals, strict=True))
    best = dict(zip(FIGURES, oracle, strict=True))
    used = [(run, pick) for run in row.runs for pick in run.choice.picks]
    return {
        "method": method,
        "variant": variant,
        "protocol": protocol,
        "selection": row.selection,
        "threshold_rule": rule.threshold_rule,
        "oracle": rule.oracle,
        "level": row.level,
        "n_seeds": len({run.seed for run in row.runs}),
        "n_runs": row.n_runs,
        "n_failed": row.n_failed,
        "n_evaluations": len(row.runs[0].choice.picks) if row.runs else 0,
        **mean,
        **std,
        **intervals,
        "optimism_gap": math.nan if rule.oracle else best["hter"] - mean["hter"],
        "optimism_gap_auc": math.nan if rule.oracle else best["auc"] - mean["auc"],
        "videos": row.videos,
        "frames": row.frames,
        "subjects": row.subjects,
        "few_subjects": bool(row.runs) and row.independent < FEW_SUBJECTS,
        "generated": generated,
        "trials": [run.choice.trial for run, _ in used],
        "seeds": [run.seed for run, _ in used],
        "steps": [pick.step for _, pick in used],
        "thresholds": [pick.threshold(row.level) for _, pick in used],
    }
