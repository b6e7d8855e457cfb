"""Which rows make up a training batch: balanced or shuffled, seeded, any step at random access.

Every group of rows is read pass after pass, each pass in its own seeded order, as one endless sequence; a batch is a
window of it whose place follows from the step alone. So a run can go on at any step without replaying those before,
and runs that share a seed see the same rows whatever their configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fasray.errors import DataError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.row_groups import Rows, interleave
from fasray.faces.record import LIVE, SPOOF
from fasray.seeds import stream


@dataclass(frozen=True)
class Sampling:
    """How training rows are picked, whole job (all workers) together."""

    kind: Literal["balanced", "shuffled"] = "balanced"
    """``balanced``: the same number of each (domain, label) group; ``shuffled``: one permutation of all rows."""
    images: int = 4
    """Images per group (``balanced``) or per draw (``shuffled``)."""
    draws: int = 1
    """Fresh draws that one step takes."""
    unit: Literal["frame", "video"] = "frame"
    """``video``: a permutation of videos, one random frame of each."""

    def __post_init__(self) -> None:
        if self.images < 1 or self.draws < 1:
            raise SpecError(
                f"images is {self.images} and draws is {self.draws}",
                where="training.images",
                remedy="both must be at least 1",
            )


class Sampler:
    """The batches of one training run, as a pure function of (seed, step, draw).

    A balanced batch lists its groups in the order (domain 0, spoof), (domain 0, live), (domain 1, spoof) ..., each
    with ``sampling.images`` rows. A pass over a group shows each of its rows (with ``unit="video"``: each of its
    videos, one random frame of it) once before any repeats; groups of unequal size have passes of unequal length,
    and a window that crosses the end of a pass goes on in the next one.

    Args:
        index: the table of all faces.
        rows: [n] rows of ``index`` to train on.
        domain_id: [len(index)] position of each row's domain among ``domains``.
        domains: names of the training domains.
        sampling: how to pick.
        seed: of the run.
        row_group: [len(index)] row group of every row, for a stream, which reads row group by row group: then a pass
            has the order of :func:`fasray.faces.loading.row_groups.interleave`, not that of a plain permutation.

    Raises:
        DataError: a domain has no row of one of the two classes.
    """

    def __init__(
        self,
        index: FaceIndex,
        rows: Rows,
        domain_id: Rows,
        domains: Sequence[str],
        sampling: Sampling,
        seed: int,
        row_group: Rows | None = None,
    ) -> None:
        self.sampling = sampling
        self._row_group = row_group
        self.num_groups = 2 * len(domains) if sampling.kind == "balanced" else 1
        rows = np.sort(np.asarray(rows, dtype=np.int64))
        pairs = {
            (number, label): rows[(domain_id[rows] == number) & (index.label[rows] == label)]
            for number in range(len(domains))
            for label in (SPOOF, LIVE)
        }
        for (number, label), members in pairs.items():
            if not len(members):
                kind = "bona fide (live)" if label == LIVE else "attack (spoof)"
                raise DataError(
                    f"training domain {domains[number]} has no {kind} face to train on",
                    where=f"domain {domains[number]}",
                    remedy="add faces of that class, or leave the domain out of the protocol",
                )
        if not pairs:
            raise DataError("the protocol has no training domain", remedy="name at least one source domain")
        layout = None if row_group is None else (row_group, 2 * domain_id + index.label)
        if sampling.kind == "balanced":
            self._groups = [
                _Group(members, index, sampling.unit, seed, f"{number}/{label}", layout)
                for (number, label), members in pairs.items()
            ]
        else:
            self._groups = [_Group(rows, index, sampling.unit, seed, "all", layout)]

    @property
    def batch(self) -> int:
        """Images of one draw, all workers together."""
        return self.num_groups * self.sampling.images

    def rows(self, step: int, draw: int = 0) -> Rows:
        """Return the [batch] rows of a draw, whole job together.

        Args:
            step: optimizer steps done before this one, 0 for the first.
            draw: number of the draw within the step, below ``sampling.draws``.

        Raises:
            ValueError: ``step`` or ``draw`` is out of range.
        """
        if step < 0 or not 0 <= draw < self.sampling.draws:
            raise ValueError(f"no draw {draw} in step {step}")
        start = (step * self.sampling.draws + draw) * self.sampling.images
        return np.concatenate([group.window(start, self.sampling.images) for group in self._groups])

    def length(self, group: int) -> int:
        """Return the rows that one pass over a group of the batches shows."""
        return self._groups[group].length

    def pass_order(self, group: int, number: int) -> tuple[Rows, Rows]:
        """Return the rows of a pass over a group in their order, and the number of the read that each belongs to.

        Raises:
            ValueError: the sampler was made without ``row_group``.
        """
        if self._row_group is None:
            raise ValueError("this sampler was made without row groups")
        return self._groups[group].pass_order(number)

    def row_group(self, row: int) -> int:
        """Return the row group of a row; ValueError as :meth:`pass_order`."""
        if self._row_group is None:
            raise ValueError("this sampler was made without row groups")
        return int(self._row_group[row])

    def positions(self, rank: int, world_size: int) -> Rows:
        """Return the positions in a batch of worker ``rank``'s share.

        A balanced batch is shared group by group, so each worker keeps the balance; a shuffled one in blocks.

        Raises:
            SpecError: the images of a group do not divide by the number of workers (shares of unequal size would not
                average to the gradient of the whole).
        """
        share, rest = divmod(self.sampling.images, world_size)
        if rest:
            raise SpecError(
                f"{self.sampling.images} images per {'group' if self.sampling.kind == 'balanced' else 'batch'} "
                f"cannot be shared equally by {world_size} workers",
                where="training.images",
                remedy=f"take a multiple of {world_size}, or another number of workers",
            )
        within = np.arange(rank * share, (rank + 1) * share, dtype=np.int64)
        starts = np.arange(self.num_groups, dtype=np.int64) * self.sampling.images
        return (starts[:, None] + within[None, :]).reshape(-1)


class _Group:
    """The endless sequence of one group: pass after pass over its rows or videos."""

    def __init__(
        self,
        rows: Rows,
        index: FaceIndex,
        unit: Literal["frame", "video"],
        seed: int,
        name: str,
        layout: tuple[Rows, Rows] | None,
    ) -> None:
        self._seed, self._name, self._layout = seed, name, layout
        self._passes: dict[int, Rows] = {}
        if unit == "frame":
            self._rows, self._starts, self._counts = rows, None, None
            self.length = len(rows)
        else:
            _, inverse, counts = np.unique(index.video[rows], return_inverse=True, return_counts=True)
            self._rows = rows[np.argsort(inverse, kind="stable")]
            self._starts, self._counts = np.cumsum(counts) - counts, counts
            self.length = len(counts)

    def window(self, start: int, length: int) -> Rows:
        """Return ``length`` rows of the sequence from position ``start`` on."""
        first, last = start // self.length, (start + length - 1) // self.length
        passes = np.concatenate([self._pass(number) for number in range(first, last + 1)])
        return passes[start - first * self.length :][:length]

    def pass_order(self, number: int) -> tuple[Rows, Rows]:
        """Return a pass in its order, and the number of the read that each row belongs to (0 without row groups)."""
        rng = stream(self._seed, "sampler", self._name, number)
        order = rng.permutation(self.length)
        if self._starts is not None and self._counts is not None:
            frame = (rng.random(self.length) * self._counts).astype(np.int64)
            order = (self._starts + frame)[order]
        rows = self._rows[order]
        if self._layout is None:
            return rows, np.zeros(len(rows), dtype=np.int64)
        row_group, stratum = self._layout
        order, reads = interleave(row_group[rows], stratum[rows], rng)
        return rows[order], reads

    def _pass(self, number: int) -> Rows:
        if number not in self._passes:
            while len(self._passes) >= 2:  # a window seldom spans more than the current pass and the next
                self._passes.pop(next(iter(self._passes)))
            self._passes[number] = self.pass_order(number)[0]
        return self._passes[number]
