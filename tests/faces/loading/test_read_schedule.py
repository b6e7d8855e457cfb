"""Laws of a stream's order: balanced, complete, disjoint among workers, repeatable, and readable with little memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.read_schedule import RowGroupRead, Scoring, read_schedule
from fasray.faces.loading.row_groups import OPEN_ROW_GROUPS, interleave
from fasray.faces.loading.sampler import Sampler, Sampling

ROWS, IN_GROUP, VIDEO = 3000, 32, 8
EVALUATIONS = (40, 90)
BATCH = 50
"""Of scoring."""
SAMPLINGS = {
    "balanced": Sampling(images=4),
    "several draws": Sampling(images=4, draws=3),
    "videos": Sampling(images=4, unit="video"),
    "shuffled": Sampling("shuffled", images=24),
    "shuffled videos": Sampling("shuffled", images=24, unit="video"),
}
each_sampling = pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS)


def made_table() -> FaceIndex:
    """Three domains of unlike size; videos are whole, live and attack lie side by side in most row groups."""
    number = np.arange(ROWS)
    video = number // VIDEO
    label = np.random.default_rng(1).integers(0, 2, video.max() + 1)[video]
    text = [""] * ROWS
    return FaceIndex.of(
        {
            "label": label,
            "domain": np.array(["A", "B", "T"])[np.searchsorted([800, 2400], number, side="right")],
            "video": [f"v{one:04d}" for one in video],
            "subject": [f"s{one // 4:04d}" for one in video],
            "frame": number % VIDEO,
            "split": ["train"] * ROWS,
            **{name: text for name in ("attack_type", "instrument", "camera", "session")},
        }
    )


INDEX = made_table()
ROW_GROUP = np.arange(ROWS) // IN_GROUP
DEV = np.flatnonzero((INDEX.domain != "T") & (np.arange(ROWS) // VIDEO % 5 == 0))
TARGET = np.flatnonzero(INDEX.domain == "T")
TRAIN = np.setdiff1d(np.flatnonzero(INDEX.domain != "T"), DEV)
SCORING = Scoring((DEV, TARGET), BATCH, ROW_GROUP)
DOMAIN = np.select([INDEX.domain == "A", INDEX.domain == "B"], [0, 1], -1)


def made_sampler(sampling: Sampling, seed: int = 3) -> Sampler:
    return Sampler(INDEX, TRAIN, DOMAIN, ("A", "B"), sampling, seed, ROW_GROUP)


def wanted(sampler: Sampler, first: int, rank: int, workers: int) -> Iterator[np.ndarray]:
    """Yield what a worker picks, one batch after another, as the training loop does."""
    scored = np.concatenate(SCORING.parts)
    for step in range(first, EVALUATIONS[-1]):
        for draw in range(sampler.sampling.draws):
            yield sampler.rows(step, draw)[sampler.positions(rank, workers)]
        if step + 1 in EVALUATIONS:
            for number, start in enumerate(range(0, len(scored), BATCH)):
                if number % workers == rank:
                    yield scored[start : start + BATCH]


@dataclass
class Reader:
    """A worker that reads a row group only when it needs a row that it does not hold, and drops what it has used."""

    reads: Iterator[RowGroupRead]
    held: Counter[int] = field(default_factory=Counter)
    most_held: int = 0
    visited: int = 0

    def take(self, row: int) -> None:
        while not self.held[row]:
            read = next(self.reads)
            assert set(ROW_GROUP[read.rows]) == {read.row_group}
            self.held.update(read.rows.tolist())
            self.visited += 1
        self.held[row] -= 1
        self.most_held = max(self.most_held, self.held.total())


@each_sampling
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("first", [0, 37])
def test_following_the_course_each_worker_has_every_row_when_it_needs_it_and_none_is_left(
    sampling: Sampling, workers: int, first: int
) -> None:
    """From the start, and from a checkpoint in the middle."""
    sampler = made_sampler(sampling)
    for rank in range(workers):
        reader = Reader(read_schedule(sampler, SCORING, first, EVALUATIONS, rank, workers))
        for batch in wanted(sampler, first, rank, workers):
            for row in batch.tolist():
                reader.take(row)
        assert reader.held.total() == 0
        assert next(reader.reads, None) is None


@each_sampling
def test_what_waits_is_a_few_row_groups_of_each_domain_and_label(sampling: Sampling) -> None:
    """OPEN_ROW_GROUPS of each of four, at the change of a pass twice as many, and the one that is scored."""
    sampler = made_sampler(sampling)
    reader = Reader(read_schedule(sampler, SCORING, 0, EVALUATIONS, 0, 1))
    for batch in wanted(sampler, 0, 0, 1):
        for row in batch.tolist():
            reader.take(row)
    assert 0 < reader.most_held <= (2 * OPEN_ROW_GROUPS * 4 + 1) * IN_GROUP
    assert reader.most_held < len(TRAIN)


@pytest.mark.parametrize("unit", ["frame", "video"])
def test_batches_are_balanced_over_domain_and_label(unit: str) -> None:
    sampler = made_sampler(Sampling(images=4, unit=unit))  # type: ignore[arg-type]
    for step in range(200):
        rows = sampler.rows(step)
        assert Counter(zip(INDEX.domain[rows].tolist(), INDEX.label[rows].tolist(), strict=True)) == {
            (domain, label): 4 for domain in "AB" for label in (0, 1)
        }
        assert np.isin(rows, TRAIN).all()


def test_a_shuffled_stretch_mixes_domains_and_labels_in_proportion() -> None:
    """Any 24 successive rows have of each about its share: at most 4 off, where storage order has one domain only."""
    rows = np.concatenate([made_sampler(SAMPLINGS["shuffled"]).rows(step) for step in range(60)])
    stratum = 2 * DOMAIN[rows] + INDEX.label[rows]
    share = np.bincount(2 * DOMAIN[TRAIN] + INDEX.label[TRAIN]) / len(TRAIN)
    counts = np.stack([np.convolve(stratum == one, np.ones(24), "valid") for one in range(4)])
    inside = counts[:, : len(TRAIN) - 24]
    assert np.abs(inside - 24 * share[:, None]).max() <= 4


@each_sampling
def test_a_pass_covers_the_set_and_shows_nothing_twice(sampling: Sampling) -> None:
    sampler = made_sampler(sampling)
    for group in range(sampler.num_groups):
        members = TRAIN
        if sampling.kind == "balanced":
            members = TRAIN[(DOMAIN[TRAIN] == group // 2) & (INDEX.label[TRAIN] == group % 2)]
        for number in range(3):
            rows, _ = sampler.pass_order(group, number)
            if sampling.unit == "frame":
                assert np.array_equal(np.sort(rows), members)
            else:
                assert sorted(INDEX.video[rows]) == sorted(set(INDEX.video[members]))
        assert not np.array_equal(sampler.pass_order(group, 0)[0], sampler.pass_order(group, 1)[0])


@pytest.mark.parametrize("workers", [2, 4])
def test_no_row_comes_to_two_workers_and_together_they_cover_each_pass(workers: int) -> None:
    sampler = made_sampler(SAMPLINGS["shuffled"])
    steps = len(TRAIN) // 24
    shares = [
        np.concatenate([sampler.rows(step)[sampler.positions(rank, workers)] for step in range(steps)])
        for rank in range(workers)
    ]
    together = np.concatenate(shares)
    assert len(np.unique(together)) == len(together) == 24 * steps
    announced = [
        np.concatenate(
            [read.rows for read in read_schedule(sampler, SCORING, 0, (steps,), rank, workers) if read.to_train]
        )
        for rank in range(workers)
    ]
    for share, read in zip(shares, announced, strict=True):
        assert np.array_equal(np.sort(share), np.sort(read)), "what a worker reads is what it uses"


def test_every_evaluation_scores_each_row_on_one_worker() -> None:
    for workers in (1, 3):
        found: dict[int, list[int]] = {step: [] for step in EVALUATIONS}
        for rank in range(workers):
            for read in read_schedule(made_sampler(SAMPLINGS["balanced"] if workers == 1 else Sampling(images=3)),
                                SCORING, 0, EVALUATIONS, rank, workers):  # fmt: skip
                if not read.to_train:
                    found[read.due[0]] += read.rows.tolist()
        for rows in found.values():
            assert sorted(rows) == sorted([*DEV, *TARGET])


@each_sampling
def test_a_seed_repeats_the_order_from_any_step_on_and_another_seed_does_not(sampling: Sampling) -> None:
    def reads(seed: int) -> list[tuple[object, ...]]:
        found = read_schedule(made_sampler(sampling, seed), SCORING, 0, EVALUATIONS, 0, 1)
        return [(read.due, read.row_group, *read.rows.tolist()) for read in found]

    assert reads(3) == reads(3)
    assert reads(3) != reads(4)
    line = made_sampler(sampling)
    in_order = [line.rows(step) for step in range(80)]
    for step in (79, 0, 41):
        assert np.array_equal(made_sampler(sampling).rows(step), in_order[step])


def test_a_pass_reads_each_row_group_once_and_few_twice() -> None:
    """Of each domain and label; those that a lane begins in come twice."""
    sampler = made_sampler(SAMPLINGS["balanced"])
    for group in range(sampler.num_groups):
        rows, read = sampler.pass_order(group, 5)
        of_read = {one: set(ROW_GROUP[rows[read == one]]) for one in np.unique(read)}
        assert all(len(groups) == 1 for groups in of_read.values())
        times = Counter(next(iter(groups)) for groups in of_read.values())
        assert set(times) == set(ROW_GROUP[rows])
        assert max(times.values()) <= 2
        assert sum(count == 2 for count in times.values()) <= OPEN_ROW_GROUPS


def test_row_groups_are_read_side_by_side_and_begin_at_different_times() -> None:
    groups = np.repeat(np.arange(40), IN_GROUP)
    order, read = interleave(groups, np.zeros(len(groups), np.int64), np.random.default_rng(0))
    assert np.array_equal(np.sort(order), np.arange(len(groups)))
    place = np.arange(len(groups))
    first = np.array([place[read == one].min() for one in range(read.max() + 1)])
    last = np.array([place[read == one].max() for one in range(read.max() + 1)])
    is_open = ((first <= place[:, None]) & (place[:, None] <= last)).sum(1)
    assert is_open.max() <= 2 * OPEN_ROW_GROUPS
    assert np.median(is_open) == OPEN_ROW_GROUPS
    begun = np.sort(first[first > 2 * IN_GROUP])
    assert (np.diff(begun) > IN_GROUP // 4).mean() > 0.5, "not all lanes want a new row group at once"
    for window in range(0, len(order) - 64, 64):
        assert len(set(groups[order[window : window + 64]])) >= OPEN_ROW_GROUPS


def test_row_groups_come_shuffled_and_each_time_otherwise() -> None:
    groups = np.repeat(np.arange(200), 8)
    when = []
    for seed in (0, 1):
        order, _ = interleave(groups, np.zeros(len(groups), np.int64), np.random.default_rng(seed))
        place = np.argsort(order).reshape(200, 8)
        when.append(place.mean(1))
    assert abs(np.corrcoef(when[0], np.arange(200))[0, 1]) < 0.25
    assert abs(np.corrcoef(when[0], when[1])[0, 1]) < 0.25


def test_tiny_sets_work_too() -> None:
    """One row group, or one row of a class: nothing to mix."""
    order, read = interleave(np.zeros(1, np.int64), np.zeros(1, np.int64), np.random.default_rng(0))
    assert (order.tolist(), read.tolist()) == ([0], [0])
    order, read = interleave(np.zeros(5, np.int64), np.array([0, 0, 1, 1, 1]), np.random.default_rng(0))
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert len(set(read[np.argsort(order)][:2])) == len(set(read[np.argsort(order)][2:])) == 1
