"""The tables of ``searchers.md``: ``python docs/explanation/searchers.py`` writes them into it, from the code as it is.

Each search runs on a made-up response to a method's settings, so that the best that can be had is known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fasray import seeds
from fasray.methods.space import LogUniform, Range
from fasray.results.sensitivity import effects, normal_scores, setting
from fasray.sweep.search import FixedSearcher, Point, Searcher, Tried, suggestions
from fasray.sweep.tpe import HyperoptTpe, OptunaTpe

SEEDS, BUDGETS, LAG = 50, (8, 16, 32), 4
NOISE = 0.005
"""Standard deviation of a trial's AUC around its configuration's."""
BEST = 0.98
WEIGHTS: Mapping[str, Range] = {name: LogUniform(loguniform=(0.01, 10.0)) for name in ("first_weight", "second_weight")}
RATE: Mapping[str, Range] = {"learning_rate": LogUniform(loguniform=(1e-4, 1e-2))}
IDLE: Mapping[str, Range] = {f"idle_{n}": LogUniform(loguniform=(0.01, 1.0)) for n in range(3)}
PAPER: Point = {"first_weight": 0.3, "second_weight": 0.3, "learning_rate": 1e-3, **dict.fromkeys(IDLE, 0.1)}
ALGORITHMS = ("random", "hyperopt", "tpe")


@dataclass(frozen=True)
class World:
    """AUC as a function of the settings: a paraboloid over their decades, its top anywhere in the ranges by seed.

    Args:
        space: the ranges.
        interaction: share of the weights' curvature that lies across their product; 0: each weight acts by itself.
    """

    space: Mapping[str, Range]
    interaction: float

    def quality(self, seed: int) -> Callable[[Point], float]:
        """Return the AUC of a configuration without noise."""
        rng = seeds.stream(seed, "world")
        top = [rng.uniform(*np.log10(entry.loguniform)) for entry in (*WEIGHTS.values(), *RATE.values())]  # type: ignore[union-attr]
        across, along = 0.035 * (1 + self.interaction), 0.035 * (1 - self.interaction)

        def value(point: Point) -> float:
            first, second, rate = (
                math.log10(float(point[name] or 0)) - at for name, at in zip((*WEIGHTS, *RATE), top, strict=True)
            )
            return BEST - across * (first + second) ** 2 - along * (first - second) ** 2 - 0.02 * rate**2

        return value


WORLDS = {
    "two weights that interact": World({**WEIGHTS, **RATE}, 0.7),
    "the same, with three settings of no effect": World({**WEIGHTS, **RATE, **IDLE}, 0.7),
    "two weights that do not interact": World({**WEIGHTS, **RATE}, 0.0),
}


def searcher(algorithm: str, world: World, trials: int, seed: int) -> Searcher:
    """Return the searcher of a cell."""
    paper = {name: PAPER[name] for name in world.space}
    if algorithm == "random":
        return FixedSearcher(tuple(suggestions("random", world.space, paper, trials, seed, "cell")))
    return {"hyperopt": HyperoptTpe, "tpe": OptunaTpe}[algorithm](world.space, paper, trials, seed, "cell", None, LAG)


def regret(algorithm: str, world: World, trials: int, seed: int) -> float:
    """Return how much of the AUC the winner of a search misses, points: the winner is chosen by noisy AUCs."""
    quality, asked = world.quality(seed), searcher(algorithm, world, trials, seed)
    noise = seeds.stream(seed, "noise").normal(0, NOISE, trials)
    tried: list[Tried] = []
    for number in range(trials):
        seen = number + 1 - LAG
        history = [t if n < seen else Tried(t.point, open=True) for n, t in enumerate(tried)]
        point = asked.next(history)
        tried.append(Tried(point, quality(point) + noise[number]))
    won = max(tried, key=lambda t: t.value or 0)
    return 100 * (BEST - quality(won.point))


def regrets(algorithm: str, world: World, trials: int, count: int = SEEDS) -> NDArray[np.float64]:
    """Return the regret of each seed, [count]; every algorithm sees the same worlds and the same noise."""
    return np.array([regret(algorithm, world, trials, seed) for seed in range(count)])


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval (Student's t)."""
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean() - reach), float(values.mean() + reach)


def tables() -> list[str]:
    """Return the tables of the page in its order: one a world, and which settings are found to matter."""
    head = ["trials", *ALGORITHMS, "hyperopt - random", "tpe - random", "tpe - hyperopt"]
    found = ["trials", "a weight", "the learning rate", "a setting of no effect", "the two weights", "another pair"]
    return [
        *(_table(head, (row(world, trials) for trials in BUDGETS)) for world in WORLDS.values()),
        _table(found, map(found_to_matter, (16, 32, 64))),
    ]


def found_to_matter(trials: int) -> list[str]:
    """Return how often settings and pairs stand out at 5 % after a random search, in the world with idle settings."""
    world = WORLDS["the same, with three settings of no effect"]
    hits: dict[str, list[bool]] = {}
    for seed in range(SEEDS):
        quality, noise = world.quality(seed), seeds.stream(seed, "noise").normal(0, NOISE, trials)
        points = [searcher("random", world, trials, seed).known(number) or {} for number in range(trials)]
        groups = np.zeros(trials, np.int64)
        _, score = normal_scores(np.array([quality(point) for point in points]) + noise, groups)
        settings = [
            setting(name, entry.model_dump(mode="json"), [point[name] for point in points])
            for name, entry in world.space.items()
        ]
        for (one, other), effect in effects(settings, score, groups, seeds.stream(seed, "importance")).items():
            kind = "weight" if one in WEIGHTS else "rate" if one in RATE else "idle"
            if other:
                kind = "pair" if {one, other} == set(WEIGHTS) else "other"
            hits.setdefault(kind, []).append(effect.p_adjusted <= 0.05)
    return [
        str(trials),
        *(f"{100 * np.mean(hits[kind]):.0f} %" for kind in ("weight", "rate", "idle", "pair", "other")),
    ]


def row(world: World, trials: int) -> list[str]:
    """Return a line of a table: mean regrets, then paired differences with their intervals."""
    found = {algorithm: regrets(algorithm, world, trials) for algorithm in ALGORITHMS}
    pairs = (("hyperopt", "random"), ("tpe", "random"), ("tpe", "hyperopt"))
    differences = [interval(found[one] - found[other]) for one, other in pairs]
    return [
        str(trials),
        *(f"{values.mean():.2f}" for values in found.values()),
        *(
            f"{'**' * (low > 0 or high < 0)}{mean:+.2f} ({low:+.2f} to {high:+.2f}){'**' * (low > 0 or high < 0)}"
            for mean, low, high in differences
        ),
    ]


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def renewed(page: str) -> str:
    """Return the page with its tables made again."""
    fresh = iter(tables())
    return re.sub(r"^\|[^\n]*(?:\n\|[^\n]*)*", lambda _: next(fresh), page, flags=re.MULTILINE)


if __name__ == "__main__":
    page = Path(__file__).with_name("searchers.md")
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
