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
from numpy.typing import NDArray

from fasray.errors import DataError, SpecError
from fasray.faces.index import FaceIndex
from fasray.faces.record import LIVE, SPOOF
from fasray.seeds import stream

Rows = NDArray[np.int64]


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
