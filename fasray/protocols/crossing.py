"""The rules by which sources, targets and shots become rows: pure functions of a table and of parts of datasets.

Sources: a dataset with official ``dev`` rows keeps them as source-dev and trains on the others; of any other,
``DEV_FRACTION`` of the people, those of the lowest sha256(dataset|subject), are source-dev. Targets: the rows of the
official splits that judge (``target_split``), or of those that the part's own ``split`` condition names.

A dataset on both sides is divided by people. Where it has official train and test splits, people of ``test`` judge and
never train; else those of the highest sha256(dataset|subject), ``TARGET_FRACTION`` of them, do. People none of whose
rows are in a source part judge too, whatever their split: of an attack that is left out of training, all videos of
people who are seen in nothing else. A part with a ``split`` condition has exactly the rows that it names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fasray.errors import DataError, ProtocolError
from fasray.protocols.filters import Part
from fasray.protocols.roles import CLASS_NAMES, RowTable

DEV_FRACTION = 0.2
"""Share of a source dataset's subjects that become source-dev where it has no official dev split."""

TARGET_FRACTION = 0.3
"""Share of subjects that judge where a dataset is on both sides and has no official test split."""

TargetSplit = Literal["train+test", "all", "test"]
TARGET_SPLITS: dict[str, tuple[str, ...]] = {
    "train+test": ("train", "test"),
    "all": ("train", "dev", "test"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Crossing:
    """The parts of one protocol on a table."""

    table: RowTable
    sources: tuple[Part, ...]
    targets: tuple[Part, ...]
    target_split: TargetSplit
    name: str
    """Of the protocol, for messages."""

    def source_rows(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return [N] the number of each row's source part, -1 for none, and [N] whether it is source-dev.

        Raises:
            ProtocolError: a row is in two source parts.
            DataError: no one can be kept from training, or a filter must read an unknown value.
        """
        table, judged = self.table, {part.domain for part in self.targets}
        domain_id = np.full(len(table.label), -1, np.int64)
        for number, part in enumerate(self.sources):
            rows = part.rows(table, self.name)
            if part.domain in judged and not part.asks("split"):
                rows &= ~self._divided(part.domain)
            if (twice := np.flatnonzero(rows & (domain_id >= 0))).size:
                other = self.sources[domain_id[twice[0]]]
                raise ProtocolError(
                    f"protocol {self.name}: {len(twice)} rows are in both of its sources {other} and {part}",
                    where="protocols",
                    remedy="filter them so that no row is in two",
                )
            domain_id[rows] = number
        dev = np.zeros(len(table.label), np.bool_)
        for dataset in dict.fromkeys(part.domain for part in self.sources):
            own = np.flatnonzero((table.domain == dataset) & (domain_id >= 0))
            official = np.asarray(table.split[own] == "dev")
            if official.any():
                dev[own] = official
            else:
                dev[own] = np.isin(table.subject[own], dev_subjects(dataset, table.subject[own]))
        return domain_id, dev

    def target_rows(self, part: Part) -> NDArray[np.int64]:
        """Return the rows of a target part, sorted, before any shots are taken from them."""
        rows = part.rows(self.table, self.name)
        if not part.asks("split"):
            if any(part.domain == source.domain for source in self.sources):
                rows &= self._divided(part.domain) | self._never_a_source(part.domain)
            else:
                rows &= np.isin(self.table.split, TARGET_SPLITS[self.target_split])
        return np.flatnonzero(rows)

    def _divided(self, dataset: str) -> NDArray[np.bool_]:
        """Return [N] the rows of people who are kept from training because their dataset judges, too."""
        table = self.table
        own = np.asarray(table.domain == dataset)
        splits = table.split[own]
        if (splits == "train").any() and (splits == "test").any():
            return np.asarray(own & (table.split == "test"))
        ranked = ranked_subjects(dataset, table.subject[own])
        kept = ranked[len(ranked) - max(1, round(TARGET_FRACTION * len(ranked))) :]
        return np.asarray(own & np.isin(table.subject, kept))

    def _never_a_source(self, dataset: str) -> NDArray[np.bool_]:
        """Return [N] the rows of people of a dataset none of whose rows is in a source part."""
        table, used = self.table, np.zeros(len(self.table.label), np.bool_)
        for part in self.sources:
            if part.domain == dataset:
                used |= part.rows(table, self.name)
        return np.asarray((table.domain == dataset) & ~np.isin(table.subject, np.unique(table.subject[used])))


def shot_rows(table: RowTable, rows: NDArray[np.int64], count: int, dataset: str) -> NDArray[np.int64]:
    """Return the rows of ``count`` live and as many attack videos among ``rows``, sorted.

    No seed decides: of each class, the videos of a person are ranked by sha256(dataset|video), then the first of every
    person, people by sha256(dataset|subject), the second of every person, and so on. So they are of as many people as
    there are, and of the same people in both classes where these have both.

    Raises:
        DataError: a class has fewer videos.
    """
    chosen: list[str] = []
    for label, name in CLASS_NAMES.items():
        mine = rows[table.label[rows] == label]
        people: dict[str, set[str]] = {}
        for subject, video in zip(table.subject[mine].tolist(), table.video[mine].tolist(), strict=True):
            people.setdefault(subject, set()).add(video)
        ordered = sorted(
            (place, _rank(dataset, subject), video)
            for subject, videos in people.items()
            for place, video in enumerate(sorted(videos, key=lambda each: _rank(dataset, each)))
        )
        if len(ordered) < count:
            raise DataError(
                f"{count} {name} videos of {dataset} cannot join the sources: it has {len(ordered)}",
                where=dataset,
                remedy="ask for fewer shots",
            )
        chosen += [video for _, _, video in ordered[:count]]
    return rows[np.isin(table.video[rows], chosen)]


def dev_subjects(dataset: str, subjects: NDArray[np.str_]) -> list[str]:
    """Return the subjects of a source dataset that choose instead of training: at least one, never all.

    Rank by sha256 and not a draw: adding a person moves few others, and no seed decides.

    Raises:
        DataError: there is one subject only.
    """
    ranked = ranked_subjects(dataset, subjects)
    if len(ranked) < 2:
        raise DataError(
            f"domain {dataset!r} has one subject only, so none can be kept from training",
            where=dataset,
            remedy="a source domain needs two subjects or an official dev split",
        )
    return ranked[: min(max(1, round(DEV_FRACTION * len(ranked))), len(ranked) - 1)]


def ranked_subjects(dataset: str, subjects: NDArray[np.str_]) -> list[str]:
    """Return the distinct subjects in the order of sha256(dataset|subject)."""
    return sorted(np.unique(subjects).tolist(), key=lambda name: _rank(dataset, name))


def _rank(dataset: str, name: str) -> str:
    return hashlib.sha256(f"{dataset}|{name}".encode()).hexdigest()
