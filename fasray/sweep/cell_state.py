"""One cell of a running sweep: what its search has suggested, who won, and what is left to confirm."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fasray.runs.events import ENDED, Stage, Suggested, TrialRecord, Won
from fasray.runs.schedule import CellScheduler
from fasray.sweep.plan import Cell, Plan
from fasray.sweep.search import Tried
from fasray.training.trial import Trial


@dataclass(frozen=True)
class PlannedTrial:
    """A trial that can be suggested now."""

    stage: Stage
    trial: Trial
    variant: str = ""


class CellState:
    """Moves a cell from search to confirmation.

    Args:
        plan: of the sweep.
        cell: of the plan.
        records: every trial of the sweep by id; read only.
    """

    def __init__(self, plan: Plan, cell: Cell, records: Mapping[str, TrialRecord]) -> None:
        self.cell = cell
        self.trials: set[str] = set()
        """Ids of all trials suggested so far."""
        self.won = False
        """Whether the search is over."""
        self._plan, self._records = plan, records
        self._search, self._confirm = plan.scheduler(cell, "search"), plan.scheduler(cell, "confirm")
        self._searched: list[str] = []
        self._confirmed = 0
        self._waiting: deque[PlannedTrial] = deque()

    def scheduler(self, stage: Stage) -> CellScheduler:
        """Return what decides over the trials of a stage."""
        return self._search if stage == "search" else self._confirm

    @property
    def finished(self) -> bool:
        """Whether nothing is left to suggest."""
        return not self._waiting and not self._searches_left

    @property
    def confirming(self) -> int:
        """Confirming runs, inner trials included.

        As planned, and once the search is over, as many as there really are: a cell without a winner has none, and an
        ablation that changes nothing of the winner is not run.
        """
        return self._confirmed + len(self._waiting) if self.won else self._plan.after_search_in(self.cell)

    @property
    def ready(self) -> int:
        """Number of trials that could be suggested now."""
        searcher = self.cell.searcher
        if not self._searches_left:
            return len(self._waiting)
        ready = self._searches_left
        if searcher.lag is not None:
            ready = min(ready, self._in_a_row() + searcher.lag - len(self._searched))
        if searcher.max_concurrent is not None:
            ready = min(ready, searcher.max_concurrent - sum(not self._over(trial) for trial in self._searched))
        return max(0, ready)

    def next(self) -> PlannedTrial:
        """Return what the cell tries next; ``ready`` must not be 0."""
        if not self._searches_left:
            return self._waiting[0]
        lag = self.cell.searcher.lag
        seen = len(self._searched) if lag is None else len(self._searched) + 1 - lag
        history = [_tried(record, number < seen) for number, record in enumerate(self._search_records())]
        return PlannedTrial("search", self._search_trial(self.cell.configuration(self.cell.searcher.next(history))))

    def _over(self, trial: str) -> bool:
        """Return whether a search trial has ended, and nothing can change how."""
        return self._records[trial].status in ENDED and self._search.settled(trial)

    def _in_a_row(self) -> int:
        """Return how many search trials are over, up to the first that is not."""
        return next((n for n, trial in enumerate(self._searched) if not self._over(trial)), len(self._searched))

    def expected(self, event: Suggested) -> Trial | None:
        """Return the trial that the plan has next in the stage of a suggestion; None if it has no more there.

        What a learning searcher suggested is taken from the log: another machine may round its arithmetic otherwise.
        """
        if event.stage != "search":
            return self._waiting[0].trial if self._waiting else None
        if not self._searches_left:
            return None
        known = self.cell.searcher.known(len(self._searched))
        return self._search_trial(event.config if known is None else self.cell.configuration(known))

    def take(self, event: Suggested) -> None:
        """Take a suggestion off what is left."""
        if event.stage == "search":
            self._searched.append(event.trial)
            self._search.suggest(event.trial)
        else:
            self._waiting.popleft()
            self._confirmed += 1
        self.trials.add(event.trial)

    def outcome(self) -> Won | None:
        """Return the winner of the search once all its trials have ended; None before, and once it is named."""
        searched = self._search_records()
        if self.won or self._searches_left or any(record.status not in ENDED for record in searched):
            return None
        best = winner(searched)
        config = None
        if best is not None:
            config = dict(best.config)
        elif not searched:
            config = self.cell.configuration(self.cell.points[0])
        return Won(
            method=self.cell.method, protocol=self.cell.protocol.name, trial=best.id if best else None, config=config
        )

    def close_search(self, config: Mapping[str, Any] | None) -> None:
        """Queue the winner with every confirming seed, then its ablations with the same seeds, then all inner trials.

        An ablation that changes nothing of the winner would be the winner's own runs, and is left out.
        """
        self.won = True
        seen: set[str] = set()
        inner: list[PlannedTrial] = []
        variants = (
            {} if config is None else {"": config, **{n: {**config, **o} for n, o in self.cell.ablations.items()}}
        )
        for variant, settings in variants.items():
            for seed in self._plan.spec.confirm_seeds:
                trial = self._plan.trial(self.cell, settings, seed)
                if trial.id not in seen:
                    seen.add(trial.id)
                    self._waiting.append(PlannedTrial("confirm", trial, variant))
                    for protocol in self.cell.inner:
                        retrained = self._plan.trial(self.cell, settings, seed, protocol)
                        inner.append(PlannedTrial("inner", retrained, variant))
        self._waiting.extend(inner)

    @property
    def _searches_left(self) -> int:
        return 0 if self.won else self.cell.searches - len(self._searched)

    def _search_records(self) -> list[TrialRecord]:
        return [self._records[trial] for trial in self._searched]

    def _search_trial(self, config: Mapping[str, Any]) -> Trial:
        return self._plan.trial(self.cell, config, self._plan.spec.search.seed)


def _tried(record: TrialRecord, seen: bool) -> Tried:
    """Return what a searcher learns of a trial: its best source-dev AUC, or the last one if it was stopped early.

    Where it may not be ``seen`` yet, it is open, whether it has ended or not.
    """
    point = {name: record.config[name] for name in record.searched}
    if not seen:
        return Tried(point, open=True)
    if record.status == "done" and record.best is not None:
        return Tried(point, record.best.source_dev_auc)
    if record.status == "stopped":
        return Tried(point, record.readings[-1].source_dev_auc)
    return Tried(point, -math.inf if record.status == "diverged" else None, open=record.status == "running")


def winner(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the finished trial with the best source-dev AUC at any step; None if none finished.

    Ties are broken by the lower source-dev loss, then by the order of suggestion. Trials that were stopped early lost
    at their rung and are not considered.
    """
    finished = [(record.best, record) for record in records if record.status == "done"]
    ranked = [(-best.source_dev_auc, best.source_dev_loss, n) for n, (best, _) in enumerate(finished) if best]
    return finished[min(ranked)[2]][1] if ranked else None
