"""Search that learns from a cell's results: tree-structured Parzen estimators (TPE), asked as a pure function.

hyperopt and Optuna keep the history in an object of their own; here that object is made afresh for every question from
what the event log says. Suggestion ``i`` is therefore a function of (space, search seed, cell, i, what was tried before
and what came of it): a resumed sweep makes the suggestion that the uninterrupted one would have made.

Sources: Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (NeurIPS 2011), as ``hyperopt`` has it, each
setting by itself; Falkner et al., "BOHB" (ICML 2018), as ``optuna`` has it, all settings together.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fasray import seeds
from fasray.methods.space import Choice, Grid, IntRange, LogUniform, Range, Uniform, Value
from fasray.sweep.search import Point, Tried

_REDRAWS = 20


@dataclass(frozen=True)
class Tpe(ABC):
    """TPE over the space of one cell.

    The first point is the paper's own setting, the next are random draws, those of ``search.algorithm: random``, until
    ``startup`` results are there. A diverged trial counts as the worst, and so does one that is still running, which
    spreads the suggestions; one whose process failed teaches nothing, nor does a paper's setting that lies outside the
    ranges. No point is suggested twice. Where the space holds fewer different points than are asked for, all are tried.

    Args:
        space: ranges by config field; the values of a grid are choices here, not crossed.
        default: the paper's own setting of these fields.
        draws: points to try, the default among them.
        seed: the sweep's search seed.
        cell: the cell's name, so that cells draw independently.
        max_concurrent: most suggestions whose results may be open.
        lag: as :attr:`fasray.sweep.search.Searcher.lag`.
    """

    space: Mapping[str, Range]
    default: Point
    draws: int
    seed: int
    cell: str
    max_concurrent: int | None = None
    lag: int | None = None

    @property
    def total(self) -> int:
        """Number of different points that the cell tries."""
        values = [_listed(entry) for entry in self.space.values()]
        if any(entry is None for entry in values):
            return self.draws
        size = math.prod(len(entry) for entry in values if entry is not None)
        return min(self.draws, size + (not self._holds(self.default)))

    @property
    def startup(self) -> int:
        """Results to have before TPE is asked: a quarter of the draws, 2 to 20."""
        return min(max(self.draws // 4, 2), 20)

    def known(self, number: int) -> Point | None:
        """Return the paper's setting for the first point; the others depend on results."""
        return self.default if number == 0 else None

    def next(self, history: Sequence[Tried]) -> Point:
        """Return the point that follows ``history``."""
        if not history:
            return self.default
        tried = [entry.point for entry in history]
        learned = [entry for entry in history if (entry.open or entry.value is not None) and self._holds(entry.point)]
        if sum(entry.value is not None for entry in learned) >= self.startup:
            for attempt in range(_REDRAWS):
                if (point := self._suggest(learned, len(history), attempt)) not in tried:
                    return point
        for attempt in range(_REDRAWS):
            if (point := self._draw(len(history), attempt)) not in tried:
                return point
        every = itertools.product(*(_listed(entry) or () for entry in self.space.values()))
        points: list[Point] = [dict(zip(self.space, values, strict=True)) for values in every]
        return next(point for point in points if point not in tried)

    def _draw(self, number: int, attempt: int) -> dict[str, Value]:
        indices: tuple[str | int, ...] = (self.cell, number, *([attempt] if attempt else []))
        return {
            name: (Choice(choice=entry.grid) if isinstance(entry, Grid) else entry).sample(
                seeds.stream(self.seed, "search", *indices, name)
            )
            for name, entry in self.space.items()
        }

    @abstractmethod
    def _suggest(self, learned: Sequence[Tried], number: int, attempt: int) -> dict[str, Value]:
        """Return a library's suggestion ``number`` after these trials; another one for another ``attempt``."""

    def _holds(self, point: Point) -> bool:
        return all(_holds(entry, point[name]) for name, entry in self.space.items())


@dataclass(frozen=True)
class HyperoptTpe(Tpe):
    """TPE of ``hyperopt``: a density for each setting by itself."""

    def _suggest(self, learned: Sequence[Tried], number: int, attempt: int) -> dict[str, Value]:
        import hyperopt
        from hyperopt.base import JOB_STATE_DONE, JOB_STATE_RUNNING
        from hyperopt.fmin import generate_trial

        trials = hyperopt.Trials()
        documents: list[dict[str, Any]] = []
        for tid, entry in enumerate(learned):
            document = generate_trial(
                tid, {name: _to_library(self.space[name], entry.point[name]) for name in self.space}
            )
            document["state"] = JOB_STATE_RUNNING if entry.value is None else JOB_STATE_DONE
            if entry.value is not None:
                document["result"] = {"status": "ok", "loss": -entry.value}
            documents.append(document)
        trials.insert_trial_docs(documents)
        trials.refresh()
        domain = hyperopt.Domain(
            lambda point: 0.0,
            {name: _node(name, entry) for name, entry in self.space.items()},
            pass_expr_memo_ctrl=False,
        )
        (suggested,) = hyperopt.tpe.suggest(
            [len(documents)], domain, trials, seeds.derive(self.seed, "tpe", self.cell, number, attempt),
            n_startup_jobs=0, verbose=False,
        )  # fmt: skip
        values = suggested["misc"]["vals"]
        return {name: _from_library(entry, values[name][0]) for name, entry in self.space.items()}


@dataclass(frozen=True)
class OptunaTpe(Tpe):
    """Multivariate TPE of ``optuna``: one density for all settings together, so that it can follow a pair of losses.

    Running trials are among the bad ones ("constant liar"). All settings are one group, because every trial has every
    setting. The study is in memory, and one suggestion long.
    """

    def _suggest(self, learned: Sequence[Tried], number: int, attempt: int) -> dict[str, Value]:
        import optuna
        from optuna.trial import TrialState, create_trial

        space = {name: _distribution(entry) for name, entry in self.space.items()}
        seed = seeds.derive(self.seed, "tpe", self.cell, number, attempt) % 2**32
        sampler = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=0, seed=seed)
        with _quiet():
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for entry in learned:
                study.add_trial(
                    create_trial(
                        state=TrialState.RUNNING if entry.value is None else TrialState.COMPLETE,
                        value=entry.value,
                        params={name: _to_library(self.space[name], entry.point[name]) for name in space},
                        distributions=space,
                    )
                )
            suggested = study.ask(space).params
        return {name: _from_library(entry, suggested[name]) for name, entry in self.space.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep optuna's log to errors for a while."""
    from optuna import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _listed(entry: Range) -> tuple[Value, ...] | None:
    """Return the different values of a range, None for a continuous one."""
    match entry:
        case Grid():
            return tuple(dict.fromkeys(entry.grid))
        case Choice():
            return tuple(dict.fromkeys(entry.choice))
        case IntRange():
            return tuple(range(entry.integers[0], entry.integers[1] + 1))
        case _:
            return None


def _holds(entry: Range, value: Value) -> bool:
    listed = _listed(entry)
    if listed is not None:
        return value in listed
    low, high = entry.uniform if isinstance(entry, Uniform) else entry.loguniform  # type: ignore[union-attr]
    return isinstance(value, int | float) and low <= value <= high


def _node(name: str, entry: Range) -> Any:
    """Return hyperopt's expression of a range; listed values are represented by their position."""
    from hyperopt import hp

    match entry:
        case Uniform():
            return hp.uniform(name, *entry.uniform)
        case LogUniform():
            return hp.loguniform(name, *map(math.log, entry.loguniform))
        case IntRange():
            return hp.quniform(name, entry.integers[0] - 0.5, entry.integers[1] + 0.5, 1)
        case _:
            return hp.randint(name, len(_listed(entry) or ()))


def _distribution(entry: Range) -> Any:
    """Return optuna's form of a range; listed values are represented by their position."""
    from optuna import distributions

    match entry:
        case Uniform():
            return distributions.FloatDistribution(*entry.uniform)
        case LogUniform():
            return distributions.FloatDistribution(*entry.loguniform, log=True)
        case IntRange():
            return distributions.IntDistribution(*entry.integers)
        case _:
            return distributions.CategoricalDistribution(range(len(_listed(entry) or ())))


def _to_library(entry: Range, value: Value) -> Any:
    return (_listed(entry) or ()).index(value) if isinstance(entry, Grid | Choice) else value


def _from_library(entry: Range, value: Any) -> Value:
    """Return the value of our range; rounding may carry a draw over its bound by a bit, which is taken back."""
    match entry:
        case Uniform():
            return min(max(float(value), entry.uniform[0]), entry.uniform[1])
        case LogUniform():
            return min(max(float(value), entry.loguniform[0]), entry.loguniform[1])
        case IntRange():
            return min(max(int(value), entry.integers[0]), entry.integers[1])
        case _:
            return (_listed(entry) or ())[int(value)]
