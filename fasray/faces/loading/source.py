"""What training needs of the place where the faces are: a pool that is at hand, or a stream that passes by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fasray.faces.index import FaceIndex
from fasray.faces.loading.pool import Excluded, Faces
from fasray.faces.loading.read_schedule import Visit


class FaceSource(Protocol):
    """All faces of a set: a table of them, and their pixels on request.

    A pool (:class:`fasray.faces.loading.pool.FaceBank`) gives any rows at any time. A stream gives those that it was
    told of, in the order that it was told.
    """

    @property
    def index(self) -> FaceIndex:
        """The table, N rows."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """[N] False for rows whose image is known to be undecodable."""

    @property
    def excluded(self) -> tuple[Excluded, ...]:
        """Those rows."""

    @property
    def image_size(self) -> int:
        """Side of the stored crops in pixels."""

    @property
    def row_group(self) -> NDArray[np.int64] | None:
        """[N] row group of every row where rows are to be asked for in the order of these; None for any order."""

    def follow(self, visits: Iterator[Visit], *, depth: bool, parsing: bool) -> None:
        """Hear which rows will be picked, in order; what was announced before is forgotten.

        Args:
            visits: see :func:`fasray.faces.loading.read_schedule.course`.
            depth: whether depth maps are picked with the faces to train on.
            parsing: the same of parsing maps.
        """

    def pick(self, rows: NDArray[np.int64], *, depth: bool = False, parsing: bool = False) -> Faces:
        """Return the pixels of ``rows``, in their order."""
