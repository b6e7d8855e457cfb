"""Containers of videos: which one a file is, decided by its first bytes, and whether the file ends inside a packet.

Nothing is decoded, and lengths in headers are believed only as far as they lead from one element to the next.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import BinaryIO

_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_SEGMENT, _CLUSTER, _BLOCK_GROUP, _SIMPLE_BLOCK = 0x18538067, 0x1F43B675, 0xA0, 0xA3
_PADDING = 512
"""Zero bytes that some writers put after the trailer of a GIF, at most."""
_AVI_PACKET = re.compile(rb"\d\d(dc|db|wb|tx|pc)")


def container(head: bytes) -> str | None:
    """Return the container (a key of ``media.VIDEOS``) of a file with these first bytes, if it is known."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[4:8] in _ATOMS:
        return "MP4 or MOV"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "Matroska or WebM"
    if head[:4] == b"GIF8":
        return "GIF"
    return "FLV" if head[:4] == b"FLV\x01" else None


def ends_inside_packet(path: str) -> bool:
    """Return whether a packet of a file reaches beyond its end, as after a copy that was interrupted.

    False for containers that are not known here, and from bytes on that are no element of the container: there the
    decoder is all that can say.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        kind = container(file.read(12))
        if kind == "GIF":
            file.seek(max(0, size - _PADDING))
            return not file.read().rstrip(b"\0").endswith(b";")
        step = _STEPS.get(kind or "")
        at, packet = _FLV_HEADER if kind == "FLV" else 0, False
        while step is not None and at < size:
            file.seek(at)
            length, packet = step(file)
            if not length:
                return False
            at += length
    return packet and at - _TRAILERS.get(kind or "", 0) > size


def _mp4_box(file: BinaryIO) -> tuple[int, bool]:
    """Return the length of the element at the file's place, and whether it holds media; length 0: no element."""
    head = file.read(16)
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        length = int.from_bytes(head[8:16], "big")
    return length if length >= 8 else 0, head[4:8] in (b"mdat", b"moof", b"moov")


def _avi_chunk(file: BinaryIO) -> tuple[int, bool]:
    """Return what ``_mp4_box`` does; of a list, the length of its header, for its chunks are next."""
    head = file.read(8)
    if head[:4] in (b"RIFF", b"LIST"):
        return 12, False
    length = int.from_bytes(head[4:8], "little")
    known = len(head) == 8 and head[:4].strip(b"\0")
    return 8 + length + length % 2 if known else 0, _AVI_PACKET.fullmatch(head[:4]) is not None


def _matroska_element(file: BinaryIO) -> tuple[int, bool]:
    """Return what ``_mp4_box`` does; of a segment or cluster, the length of its header, for its elements are next."""
    head = file.read(12)
    id_bytes = _vint_length(head[0])
    if id_bytes > 4:
        return 0, False
    length_bytes = _vint_length(head[id_bytes]) if len(head) > id_bytes else 0
    name = int.from_bytes(head[:id_bytes], "big")
    start = id_bytes + length_bytes
    if name in (_SEGMENT, _CLUSTER) or not length_bytes or length_bytes > 8:
        return start if 0 < length_bytes <= 8 else 0, False
    content = int.from_bytes(head[id_bytes:start], "big") & ((1 << 7 * length_bytes) - 1)
    return start + content, name in (_BLOCK_GROUP, _SIMPLE_BLOCK)


def _vint_length(first: int) -> int:
    return 9 - first.bit_length()


def _flv_tag(file: BinaryIO) -> tuple[int, bool]:
    head = file.read(4)
    return 11 + int.from_bytes(head[1:4], "big") + 4, head[0] in (8, 9, 18)


_FLV_HEADER = 13
_TRAILERS = {"AVI": 1, "FLV": 4}
"""Bytes after the last packet that some writers leave out."""
_STEPS: dict[str, Callable[[BinaryIO], tuple[int, bool]]] = {
    "AVI": _avi_chunk,
    "MP4 or MOV": _mp4_box,
    "Matroska or WebM": _matroska_element,
    "FLV": _flv_tag,
}
