"""Frames of a video or picture file: which ones are taken, and in what state the file is.

Files are read from beginning to end and frames are counted, never sought: seeking is inexact in many codecs, and what a
header says of rate, duration and samples is no count. What it promises is tried first; where another number of frames
can be decoded, the file is read again with that number. One frame is in memory at a time.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np

from fasray.errors import SpecError
from fasray.faces.detection import Frame
from fasray.faces.extraction import containers, stills
from fasray.faces.media import PICTURES, UNSUPPORTED, VIDEOS, named_as_picture

SMALLEST_SIDE = 16
"""Pixels; a picture with a shorter side shows no face."""
LARGE_SIDE = 2560
"""Pixels; a frame with a longer side is remarked upon."""
_TRUNCATED = 0.95
"""A damaged file of which less than this fraction of the frames can be decoded is refused as cut short."""
_MOST_FRAMES = 10**8
"""A header that promises more, or less than one, promises nothing."""
_RETRIES = 32
"""How often the decoder is asked for one more frame after it gave none: a broken packet is an error, the end is not."""

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}

T = TypeVar("T")
Share = tuple[int, int]
"""(which, of how many): of the frames that a rule takes every ``of``-th, from number ``which`` on."""


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

    def takes_of_part(self, total: int, part: tuple[int, int] | None) -> frozenset[int] | range:
        """Return the frame numbers that are taken of a video of ``total`` frames, or of a part of it.

        Spaced frames do not depend on ``total``: they go on as far as the part or the video does.
        """
        first, end = part or (0, sys.maxsize)
        if self.every is not None:
            return range(first, end, self.every)
        return frozenset(first + number for number in self.takes(max(min(end, total) - first, 0)))


class UnreadableError(Exception):
    """Nothing can be taken from this file; the text is the reason."""


Remark = Callable[[str], None]


def is_picture(path: str) -> bool:
    """Return whether, by its content, a file is a single picture (of a kind that can be read or not)."""
    with contextlib.suppress(UnreadableError):
        return stills.kind_of_picture(path, _head(path)) is not None
    return named_as_picture(path)


def frames(
    path: str, rule: FrameRule, remark: Remark, *, turn_untagged: int = 0, part: tuple[int, int] | None = None
) -> list[tuple[int, Frame]]:
    """Return what ``map_frames`` does with the frames themselves: all of them are in memory together."""
    return map_frames(path, rule, remark, lambda frame: frame, turn_untagged=turn_untagged, part=part)


def map_frames(
    path: str,
    rule: FrameRule,
    remark: Remark,
    use: Callable[[Frame], T],
    *,
    turn_untagged: int = 0,
    part: tuple[int, int] | None = None,
    share: Share = (0, 1),
) -> list[tuple[int, T]]:
    """Return (number in the file, what ``use`` makes of the upright BGR frame) of the frames that the rule takes.

    A rotation tag of a container or picture is honoured. Frames are numbered as they are decoded: those that an edit
    list hides do not count.

    Args:
        path: local video or picture file.
        rule: what is taken.
        remark: called with what is unusual about a file that can still be used.
        use: called with one frame after the other; again from the first on where a header promised another number of
            frames than there are.
        turn_untagged: degrees clockwise (0, 90, 180, 270) that bring a file without a rotation tag upright.
        part: first and one past the last frame that may be taken; None: all.
        share: of a video, which of these frames are used; remarks and errors are those of the whole.

    Raises:
        UnreadableError: the file is empty, neither video nor picture, cut short, too small or damaged.
    """
    head = _head(path)
    if stills.kind_of_picture(path, head) is not None:
        return [(0, use(picture(path, remark, turn_untagged)))]
    kind = containers.container(head)
    _check_name(path, kind, remark)
    if kind == "GIF":
        if containers.ends_inside_packet(path):
            raise UnreadableError("cut short: the file ends before its trailer")
        remark("a GIF has 256 colours at most, and what it lost is part of what is learnt")
    with _as_decodable(path) as file:
        return _of_video(file, rule, remark, use, turn_untagged, part, share)


def picture(path: str, remark: Remark, turn_untagged: int = 0) -> Frame:
    """Return the upright BGR picture in a file; arguments and errors as in ``map_frames``."""
    kind = stills.kind_of_picture(path, _head(path))
    if kind is None:
        raise UnreadableError("not a picture")
    _check_name(path, kind, remark)
    return sized(_picture(path, kind, turn_untagged, remark), remark)


def too_few(count: int, asked: int) -> str:
    """Return the remark on a video of fewer frames than were asked for."""
    return f"only {count} frame{'s' if count > 1 else ''}, {asked} were asked for"


def _of_video(
    path: str,
    rule: FrameRule,
    remark: Remark,
    use: Callable[[Frame], T],
    turn: int,
    part: tuple[int, int] | None,
    share: Share,
) -> list[tuple[int, T]]:
    total = None
    while True:
        with _opened(path) as video:
            reading = _Reading(path, video, turn)
            total = total or reading.promised or _count(path)
            wanted = rule.takes_of_part(total, part)
            used, count = [], 0
            for number, frame in reading.frames(wanted):
                if count % share[1] == share[0]:
                    used.append((number, use(frame)))
                count += 1
        if rule.takes_of_part(reading.decoded, part) == wanted or total == reading.decoded:
            break
        total = reading.decoded
    if not count:
        first = part[0] if part else 0
        raise UnreadableError(f"it has {reading.decoded} frames, none of them from {first} on")
    if reading.tag:
        remark(f"tagged as rotated by {reading.tag} degrees: turned upright")
    if rule.count is not None and count < rule.count:
        remark(too_few(count, rule.count))
    for text in reading.remarks:
        remark(text)
    return used


class _Reading:
    """One pass over an opened video.

    Attributes:
        promised: frames by the header; 0 if it does not say.
        tag: degrees by which the container says that it is turned; the decoder has turned it upright.
        decoded: frames up to the end or the first error, after ``frames`` has ended.
        remarks: what is unusual, after ``frames`` has ended.
    """

    def __init__(self, path: str, video: Any, turn_untagged: int) -> None:
        self._path, self._video = path, video
        count = video.get(cv2.CAP_PROP_FRAME_COUNT)
        self.promised = round(count) if 0.5 < count < _MOST_FRAMES else 0
        self.tag = round(video.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
        self._turn = 0 if self.tag else turn_untagged
        self.decoded = 0
        self.remarks: list[str] = []

    def frames(self, wanted: frozenset[int] | range) -> Iterator[tuple[int, Frame]]:
        """Yield the wanted frames, read the rest, and refuse a file that is cut short or damaged (UnreadableError)."""
        while self._video.grab():
            if self.decoded in wanted:
                done, image = self._video.retrieve()
                if not done or image is None:
                    raise UnreadableError(f"frame {self.decoded} cannot be decoded")
                yield self.decoded, turned(sized(image, self._remark_once), self._turn)
            self.decoded += 1
        self._check_end()

    def _remark_once(self, text: str) -> None:
        if not self.remarks:
            self.remarks.append(text)

    def _check_end(self) -> None:
        """Tell the end of the video from an error of the decoder and from the end of a file that was cut."""
        after_error = _decodable(self._video)
        if not self.decoded and not after_error:
            code = round(self._video.get(cv2.CAP_PROP_FOURCC))
            codec = "".join(map(chr, code.to_bytes(4, "little"))).strip() if 0 < code < 1 << 32 else ""
            named = f" (codec {codec})" if codec.isascii() and codec.isprintable() and codec else ""
            remedy = ": this OpenCV has no decoder of AV1, convert it to H.264" if codec.upper() == "AV01" else ""
            raise UnreadableError(f"not one of its frames can be decoded{named}{remedy}")
        if after_error:
            why = "the decoder meets an error"
        elif self.decoded != self.promised and containers.ends_inside_packet(self._path):
            why = "the file ends inside a packet"
        else:
            return
        whole = max(self.promised, self.decoded + after_error)
        if not self.promised or self.decoded < whole * _TRUNCATED:
            raise UnreadableError(f"cut short or damaged: {self.decoded} frames can be decoded, then {why}")
        self.remarks.append(f"damaged at its end: {self.decoded} of {whole} frames can be decoded, then {why}")


def _count(path: str) -> int:
    """Return how many frames can be decoded up to the end or the first error."""
    with _opened(path) as video:
        count = 0
        while video.grab():
            count += 1
    return count


def _decodable(video: Any) -> int:
    """Return how many more frames a decoder gives that has just failed to give one."""
    count = failed = 0
    while failed < _RETRIES:
        if video.grab():
            count, failed = count + 1, 0
        else:
            failed += 1
    return count


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error
    if not head:
        raise UnreadableError("empty: zero bytes")
    return head


def _picture(path: str, kind: str, turn_untagged: int, remark: Remark) -> Frame:
    if kind == "HEIC" and stills.heic_reader() is None:
        raise UnreadableError(
            "HEIC pictures are not supported: convert it to JPEG or PNG, or run: pip install 'fasray[heic]'"
        )
    if kind in UNSUPPORTED and kind != "HEIC":
        raise UnreadableError(f"{kind} pictures are not supported: convert it to JPEG or PNG")
    with open(path, "rb") as file, _quiet_decoder():
        data = file.read()
        decoded = stills.decode_picture(data, kind, remark)
    if decoded is None:
        raise UnreadableError(stills.why_not(data))
    image, tagged = decoded
    return image if tagged else turned(image, turn_untagged)


@contextlib.contextmanager
def _as_decodable(path: str) -> Iterator[str]:
    """Give an absolute path, which FFmpeg takes for no protocol, and where the name is not UTF-8, a link to it."""
    path = os.path.abspath(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory(prefix="fasray-") as folder:
            link = os.path.join(folder, "video" + os.path.splitext(path)[1].encode(errors="ignore").decode())
            os.symlink(path, link)
            yield link
    else:
        yield path


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
            if containers.ends_inside_packet(path):
                raise UnreadableError("cut short: the file ends inside a packet, before its list of frames")
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


def _check_name(path: str, kind: str | None, remark: Remark) -> None:
    """Remark where the content is of another kind than the name says."""
    ending = os.path.splitext(path)[1].lower()
    endings = (VIDEOS | PICTURES | UNSUPPORTED).get(kind or "", (ending,))
    if ending not in endings:
        remark(f"the name ends in {ending or 'nothing'}, the content is {kind}")


def sized(image: Frame, remark: Remark) -> Frame:
    """Return a picture that is large enough for a face (UnreadableError: it is not)."""
    height, width = image.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise UnreadableError(f"{width}x{height} pixels: too small for a face")
    if max(height, width) > LARGE_SIDE:
        remark(f"{width}x{height} pixels: larger than usual, and slow to decode")
    return image


def turned(image: Frame, degrees: int) -> Frame:
    """Return a picture turned clockwise by 0, 90, 180 or 270 degrees."""
    return np.asarray(cv2.rotate(image, _TURNS[degrees]), np.uint8) if degrees else image


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
