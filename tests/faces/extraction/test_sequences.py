"""A video whose frames are files gives what a video gives, and says which of them are broken."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import number_of

from fasray.faces.corpora import SourceVideo
from fasray.faces.extraction.frames import FrameRule, UnreadableError
from fasray.faces.extraction.sequences import map_pictures, picture_files

VIDEO = SourceVideo("clip", "live", "", "lab", "lab-ann", "lab/clip", "", "", "train")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Twelve frames, 0.png to 11.png, with the number as grey level, and what else lies in such folders."""
    (tmp_path / "clip").mkdir()
    for number in range(12):
        cv2.imwrite(str(tmp_path / "clip" / f"{number}.png"), np.full((120, 160, 3), 8 * number, np.uint8))
    for name in ("Thumbs.db", ".hidden.png", "boxes.txt"):
        (tmp_path / "clip" / name).touch()
    return tmp_path


def read(root: Path, video: SourceVideo, rule: FrameRule, **more) -> tuple[list[int], list[int], list[str]]:
    remarks: list[str] = []
    paths = [str(root / file) for file in picture_files(str(root), video)]
    taken = map_pictures(paths, rule, remarks.append, number_of, **more)
    return [number for number, _ in taken], [shown for _, shown in taken], remarks


def test_frames_are_in_the_order_of_their_numbers(clip: Path) -> None:
    assert picture_files(str(clip), VIDEO) == tuple(f"clip/{number}.png" for number in range(12))
    for rule in (FrameRule(count=4), FrameRule(every=5), FrameRule(count=12)):
        numbers, shown, remarks = read(clip, VIDEO, rule)
        assert numbers == shown == rule.takes(12)
        assert remarks == []
    assert read(clip, VIDEO, FrameRule(count=2), part=(4, 8))[0] == [5, 7]


def test_listed_frames_are_those_of_the_list(clip: Path) -> None:
    listed = replace(VIDEO, path="anything", pictures=("clip/7.png", "clip/3.png"))
    numbers, shown, remarks = read(clip, listed, FrameRule(count=4))
    assert (numbers, shown, remarks) == ([0, 1], [7, 3], ["only 2 frames, 4 were asked for"])


def test_a_broken_frame_is_named_and_the_others_are_used(clip: Path) -> None:
    whole = (clip / "clip/5.png").read_bytes()
    (clip / "clip/5.png").write_bytes(whole[: len(whole) // 2])
    (clip / "clip/6.png").write_bytes(b"")
    numbers, _, remarks = read(clip, VIDEO, FrameRule(every=1))
    assert numbers == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert [remark.partition(":")[0] for remark in remarks] == ["5.png", "6.png"]
    for number in range(12):
        (clip / f"clip/{number}.png").write_bytes(b"")
    with pytest.raises(UnreadableError, match="0.png: empty: zero bytes"):
        read(clip, VIDEO, FrameRule(every=1))


def test_a_file_is_no_folder_of_frames(clip: Path) -> None:
    assert picture_files(str(clip), replace(VIDEO, path="clip/3.png")) == ()
