"""Whatever headers say, the frames that are taken are those of a decoder that reads from beginning to end."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from edited_clips import CODECS, EDITS, FRAMES, no_duration, short_duration, trimmed, variable_rate, write_clip

from fasray.faces.extraction.frames import FrameRule, UnreadableError, frames

CASES = [(ending, codec) for ending, codecs in CODECS.items() for codec in codecs.split()]
BROADCAST_RATES = (25, 50)
"""MPEG-1, MPEG-2 and MXF know few; the others take any."""


def brute_force(path: Path) -> list[np.ndarray]:
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, (cv2.CAP_PROP_N_THREADS, 1))
    pictures: list[np.ndarray] = []
    while True:
        done, picture = video.read()
        if not done:
            return pictures
        pictures.append(picture)


def assert_as_decoded(path: Path, least: int = FRAMES) -> None:
    every = brute_force(path)
    assert len(every) >= least, "the clip is a good one"
    for rule, part in (
        (FrameRule(count=7), None),
        (FrameRule(count=500), None),
        (FrameRule(every=4), None),
        (FrameRule(count=3), (2, 11)),
        (FrameRule(every=2), (5, 1000)),
    ):
        remarks: list[str] = []
        taken = frames(str(path), rule, remarks.append, part=part)
        first, end = part or (0, len(every))
        wanted = [first + number for number in rule.takes(min(end, len(every)) - first)]
        assert [number for number, _ in taken] == wanted, (path.name, rule, part)
        assert all(np.array_equal(picture, every[number]) for number, picture in taken)
        assert all(remark.startswith("only") for remark in remarks), remarks


def test_a_phone_s_and_a_browser_s_clip_give_all_that_can_be_decoded(tmp_path: Path) -> None:
    for name, codec, edit, least in (
        ("slow_light.mkv", "MPG2", variable_rate, FRAMES),
        ("slow_light.webm", "VP80", variable_rate, FRAMES),
        ("browser.webm", "VP80", no_duration, FRAMES),
        ("too_short.webm", "VP80", short_duration, FRAMES),
        ("trimmed.mp4", "mp4v", trimmed, FRAMES // 2 - 1),
    ):
        path = write_clip(tmp_path / name, codec)
        path.write_bytes(edit(path.read_bytes()))
        assert_as_decoded(path, least)
    assert len(brute_force(path)) < FRAMES, "the edit list hides frames"


@pytest.mark.parametrize(("ending", "codec"), [(".webm", "VP80"), (".mkv", "MJPG"), (".avi", "MJPG"), (".flv", "FLV1")])
def test_a_file_that_ends_inside_a_packet_is_cut_short(tmp_path: Path, ending: str, codec: str) -> None:
    path = write_clip(tmp_path / f"cut{ending}", codec)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert brute_force(path), "a part can be decoded"
    with pytest.raises(UnreadableError, match=r"cut short or damaged: \d+ frames can be decoded, then "):
        frames(str(path), FrameRule(count=3), lambda remark: None)


def test_what_follows_the_last_packet_is_no_cut(tmp_path: Path) -> None:
    for name, codec, edit in (
        ("a.mp4", "mp4v", trimmed),
        ("a.webm", "VP80", no_duration),
        ("a.mkv", "MJPG", variable_rate),
    ):
        path = write_clip(tmp_path / name, codec)
        whole = edit(path.read_bytes())
        for rest in (b"TAG" + bytes(125), b"\xff" * 200, np.random.default_rng(1).bytes(300)):
            path.write_bytes(whole + rest)
            assert_as_decoded(path, FRAMES // 2 - 1)


def test_an_error_of_the_decoder_is_no_end(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "noise.avi", "MJPG")
    clip = bytearray(path.read_bytes())
    middle = clip.index(b"\xff\xd8\xff", len(clip) // 2)
    clip[middle : middle + 400] = bytes(400)
    path.write_bytes(clip)
    with pytest.raises(UnreadableError, match="frames can be decoded, then the decoder meets an error"):
        frames(str(path), FrameRule(count=3), lambda remark: None)


def test_what_is_lost_at_the_very_end_is_remarked_upon(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "tail.avi", "MJPG")
    clip = path.read_bytes()
    path.write_bytes(clip[: clip.rindex(b"\xff\xd8\xff") + 20])
    remarks: list[str] = []
    taken = frames(str(path), FrameRule(every=1), remarks.append)
    assert len(taken) == FRAMES - 1
    assert remarks == ["damaged at its end: 29 of 30 frames can be decoded, then the file ends inside a packet"]


@pytest.mark.slow
def test_200_clips_of_all_containers_codecs_rates_and_edits_give_the_frames_of_a_brute_force_decode(
    tmp_path: Path,
) -> None:
    clips = 0
    for ending, codec in CASES:
        for rate in BROADCAST_RATES if codec.startswith("MPG") else (25, 30000 / 1001, 7, 120):
            path = write_clip(tmp_path / f"clip{ending}", codec, rate)
            assert_as_decoded(path)
            clips += 1
        for edit in EDITS.get(ending, ()):
            path = write_clip(tmp_path / f"clip{ending}", codec)
            path.write_bytes(edit(path.read_bytes()))
            assert_as_decoded(path, 1)
            clips += 1
    assert clips >= 200
