"""The read schedule of a worker: which row groups of a face set it reads when, and which rows it takes from each.

A pure function of sampler, budget and rank. Row groups are read in the order in which their first rows are needed, so a
worker may hold what it does not need yet, drop what it has used, and never waits for a later read. No two workers share
a row, for each takes its own positions of every batch; several may read the same row group, for different rows.
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
class RowGroupRead:
    """One read of a row group."""

    due: Due
    """When the first row is needed: steps done before; 0 to score, 1 to train; position in order."""
    row_group: int
    rows: Rows
    """Its rows that are taken, in the order of their use."""

    @property
    def to_train(self) -> bool:
        """Whether the rows are trained on; otherwise they are scored."""
        return self.due[1] == 1


@dataclass(frozen=True, eq=False)
class Scoring:
    """What every evaluation scores, and in which batches."""

    parts: Sequence[Rows]
    """Each sorted; together, in order, cut into batches that go round the workers."""
    batch: int
    row_group: Rows


def read_schedule(
    sampler: Sampler, scoring: Scoring, first: int, evaluations: Sequence[int], rank: int, world_size: int
) -> Iterator[RowGroupRead]:
    """Yield the reads of worker ``rank`` in the order of their first use.

    Args:
        sampler: with the row groups of a stream.
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
    return heapq.merge(*training, scored, key=lambda read: read.due)


def _training(
    sampler: Sampler, group: int, first: int, last: int, rank: int, world_size: int
) -> Iterator[RowGroupRead]:
    """Yield the reads for one group of the batches, pass after pass."""
    images, length = sampler.sampling.images, sampler.length(group)
    share = images // world_size
    per_step = images * sampler.sampling.draws
    for number in itertools.count(first * per_step // length):
        start = number * length
        if start >= last * per_step:
            return
        rows, read = sampler.pass_order(group, number)
        position = start + np.arange(length)
        mine = (position >= first * per_step) & (position < last * per_step) & (position % images // share == rank)
        for one in _by_read(read[mine]):
            place = np.flatnonzero(mine)[one]
            due = (int(position[place[0]]) // per_step, 1, int(position[place[0]]))
            yield RowGroupRead(due, sampler.row_group(rows[place[0]]), rows[place])


def _scoring(scoring: Scoring, step: int, rank: int, world_size: int) -> Iterator[RowGroupRead]:
    rows = np.concatenate(scoring.parts)
    part = np.repeat(np.arange(len(scoring.parts)), [len(part) for part in scoring.parts])
    groups = scoring.row_group[rows]
    changes = (np.diff(groups) != 0) | (np.diff(part) != 0)
    read = np.concatenate([np.zeros(min(len(rows), 1), np.int64), np.cumsum(changes)])
    mine = np.flatnonzero(np.arange(len(rows)) // scoring.batch % world_size == rank)
    for one in _by_read(read[mine]):
        place = mine[one]
        yield RowGroupRead((step, 0, int(place[0])), int(groups[place[0]]), rows[place])


def _by_read(read: Rows) -> list[Rows]:
    """Return the positions of each read, ascending; the reads by their first position."""
    order = np.argsort(read, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(read[order])) + 1) if len(order) else []
    return sorted(parts, key=lambda part: int(part[0]))
