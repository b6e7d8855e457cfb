"""Frames of a video or picture file: which ones are taken, and in what state the file is.

Files are read from beginning to end and frames are counted, never sought: seeking is inexact in many codecs, and only
the count shows whether a file is whole. One frame is in memory at a time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fasray.errors import SpecError
from fasray.faces.detection import Frame

SMALLEST_SIDE = 16
"""Pixels; a picture with a shorter side shows no face."""
LARGE_SIDE = 2560
"""Pixels; a frame with a longer side is remarked upon."""
_TRUNCATED = 0.95
"""A file of which less than this fraction of the promised frames can be decoded is reported as cut short."""

_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_CONTAINERS = {
    "AVI": (".avi", ".divx"),
    "MP4 or MOV": (".mp4", ".mov", ".m4v", ".3gp", ".qt"),
    "Matroska or WebM": (".mkv", ".webm"),
}


@dataclass(frozen=True)
class FrameRule:
    """Which frames of a video are taken: ``count`` evenly spaced ones, or every ``every``-th from the first on.

    Exactly one of the two is given. Evenly spaced means the middles of ``count`` equal parts, so that the same frames
    come out whatever the rate; a video with fewer frames gives them all.
    """

    count: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        """Refuse a rule that is out of range (SpecError)."""
        if (self.count is None) == (self.every is None):
            raise SpecError("give a number of frames or a spacing, and not both", where="--frames, --every")
        for option, value in (("--frames", self.count), ("--every", self.every)):
            if value is not None and value < 1:
                raise SpecError(f"{value} is out of range", where=option, remedy="choose 1 or more")

    def __str__(self) -> str:
        return f"{self.count} evenly spaced" if self.count is not None else f"every {_ordinal(self.every or 0)}"

    def takes(self, total: int) -> list[int]:
        """Return the ascending frame numbers that are taken of ``total`` frames."""
        if self.every is not None:
            return list(range(0, total, self.every))
        count = min(self.count or 0, total)
        return [(2 * i + 1) * total // (2 * count) for i in range(count)]


class UnreadableError(Exception):
    """Nothing can be taken from this file; the text is the reason."""


Remark = Callable[[str], None]


def is_picture(path: str) -> bool:
    """Return whether, by its name, a file is a single picture."""
    return path.lower().endswith(_PICTURES)


def frames(
    path: str, rule: FrameRule, remark: Remark, *, turn_untagged: int = 0, part: tuple[int, int] | None = None
) -> Iterator[tuple[int, Frame]]:
    """Yield (number in the file, BGR frame) of the frames that the rule takes.

    A rotation tag of the container is honoured. Where more frames were promised than can be decoded, the rule still
    spaces by the promise, and the file is refused once that shows.

    Args:
        path: local video or picture file.
        rule: what is taken.
        remark: called with what is unusual about a file that can still be used.
        turn_untagged: degrees clockwise (0, 90, 180, 270) that bring a file without a rotation tag upright.
        part: first and one past the last frame that may be taken; None: all.

    Raises:
        UnreadableError: the file is empty, not a video, cut short, too small or damaged. Frames may have been yielded
            before.
    """
    head = _head(path)
    if is_picture(path):
        yield 0, _turned(_sized(_picture(path), remark), turn_untagged)
        return
    _check_name(path, head, remark)
    with _opened(path) as video:
        turn = turn_untagged
        tag = round(video.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
        if tag:
            remark(f"tagged as rotated by {tag} degrees: turned upright")
            turn = 0
        yield from _taken(video, rule, remark, turn, part)


def _taken(
    video: Any, rule: FrameRule, remark: Remark, turn: int, part: tuple[int, int] | None
) -> Iterator[tuple[int, Frame]]:
    promised = round(video.get(cv2.CAP_PROP_FRAME_COUNT))
    if promised <= 0:
        raise UnreadableError("the number of its frames is not known")
    first, end = (0, promised) if part is None else (part[0], min(part[1], promised))
    wanted = {first + number for number in rule.takes(max(end - first, 0))}
    if not wanted:
        raise UnreadableError(f"it has {promised} frames, none of them from {first} on")
    if rule.count is not None and len(wanted) < rule.count:
        remark(f"only {len(wanted)} frame{'s' if len(wanted) > 1 else ''}, {rule.count} were asked for")
    number, remarked = 0, False
    while number < promised and video.grab():
        if number in wanted:
            done, image = video.retrieve()
            if not done or image is None:
                raise UnreadableError(f"frame {number} cannot be decoded")
            yield number, _turned(_sized(image, (lambda text: None) if remarked else remark), turn)
            remarked = True
        number += 1
    if not number:
        raise UnreadableError("not one of its frames can be decoded")
    if number < promised * _TRUNCATED or number <= max(wanted):
        raise UnreadableError(f"cut short or damaged: {number} of {promised} frames can be decoded")


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error
    if not head:
        raise UnreadableError("empty: zero bytes")
    return head


def _picture(path: str) -> Frame:
    try:
        image: Any = cv2.imread(path, cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableError("not a picture that can be decoded")
    return np.asarray(image, np.uint8)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    options = (cv2.CAP_PROP_N_THREADS, 1)
    try:
        with _quiet_decoder():
            video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, options)
    except cv2.error as error:
        raise UnreadableError("not a video that can be decoded") from error
    try:
        if not video.isOpened():
            raise UnreadableError("not a video: no video stream can be decoded from it")
        yield video
    finally:
        video.release()


@contextlib.contextmanager
def _quiet_decoder() -> Iterator[None]:
    """Keep what FFmpeg writes to the error stream about a broken file away; the reason is reported instead."""
    name = "OPENCV_FFMPEG_LOGLEVEL"
    saved = os.environ.get(name)
    os.environ[name] = saved or "-8"
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
        if saved is None:
            os.environ.pop(name, None)


def _check_name(path: str, head: bytes, remark: Remark) -> None:
    """Remark where the content is of another kind than the name says."""
    kind = _kind(head)
    ending = os.path.splitext(path)[1].lower()
    if kind is not None and ending not in _CONTAINERS[kind]:
        remark(f"the name ends in {ending or 'nothing'}, the content is {kind}")


def _kind(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "MP4 or MOV"
    return "Matroska or WebM" if head[:4] == b"\x1a\x45\xdf\xa3" else None


def _sized(image: Frame, remark: Remark) -> Frame:
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableError(f"{width}x{height} pixels: too small for a face")
    if max(height, width) > LARGE_SIDE:
        remark(f"{width}x{height} pixels: larger than usual, and slow to decode")
    return image


def _turned(image: Frame, degrees: int) -> Frame:
    return np.asarray(cv2.rotate(image, _TURNS[degrees]), np.uint8) if degrees else image


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
