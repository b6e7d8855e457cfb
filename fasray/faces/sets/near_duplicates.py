"""Near-duplicate pictures in different domains or splits, which should have none in common.

Every face gets a difference hash: 16 x 16 bits, each 1 where the picture gets brighter to the right (Krawetz,
"Kind of like that", 2013; here with a dead zone, so that flat regions do not give random bits). Copies that were
encoded anew, resized or brightened differ in a few bits; different faces, all of them centred, in 43 or more (measured
on 768 generated ones). Close hashes are confirmed by the correlation of the small pictures that they were taken of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_BITS = 20
"""Pictures whose hashes differ in more bits are different."""
LEAST_CORRELATION = 0.97
_SIDE = 16
_DEAD_ZONE = 2
_BANDS = 16
_BLOCK = 2048


@dataclass(frozen=True)
class VideoOrigin:
    """Where a picture belongs."""

    domain: str
    split: str
    video: str

    def __str__(self) -> str:
        return f"{self.video!r} ({self.domain}, {self.split})"


@dataclass(frozen=True)
class NearDuplicate:
    """Two videos of different domains or splits with frames that look the same, and the most similar two frames."""

    one: VideoOrigin
    other: VideoOrigin
    frame: int
    other_frame: int
    bits: int
    """Bits of 256 in which the hashes of these frames differ."""
    pairs: int
    """Pairs of frames that look the same."""

    def __str__(self) -> str:
        frames = f"frame {self.frame} and frame {self.other_frame} ({self.bits} of 256 bits differ)"
        more = f", {self.pairs} pairs in all" if self.pairs > 1 else ""
        return f"videos {self.one} and {self.other} look the same: {frames}{more}"


class NearDuplicateFinder:
    """Collects pictures, then finds those that look the same. Holds about 320 bytes a picture."""

    def __init__(self) -> None:
        self._places: dict[VideoOrigin, int] = {}
        self._place: list[int] = []
        self._frame: list[int] = []
        self._small: list[NDArray[np.uint8]] = []

    def add(self, image_HW3: NDArray[np.uint8], place: VideoOrigin, frame: int) -> None:  # noqa: N803
        """Take one RGB picture of any size."""
        gray = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)
        self._small.append(np.asarray(cv2.resize(gray, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA), np.uint8))
        self._place.append(self._places.setdefault(place, len(self._places)))
        self._frame.append(frame)

    def found(self) -> list[NearDuplicate]:
        """Return every pair of videos of different domains or splits with near-duplicate frames, most similar first."""
        if not self._small:
            return []
        small, place = np.stack(self._small), np.array(self._place)
        places = list(self._places)
        side = [(p.domain, p.split) for p in places]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(side))}
        group = np.array([numbers[key] for key in side])[place]
        best: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
        for i, j, bits in _close_pairs(difference_hashes(small), group):
            if _correlation(small[i], small[j]) >= LEAST_CORRELATION:
                a, b = sorted((i, j), key=lambda row: (place[row], row))
                best.setdefault((int(place[a]), int(place[b])), []).append((bits, a, b))
        pairs = []
        for (one, other), hits in best.items():
            bits, a, b = min(hits)
            pairs.append(NearDuplicate(places[one], places[other], self._frame[a], self._frame[b], bits, len(hits)))
        return sorted(pairs, key=lambda item: (item.bits, item.one.video, item.other.video))


def difference_hashes(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the hashes ``[N, 4]`` (256 bits each) of gray pictures ``[N, 16, 17]``.

    Bits are shuffled by a fixed permutation, so that any run of them samples the whole picture.
    """
    wide = small.astype(np.int16)
    bits = (wide[:, :, 1:] > wide[:, :, :-1] + _DEAD_ZONE).reshape(len(small), -1)
    order = np.random.default_rng(0).permutation(bits.shape[1])
    return np.ascontiguousarray(np.packbits(bits[:, order], axis=1)).view(np.uint64)


def _close_pairs(hashes: NDArray[np.uint64], group: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield (i, j, bits) once for pairs of different groups within MOST_BITS.

    Only pictures that agree in one of 16 bands of 16 bits are compared: all pairs up to 15 bits, and nearly all (if
    their errors are spread evenly, 99 %) at 20.
    """
    bands = hashes.view(np.uint16)
    seen: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        order = np.argsort(bands[:, band], kind="stable")
        values = bands[order, band]
        edges = np.flatnonzero(np.diff(values)) + 1
        for rows in np.split(order, edges):
            if len(rows) > 1 and (group[rows] != group[rows[0]]).any():
                for pair in _close_in(rows, hashes, group):
                    key = (min(pair[:2]), max(pair[:2]))
                    if key not in seen:
                        seen.add(key)
                        yield (*key, pair[2])


def _close_in(
    rows: NDArray[np.int64], hashes: NDArray[np.uint64], group: NDArray[np.int64]
) -> Iterator[tuple[int, int, int]]:
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        others = rows[start:]
        bits = np.bitwise_count(hashes[block, None, :] ^ hashes[None, others, :]).sum(-1)
        near = (bits <= MOST_BITS) & (group[block, None] != group[None, others])
        for a, b in zip(*np.nonzero(near), strict=True):
            if b > a:
                yield int(block[a]), int(others[b]), int(bits[a, b])


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the correlation of two small pictures; two flat ones are alike, a flat one and another are not."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    a, b = a - a.mean(), b - b.mean()
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0:
        return float(not a.any() and not b.any())
    return float(a @ b) / norms
