"""The tables of ``price-of-order.md``: ``python docs/explanation/price_of_order.py`` writes them into it.

The real coordinator runs whole sweeps on a virtual clock, once with decisions in order of suggestion and once in order
of arrival, over made-up learning curves. It takes three minutes on one core and needs no data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import gpu_hours
import numpy as np

from fasray.faces.face_index import FaceIndex
from fasray.runs.events import TrialRecord
from fasray.seeds import stream
from fasray.sweep.cell_state import winner
from fasray.sweep.coordinator import Assignment
from fasray.sweep.forecast import Pace, Simulation
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.spec import SweepSpec

PAGE = Path(__file__).with_name("price-of-order.md")
GPU_PAGE = PAGE.with_name("gpu-hours.md")
SLOTS = (1, 4, 16, 64)
METHODS = ("erm", "ssdg", "rfmeta", "safas", "hfn_mp", "oneside_triplet", "sdfanet")
CELLS: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]] = {
    1: (("ssdg",), ("O&C&I->M",)),
    8: (("ssdg", "rfmeta"), ("ocim",)),
    28: (METHODS, ("ocim",)),
}
"""Methods and protocols by number of cells; a step of RFMeta takes twenty times as long as one of SSDG."""
PRICE_WORLDS, QUALITY_WORLDS, SEARCH_SLOTS = 10, 200, 16
START = 5.0
"""Seconds from taking a trial to its first step."""
CLOSE = 0.005
"""True AUC within which a winner counts as kept."""


@dataclass(frozen=True)
class World:
    """Learning curves of every trial, which the trial's id decides, and how fast its slot is.

    The error ``1 - AUC`` falls from 1/2 as a power of the step towards the configuration's own floor.

    Args:
        seed: of the world.
        relation: correlation between the floor and the time that learning takes, in logarithms: at 0 a configuration
            that learns slowly ends as well as any other, below 0 better.
    """

    seed: int
    relation: float = 0.5

    def curve(self, trial: str) -> tuple[float, float, np.ndarray, float]:
        """Return the floor, the time as a share of the budget, the noise of each evaluation, and the slowness."""
        return _curve(self.seed, self.relation, trial)

    def quality(self, trial: str, share: float) -> float:
        """Return the true AUC at a share of the budget."""
        floor, time, _, _ = self.curve(trial)
        return 1 - floor - (0.5 - floor) * (1 + share / time) ** -1.5

    def measured(self, trial: str, share: float) -> float:
        """Return what an evaluation measures: the worse the model, the more it varies."""
        true = self.quality(trial, share)
        return float(np.clip(true + (0.002 + 0.1 * (1 - true)) * self.curve(trial)[2][round(99 * share)], 0, 1))

    def score(self, assignment: Assignment, step: int) -> float:
        """Return the source-dev AUC of a trial at a step."""
        return self.measured(assignment.trial.id, step / assignment.cell.training.steps)

    def slowness(self, assignment: Assignment) -> float:
        """Return by how much a trial takes longer than its method says."""
        return self.curve(assignment.trial.id)[3]


@cache
def _curve(seed: int, relation: float, trial: str) -> tuple[float, float, np.ndarray, float]:
    rng = stream(seed, "price of order", trial)
    ending, learning = rng.standard_normal(2)
    floor = math.exp(math.log(0.03) + 0.6 * ending) if rng.random() > 0.1 else rng.uniform(0.2, 0.5)
    time = math.exp(math.log(0.08) + 0.5 * (relation * ending + math.sqrt(1 - relation**2) * learning))
    return min(floor, 0.5), time, rng.standard_normal(100), math.exp(0.1 * rng.standard_normal())


def paces() -> dict[str, Pace]:
    """Return the seconds of each method's step and evaluation from the tables of ``gpu-hours.md``."""
    tables = GPU_PAGE.read_text(encoding="utf-8").split("\n\n| ")
    scored, counted, milliseconds = (
        {row[0]: row for row in _rows(next(table for table in tables if table.startswith(head)))}
        for head in ("protocol", "method", "milliseconds a step")
    )
    images = fmean(
        sum(float(count.replace(",", "")) for count in row[2:4]) for name, row in scored.items() if "->" in name
    )
    return {
        name: Pace(START, float(milliseconds[name][2]) / 1000, images * float(counted[name][5]) / 500 / gpu_hours.TF32)
        for name in METHODS
    }


@cache
def _index() -> FaceIndex:
    return gpu_hours.index()


def plan(cells: int, order: str) -> Plan:
    """Return the shipped sweep of seven methods on so many cells, its trials compared in an order."""
    methods, protocols = CELLS[cells]
    return _plan({"order": order}, methods, protocols, trials=16)


def _plan(
    asha: Mapping[str, object], methods: Iterable[str], protocols: tuple[str, ...], trials: int, **training: object
) -> Plan:
    given = gpu_hours.spec(**training).model_dump(exclude_unset=True)
    given["methods"] = {name: given["methods"][name] for name in methods}
    given["protocols"] = protocols
    given["search"]["trials_per_cell"] = trials
    given["scheduler"]["asha"].update(asha)
    return make_plan(SweepSpec.model_validate(given), "sizes", _index())


@dataclass(frozen=True)
class Price:
    """What order costs a sweep, in each of many worlds."""

    cells: int
    slots: int
    hours: list[float]
    credit: list[float]
    """Steps on credit as a percentage of those of a single slot."""
    longer: list[float]
    """Wall time beyond that of order of arrival, in per cent."""


@cache
def prices(worlds: int = PRICE_WORLDS) -> list[Price]:
    """Return the price by number of cells and slots."""
    found, clock = [], paces()
    for cells in CELLS:
        plans = [plan(cells, order) for order in ("suggestion", "arrival")]
        for slots in SLOTS:
            price = Price(cells, slots, [], [], [])
            for world in map(World, range(worlds)):
                one, other = (Simulation(plan, slots, clock, world.score, world.slowness) for plan in plans)
                price.hours.append(one.now / 3600)
                price.credit.append(100 * one.steps_on_credit / (sum(one.steps.values()) - one.steps_on_credit))
                price.longer.append(100 * (one.now / other.now - 1))
            found.append(price)
    return found


def rows_of_prices(worlds: int) -> Iterator[list[str]]:
    """Yield a row for each number of cells and slots."""
    for price in prices(worlds):
        hours = f"{fmean(price.hours):.2g}"
        yield [f"{price.cells}", f"{price.slots}", hours, _range(price.credit), _range(price.longer)]


@dataclass(frozen=True)
class Search:
    """A way to search one cell.

    Args:
        trials: of the search.
        reduction: of ASHA.
        grace: of ASHA.
        relation: of the worlds.
    """

    trials: int
    reduction: int
    grace: float
    relation: float = 0.5


SEARCHES = (
    Search(16, 3, 0.25),
    Search(16, 3, 0.1),
    Search(32, 4, 0.05),
    Search(64, 3, 0.05),
    Search(64, 3, 0.05, relation=0.0),
    Search(64, 3, 0.05, relation=-0.5),
)


@dataclass(frozen=True)
class Outcome:
    """What a search gives in each of many worlds, in order of suggestion and in order of arrival."""

    cost: tuple[np.ndarray, np.ndarray]
    """Steps, those on credit too, as a share of all trials at full length."""
    quality: tuple[np.ndarray, np.ndarray]
    """True AUC of the winner at the end of its budget."""
    full: np.ndarray
    """True AUC of the winner where every trial has its full length."""

    def kept(self, order: int) -> float:
        """Return the share of worlds in which ASHA's winner is close to that of the full search, or better."""
        return float(np.mean(self.quality[order] >= self.full - CLOSE))

    def better(self) -> tuple[float, float, float]:
        """Return by how many points the winner under order is better than under arrival: mean and 95 % interval."""
        points = 100 * (self.quality[0] - self.quality[1])
        draws = stream(0, "bootstrap").choice(points, (10_000, len(points))).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        return float(points.mean()), float(low), float(high)


@cache
def searched(search: Search, worlds: int = QUALITY_WORLDS) -> Outcome:
    """Search one cell of ERM in so many worlds, in both orders."""
    plans = [
        _plan(
            {"order": order, "grace": search.grace, "reduction": search.reduction}, ("erm",), ("O&C&I->M",),
            search.trials,
        )
        for order in ("suggestion", "arrival")
    ]  # fmt: skip
    clock = paces()
    training = plans[0].cells[0].training
    costs, qualities, full = ([], []), ([], []), []
    for world in (World(seed, search.relation) for seed in range(worlds)):
        for order, planned in enumerate(plans):
            run = Simulation(planned, SEARCH_SLOTS, clock, world.score, world.slowness)
            records = [record for record in run.coordinator.records.values() if record.stage == "search"]
            costs[order].append(sum(record.paid[-1].step for record in records) / training.steps / search.trials)
            qualities[order].extend(world.quality(best.id, 1) for best in [winner(records)] if best)
        shares = [step / training.steps for step in training.evaluation_steps()]
        full.append(world.quality(max(records, key=lambda one: _highest(world, one, shares)).id, 1))
    return Outcome(*(tuple(map(np.array, both)) for both in (costs, qualities)), np.array(full))


def _highest(world: World, record: TrialRecord, shares: Iterable[float]) -> float:
    return max(world.measured(record.id, share) for share in shares)


def rows_of_quality(worlds: int) -> Iterator[list[str]]:
    """Yield what each search costs, how often it keeps the winner, and what the order makes of the winner."""
    for search in SEARCHES:
        found = searched(search, worlds)
        mean, low, high = found.better()
        cost, arrival = (100 * float(one.mean()) for one in found.cost)
        yield [
            f"{search.trials}", f"{search.reduction}", f"{search.grace}", f"{search.relation}",
            f"{cost:.0f} %", f"{arrival:.0f} %", f"{100 * found.kept(0):.1f} %", f"{100 * found.kept(1):.1f} %",
            f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
        ]  # fmt: skip


def rows_of_curves() -> Iterator[list[str]]:
    """Yield how well the measured ranks of 32 configurations foretell those of their true ends, by kind of world."""
    trials = [f"{number:x}" for number in range(32)]
    for relation in (0.5, 0.0, -0.5):
        worlds = [World(seed, relation) for seed in range(100)]
        yield [
            f"{relation}",
            *(
                f"{fmean(_rank_correlation(world, trials, share) for world in worlds):.2f}"
                for share in (0.05, 0.1, 0.25, 0.5)
            ),
        ]


def _rank_correlation(world: World, trials: Iterable[str], share: float) -> float:
    early, late = ([how(trial) for trial in trials] for how in (
        lambda trial: world.measured(trial, share), lambda trial: world.quality(trial, 1)
    ))  # fmt: skip
    ranks = np.argsort(np.argsort([early, late], axis=1), axis=1)
    return float(np.corrcoef(ranks)[0, 1])


def tables(price: int = PRICE_WORLDS, quality: int = QUALITY_WORLDS) -> list[str]:
    """Return the tables of the page, in its order."""
    arrival = "longer than in order of arrival"
    return [
        gpu_hours.table(["relation", "at 5 %", "at 10 %", "at 25 %", "at 50 %"], rows_of_curves()),
        gpu_hours.table(["cells", "slots", "hours", "steps on credit", arrival], rows_of_prices(price)),
        gpu_hours.table(
            ["trials", "reduction", "grace", "relation", "cost", "cost, arrival", "kept", "kept, arrival",
             "points better than under arrival"],
            rows_of_quality(quality),
        ),
    ]  # fmt: skip


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def _range(values: list[float]) -> str:
    return f"{fmean(values):.1f} % [{min(values):.1f}, {max(values):.1f}]"


def renewed(page: str) -> str:
    """Return the page with its tables made again."""
    fresh = iter(tables())
    return re.sub(r"^\|[^\n]*(?:\n\|[^\n]*)*", lambda _: next(fresh), page, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
