"""Which frames of a file are taken, and what is said of a file that is broken or odd."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from videos import BROKEN, FRAMES, ODD, number_of, spoil, tagged_as_rotated, write_video

from fasray.errors import SpecError
from fasray.faces.extraction.frames import FrameRule, UnreadableError, frames, map_frames

RULE = FrameRule(count=6)


def read(path: Path, rule: FrameRule = RULE, **more) -> tuple[list[int], list[np.ndarray], list[str]]:
    remarks: list[str] = []
    taken = list(frames(str(path), rule, remarks.append, **more))
    return [number for number, _ in taken], [frame for _, frame in taken], remarks


@pytest.mark.parametrize("ending", [".avi", ".mp4", ".mov"])
def test_the_frames_that_are_named_are_the_frames_that_come(tmp_path: Path, ending: str) -> None:
    numbers, pictures, remarks = read(write_video(tmp_path / f"whole{ending}"))
    assert numbers == [2, 6, 10, 14, 18, 22]
    assert [number_of(picture) for picture in pictures] == numbers
    assert remarks == []


@given(st.integers(1, 400), st.integers(1, 60))
def test_evenly_spaced_frames_are_as_many_as_asked_and_leave_equal_gaps(total: int, count: int) -> None:
    numbers = FrameRule(count=count).takes(total)
    assert len(numbers) == min(count, total)
    assert numbers == sorted(set(numbers))
    assert abs(numbers[0] - (total - 1 - numbers[-1])) <= 1, "in the middle"
    gaps = np.diff(numbers)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_every_third_frame(tmp_path: Path) -> None:
    numbers, pictures, _ = read(write_video(tmp_path / "whole.avi"), FrameRule(every=3))
    assert numbers == [number_of(picture) for picture in pictures] == list(range(0, FRAMES, 3))


def test_only_a_part_of_a_video_is_used(tmp_path: Path) -> None:
    numbers, pictures, _ = read(write_video(tmp_path / "whole.avi"), FrameRule(count=2), part=(8, 16))
    assert numbers == [number_of(picture) for picture in pictures] == [10, 14]


@pytest.mark.parametrize("kind", ["whole", "one frame", "rotated", "truncated"])
def test_shares_of_a_video_are_together_the_video_and_say_the_same_of_it(tmp_path: Path, kind: str) -> None:
    path = write_video(tmp_path / "clip.mp4") if kind == "whole" else spoil(tmp_path / "clip.mp4", kind)

    def taken(share: tuple[int, int]) -> tuple[list[int], list[str], str]:
        remarks: list[str] = []
        try:
            found = map_frames(str(path), FrameRule(every=2), remarks.append, number_of, share=share)
        except UnreadableError as error:
            return [], remarks, str(error)
        return [number for number, _ in found], remarks, ""

    numbers, *said = taken((0, 1))
    for of in (2, 3, 16):
        shares = [taken((which, of)) for which in range(of)]
        assert sorted(number for share, *_ in shares for number in share) == numbers
        assert [share[1:] for share in shares] == [tuple(said)] * of


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("ending", [".avi", ".mp4"])
def test_a_broken_file_is_refused_with_its_reason(tmp_path: Path, kind: str, ending: str) -> None:
    with pytest.raises(UnreadableError, match=BROKEN[kind]):
        read(spoil(tmp_path / f"broken{ending}", kind))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be opened: No such file"):
        read(tmp_path / "nothing.avi")


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("ending", [".avi", ".mp4"])
def test_an_odd_file_is_used_and_remarked_upon(tmp_path: Path, kind: str, ending: str) -> None:
    numbers, _, remarks = read(spoil(tmp_path / f"odd{ending}", kind))
    assert numbers
    assert any(ODD[kind] in remark for remark in remarks)


def test_a_rotation_tag_is_honoured_once(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(tagged_as_rotated(whole.read_bytes()))
    _, upright, _ = read(whole)
    _, by_tag, _ = read(turned)
    assert np.array_equal(by_tag[0], upright[0][::-1, ::-1])
    _, tag_first, _ = read(turned, turn_untagged=180)
    assert np.array_equal(tag_first[0], by_tag[0]), "a tagged file is not turned twice"
    _, by_list, _ = read(whole, turn_untagged=180)
    assert np.array_equal(by_list[0], upright[0][::-1, ::-1])


def test_a_quarter_turn_swaps_the_sides(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4")
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(tagged_as_rotated(whole.read_bytes(), 90))
    _, upright, _ = read(whole)
    _, by_tag, remarks = read(turned)
    assert np.array_equal(by_tag[0], cv2.rotate(upright[0], cv2.ROTATE_90_CLOCKWISE))
    assert remarks == ["tagged as rotated by 90 degrees: turned upright"]


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), picture)
    numbers, pictures, remarks = read(tmp_path / "face.png")
    assert (numbers, remarks) == ([0], [])
    assert np.array_equal(pictures[0], picture)
    (tmp_path / "no.png").write_bytes(b"\x89PNG and no more")
    with pytest.raises(UnreadableError, match="not a picture"):
        read(tmp_path / "no.png")


@pytest.mark.parametrize("wrong", [{}, {"count": 3, "every": 2}, {"count": 0}, {"every": -1}])
def test_what_is_no_rule_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(SpecError, match="--frames|--every"):
        FrameRule(**wrong)
