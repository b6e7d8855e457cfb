"""Write a mimic: videos of the chosen subjects in parallel processes, under the official names, and the note first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fasray import storage
from fasray.errors import DataError
from fasray.faces.corpora import SourceVideo
from fasray.faces.corpora.frame_folders import FrameCorpus
from fasray.faces.corpora.generated import NOTE_NAME, note_text
from fasray.faces.mimics.settings import GENERATOR, MimicSettings
from fasray.faces.mimics.studio import Frame, draw_subject, shoot
from fasray.faces.process_pool import map_in_processes, worker_count
from fasray.names import is_utf8, printable

FRAMES_PER_SECOND = 10.0
_CODECS = {".avi": "MJPG", ".mov": "jpeg", ".mp4": "mp4v"}
"""Motion JPEG under the names that the containers have for it, and MPEG-4: what OpenCV's FFmpeg can write."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Mimic:
    """What was written."""

    subjects: int
    videos: int
    frames: int


def write(
    out: str, settings: MimicSettings, *, processes: int | None = None, progress: Progress | None = None
) -> Mimic:
    """Write the videos of a mimic into ``out``: equal settings give equal files from any number of processes.

    Args:
        out: local folder, empty or not there yet.
        settings: see MimicSettings.
        processes: worker processes (started afresh, not forked); None = one per available core; 1 = this process.
        progress: called with (videos done, videos in all).

    Raises:
        SpecError: ``processes`` is below 1.
        DataError: ``out`` is not local, not empty or not UTF-8, or cannot be written to.
    """
    workers = worker_count(processes)
    if storage.is_remote(out):
        raise DataError("videos are written to a local folder only", where=out, remedy="name a folder of this machine")
    root = storage.local_path(out)
    if not is_utf8(str(root)):
        raise DataError("the name of this folder is not UTF-8", where=printable(out), remedy="name another folder")
    videos = settings.videos()
    subjects = sorted({video.subject for video in videos})
    try:
        if root.is_dir() and any(root.iterdir()):
            raise DataError("the folder is not empty", where=out, remedy="name a new folder, or delete this one first")
        root.mkdir(parents=True, exist_ok=True)
        (root / NOTE_NAME).write_text(note_text(settings.adapter.title, subjects, _how(settings)), encoding="utf-8")
        for path, text in settings.adapter.papers(videos).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write here: {error.strerror}", where=out, remedy="name a local folder") from error
    done = 0
    for count in map_in_processes(_write_sitting, [(out, settings, group) for group in _sittings(videos)], workers):
        done += count
        if progress is not None:
            progress(done, len(videos))
    frames = 1 if settings.adapter.kind == "image" else settings.frames
    return Mimic(len(subjects), len(videos), len(videos) * frames)


def write_video(out: str, settings: MimicSettings, video: SourceVideo) -> None:
    """Write one of a mimic's videos, with its companions, into the folder ``out``; see ``write``."""
    _write_sitting((out, settings, (video,)))


def _sittings(videos: tuple[SourceVideo, ...]) -> list[tuple[SourceVideo, ...]]:
    """Group videos by subject and session: they share a head."""
    groups: dict[tuple[str, str], list[SourceVideo]] = {}
    for video in videos:
        groups.setdefault((video.subject, video.session), []).append(video)
    return [tuple(group) for group in groups.values()]


def _write_sitting(job: tuple[str, MimicSettings, tuple[SourceVideo, ...]]) -> int:
    out, settings, videos = job
    who = draw_subject(settings, videos[0].subject, videos[0].session)
    for video in videos:
        _encode(storage.local_path(out), settings, video, shoot(settings, video, who))
    return len(videos)


def _encode(root: Path, settings: MimicSettings, video: SourceVideo, frames: Iterator[Frame]) -> None:
    path = root / video.path
    if path.suffix in _CODECS:
        _write_video(root, settings, video, frames)
    elif isinstance(settings.adapter, FrameCorpus):
        for number, frame in enumerate(frames):
            _write_picture(path / settings.adapter.frame_name(video, number), frame)
    else:
        _write_picture(path, next(frames))


def _write_picture(path: Path, frame: Frame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(frame.picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise DataError("the picture cannot be written", where=str(path), remedy="report this: it is a fault of fasray")
    path.write_bytes(data.tobytes())


def _write_video(root: Path, settings: MimicSettings, video: SourceVideo, frames: Iterator[Frame]) -> None:
    path = root / video.path
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter.fourcc(*_CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, FRAMES_PER_SECOND, settings.size)
    if not writer.isOpened():
        raise DataError("the video cannot be written", where=str(path), remedy="check the folder and the disk's space")
    eyes = []
    for frame in frames:
        picture = cv2.cvtColor(frame.picture, cv2.COLOR_RGB2BGR)
        writer.write(picture if video.rotate_untagged == 0 else np.ascontiguousarray(picture[::-1, ::-1]))
        eyes.append(frame.eyes)
    writer.release()
    for companion in video.companions:
        lines = [
            ",".join(str(round(float(value))) for value in (number, *positions.ravel()))
            for number, positions in enumerate(eyes)
        ]
        (root / companion).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _how(settings: MimicSettings) -> str:
    width, height = settings.size
    return (
        f"{GENERATOR}, as {settings.corpus}, {settings.subjects} subjects, {settings.frames} frames a video of"
        f" {width}x{height} pixels, seed {settings.seed}, dial {settings.dial:g}"
    )
