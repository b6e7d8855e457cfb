"""Clips as phones, browsers and editors leave them: OpenCV writes an even one, then its headers are edited."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

FRAMES, SIZE = 30, (96, 64)
CODECS = {
    ".avi": "MJPG mp4v FFV1 HFYU VP80 VP90 FLV1 MPG1 MPG2 WMV2 MP42 MPNG I420 DIV3 ASV1 SNOW",
    ".mp4": "MJPG mp4v FFV1 VP90 MPG1 MPG2 MPNG",
    ".mov": "MJPG mp4v FFV1 HFYU FLV1 MPG2 WMV2 MPNG",
    ".mkv": "MJPG mp4v FFV1 VP80 VP90 FLV1 MPG1 MPG2 WMV2 MPNG I420 SNOW",
    ".webm": "VP80 VP90",
    ".flv": "FLV1 VP90",
    ".ts": "mp4v MPG1 MPG2",
    ".m2ts": "mp4v MPG2",
    ".mpg": "MPG1 MPG2",
    ".vob": "MPG2",
    ".wmv": "WMV1 WMV2 MJPG MPG2",
    ".3gp": "mp4v",
    ".ogv": "VP80",
    ".nut": "MJPG FFV1 MPG1",
    ".mxf": "MPG2",
    ".m4v": "mp4v",
    ".mjpeg": "MJPG",
}
"""What OpenCV's FFmpeg writes and reads again: codecs by the ending that names the container."""


def write_clip(path: Path, codec: str, rate: float = 25, frames: int = FRAMES) -> Path:
    """Write a clip whose frames all differ; its ending decides the container."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, SIZE)
    assert writer.isOpened(), (path, codec)
    for number in range(frames):
        image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
        image[: SIZE[1] // 4] = 220
        image[SIZE[1] // 2 :, : SIZE[0] // 2] = 8 * number
        writer.write(image)
    writer.release()
    return path


def trimmed(mp4: bytes) -> bytes:
    """Hide the first half by an edit list, as a phone cuts without encoding again."""
    timescale, duration = struct.unpack(">II", _box(mp4, b"mdhd")[16:24])
    movie_scale = struct.unpack(">I", _box(mp4, b"mvhd")[16:20])[0]
    kept = struct.pack(">IIIiI", 0, 1, movie_scale * duration // timescale // 2, duration // 2, 1 << 16)
    elst = struct.pack(">I", 8 + len(kept)) + b"elst" + kept
    edts = struct.pack(">I", 8 + len(elst)) + b"edts" + elst
    if b"edts" in mp4:
        at = mp4.index(b"edts") - 4
        old = struct.unpack(">I", mp4[at : at + 4])[0]
    else:
        at, old = mp4.index(b"mdia") - 4, 0
    out = bytearray(mp4[:at] + edts + mp4[at + old :])
    for name in (b"moov", b"trak"):  # the tables are behind the media: no offset moves
        place = out.index(name) - 4
        size = struct.unpack(">I", out[place : place + 4])[0] + len(edts) - old
        out[place : place + 4] = struct.pack(">I", size)
    assert mp4.index(b"mdat") < mp4.index(b"moov")
    return bytes(out)


def _stts_slower(mp4: bytes) -> bytes:
    return _stts(mp4, lambda delta: delta * 4)


def _stts_faster(mp4: bytes) -> bytes:
    return _stts(mp4, lambda delta: max(1, delta // 3))


def _stts(mp4: bytes, change: Callable[[int], int]) -> bytes:
    out = bytearray(mp4)
    at = mp4.index(b"stts") + 12
    for entry in range(struct.unpack(">I", mp4[at - 4 : at])[0]):
        place = at + 8 * entry + 4
        out[place : place + 4] = struct.pack(">I", change(struct.unpack(">I", mp4[place : place + 4])[0]))
    return bytes(out)


def _box(mp4: bytes, name: bytes) -> bytes:
    at = mp4.index(name) - 4
    return mp4[at + 4 :]


def variable_rate(mkv: bytes) -> bytes:
    """Spread the times of the blocks, as of a camera that slows down in dim light; the header's duration follows."""
    out = bytearray(mkv)
    block = re.compile(rb"\xa3(?:[\x80-\xff]|[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f]...)\x81(..)[\x00\x80]", re.DOTALL)
    last = 0
    for match in block.finditer(mkv):
        time = struct.unpack(">h", match[1])[0]
        if time >= last:  # bytes of a picture may look like a block
            last = time
            spread = time if time < 400 else 400 + 4 * (time - 400)
            out[match.start(1) : match.end(1)] = struct.pack(">h", spread)
    return _duration(bytes(out), 3.0)


def _long_duration(mkv: bytes) -> bytes:
    return _duration(mkv, 3.0)


def short_duration(mkv: bytes) -> bytes:
    return _duration(mkv, 1 / 3)


def _duration(mkv: bytes, factor: float) -> bytes:
    at = mkv.index(b"\x44\x89\x88") + 3
    return mkv[:at] + struct.pack(">d", factor * struct.unpack(">d", mkv[at : at + 8])[0]) + mkv[at + 8 :]


def no_duration(mkv: bytes) -> bytes:
    """Void the duration, as a browser's recorder leaves it out."""
    at = mkv.index(b"\x44\x89\x88")
    return mkv[:at] + b"\xec\x89" + bytes(9) + mkv[at + 11 :]


def _low_count(avi: bytes) -> bytes:
    return _stream_header(avi, 32, FRAMES // 3)


def _high_count(avi: bytes) -> bytes:
    return _stream_header(avi, 32, FRAMES * 3)


def _no_count(avi: bytes) -> bytes:
    return _stream_header(avi, 32, 0)


def _other_rate(avi: bytes) -> bytes:
    return _stream_header(avi, 20, 7)


def _stream_header(avi: bytes, field: int, value: int) -> bytes:
    at = avi.index(b"strh") + 8 + field
    return avi[:at] + struct.pack("<I", value) + avi[at + 4 :]


EDITS: dict[str, tuple[Callable[[bytes], bytes], ...]] = {
    ".mp4": (trimmed, _stts_slower, _stts_faster),
    ".mov": (trimmed, _stts_slower, _stts_faster),
    ".mkv": (variable_rate, no_duration, _long_duration, short_duration),
    ".webm": (variable_rate, no_duration, _long_duration, short_duration),
    ".avi": (_low_count, _high_count, _no_count, _other_rate),
}
"""By ending: what may be done to the bytes of a clip that leaves it whole and playable."""
