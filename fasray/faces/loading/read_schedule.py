"""The course of a worker through the row groups of a face set: which it visits when, and which rows it takes there.

A pure function of sampler, budget and rank. What a worker needs first is visited first, so it may keep what it does not
need yet, drop what it has used, and never waits for something further on. Between two workers no row is shared, for
each takes its own places of every batch; a row group may be visited by several, for different rows.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fasray.faces.loading.row_groups import Rows
from fasray.faces.loading.sampler import Sampler

Due = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Visit:
    """One reading of a row group."""

    due: Due
    """When the first row is needed: steps done before; 0 to score, 1 to train; place in order."""
    row_group: int
    rows: Rows
    """Rows of it that are taken, in the order of their use."""

    @property
    def to_train(self) -> bool:
        """Whether the rows are trained on; else they are scored."""
        return self.due[1] == 1


@dataclass(frozen=True, eq=False)
class Scoring:
    """What every evaluation scores, and in which batches."""

    parts: Sequence[Rows]
    """Each sorted; together, in order, cut into batches that go round the workers."""
    batch: int
    row_group: Rows


def course(
    sampler: Sampler, scoring: Scoring, first: int, evaluations: Sequence[int], rank: int, world_size: int
) -> Iterator[Visit]:
    """Yield the visits of worker ``rank`` in the order of their first use.

    Args:
        sampler: of a reader of row groups.
        scoring: of every evaluation.
        first: steps done before.
        evaluations: steps after which there is an evaluation, ascending; training ends at the last.
        rank: of the worker.
        world_size: number of workers.
    """
    last = evaluations[-1]
    training = [
        _training(sampler, group, first, last, rank, world_size) for group in range(sampler.num_groups) if last > first
    ]
    scored = itertools.chain.from_iterable(_scoring(scoring, step, rank, world_size) for step in evaluations)
    return heapq.merge(*training, scored, key=lambda visit: visit.due)


def _training(sampler: Sampler, group: int, first: int, last: int, rank: int, world_size: int) -> Iterator[Visit]:
    """Yield the visits for one group of the batches, pass after pass."""
    images, length = sampler.sampling.images, sampler.length(group)
    share = images // world_size
    per_step = images * sampler.sampling.draws
    for number in itertools.count(first * per_step // length):
        start = number * length
        if start >= last * per_step:
            return
        rows, visit = sampler.line(group, number)
        position = start + np.arange(length)
        mine = (position >= first * per_step) & (position < last * per_step) & (position % images // share == rank)
        for one in _visits(visit[mine]):
            place = np.flatnonzero(mine)[one]
            due = (int(position[place[0]]) // per_step, 1, int(position[place[0]]))
            yield Visit(due, sampler.row_group(rows[place[0]]), rows[place])


def _scoring(scoring: Scoring, step: int, rank: int, world_size: int) -> Iterator[Visit]:
    rows = np.concatenate(scoring.parts)
    part = np.repeat(np.arange(len(scoring.parts)), [len(part) for part in scoring.parts])
    groups = scoring.row_group[rows]
    changes = (np.diff(groups) != 0) | (np.diff(part) != 0)
    visit = np.concatenate([np.zeros(min(len(rows), 1), np.int64), np.cumsum(changes)])
    mine = np.flatnonzero(np.arange(len(rows)) // scoring.batch % world_size == rank)
    for one in _visits(visit[mine]):
        place = mine[one]
        yield Visit((step, 0, int(place[0])), int(groups[place[0]]), rows[place])


def _visits(visit: Rows) -> list[Rows]:
    """Return the positions of each visit, ascending; the visits by their first position."""
    order = np.argsort(visit, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(visit[order])) + 1) if len(order) else []
    return sorted(parts, key=lambda part: int(part[0]))
