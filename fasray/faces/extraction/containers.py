"""Containers of videos: which one a file is, told by its first bytes, and whether the file ends inside a packet.

Nothing is decoded, and lengths in headers are believed only as far as they lead from one element to the next.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

ENDINGS = {
    "AVI": (".avi", ".divx"),
    "MP4 or MOV": (".mp4", ".mov", ".m4v", ".3gp", ".qt"),
    "Matroska or WebM": (".mkv", ".webm"),
    "FLV": (".flv", ".f4v"),
}
"""What the names of files of a container end in."""
_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def container(head: bytes) -> str | None:
    """Return the container (a key of ``ENDINGS``) of a file with these first bytes, if it is known."""
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    if head[4:8] in _ATOMS:
        return "MP4 or MOV"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "Matroska or WebM"
    return "FLV" if head[:4] == b"FLV\x01" else None


def ends_inside_packet(path: str) -> bool:
    """Return whether the last element of a file reaches beyond its end, as after a copy that was interrupted.

    False for containers that are not known here: there the decoder is all that can say.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        kind = container(file.read(12))
        step = _STEPS.get(kind or "")
        at = _FLV_HEADER if kind == "FLV" else 0
        while step is not None and at < size:
            file.seek(at)
            length = step(file)
            if not length:
                return False
            at += length
    return at - _TRAILERS.get(kind or "", 0) > size


def _mp4_box(file: BinaryIO) -> int:
    head = file.read(16)
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        length = int.from_bytes(head[8:16], "big")
    return length if length >= 8 else 0  # 0: to the end of the file


def _avi_chunk(file: BinaryIO) -> int:
    """Return the length of a chunk; of a list, that of its header, for its chunks are next."""
    head = file.read(8)
    if head[:4] in (b"RIFF", b"LIST"):
        return 12
    length = int.from_bytes(head[4:8], "little")
    return 8 + length + length % 2 if len(head) == 8 and head[:4].strip(b"\0") else 0


def _matroska_element(file: BinaryIO) -> int:
    """Return the length of an element; of a segment or cluster, that of its header, for its elements are next."""
    head = file.read(12)
    id_bytes = _vint_length(head[0])
    if id_bytes > 4:
        return 0
    length_bytes = _vint_length(head[id_bytes]) if len(head) > id_bytes else 0
    name = int.from_bytes(head[:id_bytes], "big")
    start = id_bytes + length_bytes
    if name in (_SEGMENT, _CLUSTER) or not length_bytes or length_bytes > 8:
        return start if 0 < length_bytes <= 8 else 0
    content = int.from_bytes(head[id_bytes:start], "big") & ((1 << 7 * length_bytes) - 1)
    return start + content


def _vint_length(first: int) -> int:
    return 9 - first.bit_length()


def _flv_tag(file: BinaryIO) -> int:
    head = file.read(4)
    return 11 + int.from_bytes(head[1:4], "big") + 4


_FLV_HEADER = 13
_TRAILERS = {"AVI": 1, "FLV": 4}
"""Bytes after the last packet that some writers leave out."""
_STEPS: dict[str, Callable[[BinaryIO], int]] = {
    "AVI": _avi_chunk,
    "MP4 or MOV": _mp4_box,
    "Matroska or WebM": _matroska_element,
    "FLV": _flv_tag,
}
