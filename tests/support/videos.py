"""Small videos for tests, whole ones and broken ones, written by OpenCV and then damaged byte by byte."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import cv2
import numpy as np

FRAMES = 24
SIZE = (160, 120)
CODECS = {".avi": "MJPG", ".mov": "MJPG", ".mp4": "mp4v"}
BROKEN = {
    "zero bytes": "empty: zero bytes",
    "truncated": "cut short|no video stream",
    "no video stream": "no video stream",
    "text": "no video stream",
    "1x1": "1x1 pixels: too small",
}
"""Kinds that nothing can be taken from, and the reason that is given (a regular expression)."""
ODD = {
    "one frame": "only 1 frame",
    "wrong extension": "the content is",
    "rotated": "tagged as rotated by 180 degrees",
    "4k": "3840x2160 pixels: larger",
}
"""Kinds that are used all the same, and what is remarked."""


def write_video(path: Path, frames: int = FRAMES, size: tuple[int, int] = SIZE, ending: str = "") -> Path:
    """Write a video whose frames are dark below and bright above, with the frame's number as grey level (x 8) left."""
    kind = ending or path.suffix
    made = path.with_name(f"{path.stem}-made{kind}")
    writer = cv2.VideoWriter(str(made), cv2.VideoWriter.fourcc(*CODECS[kind]), 25, size)
    assert writer.isOpened()
    for number in range(frames):
        image = np.full((size[1], size[0], 3), 40, np.uint8)
        image[: size[1] // 4] = 220
        image[size[1] // 2 :, : size[0] // 2] = 8 * number
        writer.write(image)
    writer.release()
    made.replace(path)
    return path


def number_of(frame: np.ndarray) -> int:
    """Return the number that ``write_video`` painted into a frame."""
    height, width = frame.shape[:2]
    return round(float(frame[height * 3 // 4 :, : width // 4].mean()) / 8)


def spoil(path: Path, kind: str) -> Path:
    """Replace the file at ``path`` by one of a kind of BROKEN or ODD; its ending decides the container."""
    if kind == "zero bytes":
        path.write_bytes(b"")
    elif kind == "truncated":
        whole = path.read_bytes() if path.exists() else write_video(path).read_bytes()
        path.write_bytes(whole[: len(whole) * 2 // 5])
    elif kind == "no video stream":
        with wave.open(str(path), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(8000)
            sound.writeframes(bytes(8000))
    elif kind == "text":
        path.write_text("not a video at all\n" * 50)
    elif kind == "1x1":
        made = write_video(path.with_name("tiny.avi"), 3, (1, 1))
        made.replace(path)
    elif kind == "one frame":
        write_video(path, 1)
    elif kind == "wrong extension":
        write_video(path, ending=".avi" if path.suffix != ".avi" else ".mp4")
    elif kind == "4k":
        write_video(path, 3, (3840, 2160))
    elif kind == "rotated":
        made = write_video(path.with_name("tagged.mp4"))
        path.write_bytes(tagged_as_rotated(made.read_bytes()))
        if made != path:
            made.unlink()
    else:
        raise ValueError(kind)
    return path


def tagged_as_rotated(mp4: bytes, degrees: int = 180) -> bytes:
    """Return an MP4 with the display matrix of its track header set to a turn."""
    assert mp4.count(b"tkhd") == 1
    at = mp4.index(b"tkhd") + 44
    one, width, height = 1 << 16, SIZE[0] << 16, SIZE[1] << 16
    matrix = {
        90: (0, one, 0, -one, 0, 0, height, 0, 1 << 30),
        180: (-one, 0, 0, 0, -one, 0, width, height, 1 << 30),
    }[degrees]
    return mp4[:at] + struct.pack(">9i", *matrix) + mp4[at + 36 :]
