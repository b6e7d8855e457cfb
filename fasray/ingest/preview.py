"""A look at some videos of a corpus before it is prepared: what is found in them, and a picture of the faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray.faces import jpeg
from fasray.faces.corpora import SourceVideo
from fasray.faces.extraction.extract import Extractor
from fasray.ingest.chunks import PreparationPlan
from fasray.names import printable

_COLUMNS, _SIDE, _TITLE = 6, 128, 16
"""Faces of a video that are drawn, the side of each and the height of the line above them, pixels."""


@dataclass(frozen=True)
class Look:
    """What one video gave."""

    video: SourceVideo
    frames: int
    """That were taken."""
    faces: int
    """That were found in them."""
    remarks: tuple[str, ...]
    unreadable: str
    """Why nothing was taken from it; empty if it was."""
    images: tuple[bytes, ...]
    """JPEG bytes of some of the faces, evenly chosen."""


def spread(videos: Sequence[SourceVideo], count: int) -> list[SourceVideo]:
    """Return ``count`` of the videos, spread over domains, splits and attack types in turn, then over people.

    Those of a group are evenly chosen, so that the same videos come whatever the machine.
    """
    groups: dict[tuple[str, ...], list[SourceVideo]] = {}
    for video in sorted(videos, key=lambda video: (video.subject, video.path)):
        groups.setdefault((video.domain, video.split, video.attack_type), []).append(video)
    most = -(-count // len(groups))
    chosen = [_evenly(groups[name], most) for name in sorted(groups)]
    turns = [video for turn in zip_longest(*chosen) for video in turn if video is not None]
    taken = set(turns)
    rest = [video for name in sorted(groups) for video in groups[name] if video not in taken]
    return turns[:count] + _evenly(rest, count - len(turns))


def _evenly(values: Sequence[Any], count: int) -> list[Any]:
    """Return at most ``count`` of the values, in the middles of equal parts."""
    count = max(0, min(count, len(values)))
    return [values[(2 * number + 1) * len(values) // (2 * count)] for number in range(count)]


def look_at(plan: PreparationPlan, videos: Sequence[SourceVideo]) -> Iterator[Look]:
    """Yield what each of some videos gives, extracted in this process as the preparation does."""
    extractor = Extractor(plan.settings, plan.settings.read_models())
    for video in videos:
        found = extractor.extract(plan.root, video)
        images = found.records.column("image").to_pylist()
        yield Look(video, found.taken, len(images), found.remarks, found.unreadable, tuple(_evenly(images, _COLUMNS)))


def sheet(looks: Sequence[Look]) -> NDArray[np.uint8]:
    """Return a picture, RGB uint8 [H, W, 3]: a row of faces for each video, and above it what it is."""
    return np.vstack([_row(look) for look in looks])


def _row(look: Look) -> NDArray[np.uint8]:
    row = np.zeros((_TITLE + _SIDE, _COLUMNS * _SIDE, 3), np.uint8)
    for number, data in enumerate(look.images):
        image = jpeg.decode(data)
        assert image is not None  # noqa: S101 - it was encoded just now
        small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        row[_TITLE:, number * _SIDE : (number + 1) * _SIDE] = small
    video = look.video
    found = look.unreadable or f"{look.faces} of {look.frames}"
    text = f"{video.domain} {video.attack_type} {video.subject} {printable(video.path)}: {found}"
    cv2.putText(row, text, (3, _TITLE - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    if not look.images:
        cv2.putText(row, "no face", (8, _SIDE // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 160, 0), 1, cv2.LINE_AA)
    return row
