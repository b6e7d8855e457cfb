"""Confirmed runs with all their evaluations, each score file read once, and what a selection rule picks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fasray.results.cells import CellKey, trials_by_cell
from fasray.results.digests import TrialDigests, digests_of
from fasray.results.leave_one_out import check_inner_trials, inner_trials, with_inner_trials
from fasray.results.scores import ScoredEvaluation, ScoreReader
from fasray.results.selection import StepChoice, choose, rule_of_runs
from fasray.runs.events import TrialRecord
from fasray.runs.record import RunRecord


@dataclass(frozen=True, eq=False)
class ConfirmedRun:
    """One confirmed run."""

    trial: TrialRecord
    evaluations: Mapping[int, ScoredEvaluation]
    """By step: all of them, or at least the picked one and that at which the oracle would stop."""
    digests: TrialDigests
    """Of all its evaluations."""
    choice: StepChoice

    @property
    def evaluation(self) -> ScoredEvaluation:
        """The evaluation at the picked step, the last one of several."""
        return self.evaluations[self.choice.step]


def confirmed_runs(
    run: RunRecord, rule: str, trials: Iterable[TrialRecord], reader: ScoreReader | None = None
) -> Iterator[ConfirmedRun]:
    """Yield confirmed runs, in the order of ``trials``.

    Raises:
        DataError: a score file is missing, damaged, or holds scores that are not finite numbers; or the rule needs
            inner trials, and those of a run have not all reached their full budget.
        SpecError: there is no such rule, it applies to no single run, or needs inner trials and the sweep planned none.
    """
    chosen, reader = rule_of_runs(rule), reader or ScoreReader()
    check_inner_trials(run, chosen)
    for trial in trials:
        read = reader.read_all([run.score_uri(trial.id, step) for step in trial.steps], trial.protocol)
        digests = digests_of(trial.id, read)
        if chosen.inner:
            digests = with_inner_trials(digests, run, trial, reader)
        yield ConfirmedRun(trial, dict(zip(trial.steps, read, strict=True)), digests, choose(rule, digests))


def confirmed_cells(run: RunRecord, rule: str, ablations: bool = True) -> Iterator[tuple[CellKey, list[ConfirmedRun]]]:
    """Yield each cell with its confirmed runs that the rule applies to, in the order of the result frame.

    Cells without any are left out; errors as ``confirmed_runs``, but runs without complete inner trials are left out.
    """
    chosen, reader, cells = rule_of_runs(rule), ScoreReader(), trials_by_cell(run)
    check_inner_trials(run, chosen)
    methods = list(dict.fromkeys(method for method, _, _ in cells))
    for key in sorted((key for key in cells if ablations or not key[1]), key=lambda key: methods.index(key[0])):
        trials = [trial for trial in cells[key] if (trial.stage, trial.status) == ("confirm", "done") and trial.steps]
        if chosen.inner:
            trials = [trial for trial in trials if inner_trials(run.cell_trials, trial).complete]
        if trials:
            yield key, list(confirmed_runs(run, rule, trials, reader))
