"""What training needs of the place where the faces are: a pool or a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import Excluded, Faces
from fasray.faces.loading.read_schedule import RowGroupRead
from fasray.faces.loading.windows import Windows


class FaceSource(Protocol):
    """All faces of a set: a table of them, and their pixels on request.

    A pool (:class:`fasray.faces.loading.pool.FacePool`) gives any rows at any time. A stream gives the rows
    that were announced, in that order.
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
        """[N] row group of every row if rows must be picked row group by row group; None for any order."""

    def set_read_order(self, reads: Iterator[RowGroupRead], *, depth: bool, parsing: bool) -> None:
        """Announce which rows will be picked, in order; an earlier announcement is dropped.

        Args:
            reads: see :func:`fasray.faces.loading.read_schedule.read_schedule`.
            depth: whether depth maps are picked with the training faces.
            parsing: the same for parsing maps.
        """

    def pick(
        self, rows: NDArray[np.int64], *, depth: bool = False, parsing: bool = False, windows: Windows | None = None
    ) -> Faces:
        """Return the pixels of ``rows``, in their order; with ``windows``, only these of the images."""
