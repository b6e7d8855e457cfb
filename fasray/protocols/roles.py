"""What a protocol reads (a table of rows) and what it answers (which rows train, which choose, which judge)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fasray.metrics.summary import SOURCE_DEV, TARGET

LIVE, SPOOF = 1, 0
SPLITS = ("train", "dev", "test")
CLASS_NAMES = {LIVE: "live", SPOOF: "attack"}


class RowTable(Protocol):
    """Columns of equal length N, one row a face; the position in them is the row number."""

    @property
    def label(self) -> NDArray[np.int8]:
        """1 = live, 0 = attack presentation."""

    @property
    def domain(self) -> NDArray[np.str_]:
        """Dataset letter or name."""

    @property
    def attack_type(self) -> NDArray[np.str_]:
        """``live``, ``print``, ``replay`` ..."""

    @property
    def instrument(self) -> NDArray[np.str_]:
        """Finer than ``attack_type``; empty for live rows."""

    @property
    def subject(self) -> NDArray[np.str_]:
        """Person, unique over all domains."""

    @property
    def video(self) -> NDArray[np.str_]:
        """Video, unique over all domains."""

    @property
    def frame(self) -> NDArray[np.int32]:
        """Index in the video."""

    @property
    def camera(self) -> NDArray[np.str_]:
        """Capture device."""

    @property
    def session(self) -> NDArray[np.str_]:
        """Recording session."""

    @property
    def split(self) -> NDArray[np.str_]:
        """The dataset's own ``train``, ``dev`` or ``test``."""

    @property
    def ethnicity(self) -> NDArray[np.str_]:
        """As the dataset groups people; empty if unknown, as in the columns below."""

    @property
    def sex(self) -> NDArray[np.str_]:
        """As the dataset has it."""

    @property
    def age_group(self) -> NDArray[np.str_]:
        """As the dataset groups ages."""

    @property
    def modality(self) -> NDArray[np.str_]:
        """What the camera sees: ``rgb``, ``ir``, ``depth``."""


@dataclass(frozen=True, eq=False)
class Roles:
    """The rows of a table by what a protocol uses them for; no subject has two roles."""

    train: NDArray[np.int64]
    """Rows to train on, sorted."""
    source_dev: NDArray[np.int64]
    """Rows of the source domains that choose steps, configurations and thresholds, sorted."""
    target: NDArray[np.int64]
    """Rows of the unseen domain, sorted."""
    domains: tuple[str, ...]
    """Names of the training domains, in the protocol's order (OULU-NPU: the phones)."""
    domain_id: NDArray[np.int64]
    """[N] position in ``domains`` of every train and source-dev row, -1 elsewhere."""
    targets: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    """The target rows by the name of the protocol that they judge, sorted; empty where all judge one protocol."""
    shots: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Those of ``train`` that come from the target's dataset, sorted; they are the last of ``domains``."""

    @property
    def scored(self) -> dict[str, NDArray[np.int64]]:
        """The rows that an evaluation scores, by their role in score files; none of a target that is sealed."""
        if self.targets:
            targets = {target_role(name): rows for name, rows in self.targets.items()}
        else:
            targets = {TARGET: self.target} if len(self.target) else {}
        return {SOURCE_DEV: self.source_dev, **targets}

    def sealed(self) -> Roles:
        """Return the roles for a trial that must not see the target: no row has that role."""
        return replace(self, target=self.target[:0], targets={})

    def domain_names(self, table: RowTable) -> NDArray[np.str_]:
        """Return [N] names for score files: the training domain of source rows, ``table.domain`` elsewhere.

        They differ from ``table.domain`` where the training domains are parts of one dataset (OULU-NPU's phones);
        source-dev metrics are macro averages over these names.
        """
        names: NDArray[Any] = np.array(self.domains, dtype=np.str_)[self.domain_id]
        return np.where(self.domain_id >= 0, names, table.domain)


def target_role(protocol: str) -> str:
    """Return the role that target rows have in the score files of a trial which several protocols judge."""
    return f"{TARGET}:{protocol}"


def spaced_frames(table: RowTable, rows: NDArray[np.int64], count: Literal["all"] | int) -> NDArray[np.int64]:
    """Return the rows of ``count`` evenly spaced frames of each video, in the order of ``rows``.

    Of a video's m rows, ordered by frame, the k-th of ``count`` = n is number floor((2 k + 1) m / (2 n)), counted from
    0: the middle one for n = 1. A video with no more than n rows keeps them all.

    Args:
        table: where ``rows`` point to.
        rows: rows to choose from.
        count: frames of each video, at least 1; or all of them.
    """
    if count == "all" or not len(rows):
        return rows
    video, frame = table.video[rows], table.frame[rows]
    order = np.lexsort((frame, video))
    first = np.flatnonzero(np.r_[True, video[order][1:] != video[order][:-1]])
    size = np.diff(np.r_[first, len(rows)])
    number, rows_of_video = np.arange(len(rows)) - np.repeat(first, size), np.repeat(size, size)
    chosen_before = -((rows_of_video - 2 * count * number) // (2 * rows_of_video))
    chosen_until = -((rows_of_video - 2 * count * (number + 1)) // (2 * rows_of_video))
    kept: NDArray[np.int64] = rows[np.sort(order[chosen_until > chosen_before])]
    return kept
