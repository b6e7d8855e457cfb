"""Where the row groups of a face set are, and the order in which a stream goes through their rows.

Single rows cannot be fetched from a Parquet shard: a row group is read as a whole. So faces that are streamed come in
an order that reads each row group once a pass, yet mixes as many of them as fit in memory. The order is a pure
function of a random generator and independent of the number of workers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fasray.faces.sets.manifest import Manifest, RowGroup

OPEN_ROW_GROUPS = 4
"""Row groups of each (domain, label) whose rows are interleaved."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RowGroupLocation:
    """Where a row group is."""

    shard: str
    number: int
    """In its shard."""
    group: RowGroup
    first: int
    """Row number, in the whole set, of its first row."""


def locations(manifest: Manifest) -> tuple[RowGroupLocation, ...]:
    """Return the row groups of a set in the order of their rows."""
    found, first = [], 0
    for shard in manifest.shards:
        for number, group in enumerate(shard.row_groups):
            found.append(RowGroupLocation(shard.name, number, group, first))
            first += group.rows
    return tuple(found)


def row_group_of(manifest: Manifest) -> Rows:
    """Return [N] the position in ``locations`` of every row's row group."""
    sizes = [group.rows for shard in manifest.shards for group in shard.row_groups]
    numbers: Rows = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
    numbers.flags.writeable = False
    return numbers


def interleave(row_group: Rows, stratum: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Order the rows of one pass so that few row groups are open at any time, and all strata are mixed evenly.

    The row groups of each stratum are dealt, shuffled, to ``OPEN_ROW_GROUPS`` lanes that are interleaved, a row of each
    in turn and in random order; within a row group the rows are shuffled. A lane begins at a random place of its first
    row group and comes to the rest of it last, so that lanes do not all need a new one at the same step.

    Args:
        row_group: [n] row group of each row.
        stratum: [n] number of each row's (domain, label).
        rng: of this pass.

    Returns:
        [n] positions, each once, in their order; and [n] the number of the read that each of them belongs to: a row
        group is read once, or twice if a lane begins in it.
    """
    when = np.empty(len(row_group))
    read = np.empty(len(row_group), dtype=np.int64)
    begun = 0
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        groups, group = np.unique(row_group[members], return_inverse=True)
        turn = rng.permutation(len(groups))[group]
        line = np.lexsort((rng.random(len(members)), turn, turn % OPEN_ROW_GROUPS))
        for number in range(min(OPEN_ROW_GROUPS, len(groups))):
            lane = line[turn[line] % OPEN_ROW_GROUPS == number]
            beginning = np.count_nonzero(turn[lane] == number)
            lane = np.roll(lane, -int(rng.random() * beginning))
            changes = np.flatnonzero(np.diff(turn[lane])) + 1
            runs = np.zeros(len(lane), dtype=np.int64)
            runs[changes] = 1
            read[members[lane]] = begun + np.cumsum(runs)
            begun += len(changes) + 1
            when[members[lane]] = (np.arange(len(lane)) + rng.random(len(lane))) / len(lane)
    order: Rows = np.argsort(when, kind="stable")
    return order, read[order]
