"""Videos whose frames are picture files: a folder of them, or those that a corpus lists."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from fasray.faces.corpora import SourceVideo
from fasray.faces.detection import Frame
from fasray.faces.extraction.frames import FrameRule, Remark, UnreadableError, picture, too_few
from fasray.faces.media import named_as_picture
from fasray.names import by_number

T = TypeVar("T")


def picture_files(root: str, video: SourceVideo) -> tuple[str, ...]:
    """Return the files of a video's frames in order, relative to ``root``; none if the video is one file.

    Those of a folder are in the order of their names, numbers in them by value; what is no picture by its name is
    skipped.
    """
    if video.pictures:
        return video.pictures
    folder = os.path.join(root, video.path)
    if not os.path.isdir(folder):
        return ()
    names = [name for name in os.listdir(folder) if named_as_picture(name) and not name.startswith(".")]
    return tuple(f"{video.path}/{name}" for name in sorted(names, key=by_number))


def map_pictures(
    paths: Sequence[str],
    rule: FrameRule,
    remark: Remark,
    use: Callable[[Frame], T],
    *,
    turn_untagged: int = 0,
    part: tuple[int, int] | None = None,
) -> list[tuple[int, T]]:
    """Return what ``frames.map_frames`` does for frames that are files, numbered from 0 in their order.

    A file that cannot be used is remarked upon and left out.

    Raises:
        UnreadableError: no frame was taken, or none of them can be used.
    """
    wanted = rule.takes_of_part(len(paths), part)
    taken, remarks, broken = [], dict[str, None](), []
    count = 0
    for number, path in enumerate(paths):
        if number not in wanted:
            continue
        count += 1
        try:
            taken.append((number, use(picture(path, remarks.setdefault, turn_untagged))))
        except UnreadableError as error:
            broken.append(f"{os.path.basename(path)}: {error}")
    if not taken:
        raise UnreadableError(broken[0] if broken else f"it has {len(paths)} frames, and none of them is taken")
    if rule.count is not None and count < rule.count:
        remark(too_few(count, rule.count))
    for text in (*remarks, *broken):
        remark(text)
    return taken
