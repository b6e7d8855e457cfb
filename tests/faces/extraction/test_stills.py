"""Single pictures: upright once, whole or refused, and told by what they hold."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from videos import write_video

from fasray.faces.extraction.frames import FrameRule, UnreadableError, frames, is_picture

RULE = FrameRule(count=4)
UPRIGHT = np.zeros((40, 64, 3), np.uint8)
UPRIGHT[:20, :32], UPRIGHT[20:, 32:], UPRIGHT[:20, 32:] = (10, 10, 250), (10, 250, 10), (200, 0, 0)
"""BGR; no turn or mirror image of it is like it."""
TURNS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, 1),
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: np.rot90(image, -1),
}
"""EXIF orientation -> how a camera of that orientation stores the upright picture."""


def read(path: Path, **more) -> tuple[np.ndarray, list[str]]:
    remarks: list[str] = []
    ((number, picture),) = frames(str(path), RULE, remarks.append, **more)
    assert number == 0
    return picture, remarks


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".avif"])
def test_a_tag_wins_over_rotate_with_a_remark(tmp_path: Path, ending: str) -> None:
    for tag, stored in TURNS.items():
        path = tmp_path / f"tagged-{tag}{ending}"
        exif = Image.Exif()
        exif[274] = tag
        tagged = {"tiffinfo": {274: tag}} if ending == ".tif" else {"exif": exif.tobytes(), "quality": 95}
        Image.fromarray(np.ascontiguousarray(stored(UPRIGHT)[..., ::-1])).save(path, **tagged)
        for rotate in (0, 90) if tag > 1 else (0,):
            picture, remarks = read(path, turn_untagged=rotate)
            assert picture.shape == UPRIGHT.shape, tag
            assert np.median(np.abs(picture.astype(int) - UPRIGHT)) <= 8, tag
            assert [remark[:9] for remark in remarks] == ["tagged as"] * (tag > 1)


def test_an_untagged_picture_is_turned_as_asked(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), np.rot90(UPRIGHT, 1))
    assert np.array_equal(read(tmp_path / "face.png", turn_untagged=90)[0], UPRIGHT)


def test_the_content_tells_a_picture_from_a_video(tmp_path: Path) -> None:
    for written, named in ((".jpg", "download.jfif"), (".jp2", "scan.jp2"), (".avif", "photo.avif"), (".png", "face")):
        cv2.imwrite(str(tmp_path / f"made{written}"), UPRIGHT)
        (tmp_path / f"made{written}").rename(tmp_path / named)
        picture, remarks = read(tmp_path / named)
        assert picture.shape == UPRIGHT.shape
        assert is_picture(str(tmp_path / named))
        assert remarks == (["the name ends in nothing, the content is PNG"] if named == "face" else [])
    (tmp_path / "face").rename(tmp_path / "face.mp4")
    assert read(tmp_path / "face.mp4")[1] == ["the name ends in .mp4, the content is PNG"]
    clip = write_video(tmp_path / "clip.avi").rename(tmp_path / "clip.jpg")
    noted: list[str] = []
    assert len(frames(str(clip), RULE, noted.append)) == 4
    assert noted == ["the name ends in .jpg, the content is AVI"]
    assert not is_picture(str(clip))


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("renamed.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        ("burst.mp4", b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc", "HEIC"),
        ("new.jxl", b"\xff\x0a", "JPEG XL"),
        ("camera.dng", b"II*\0", "raw camera"),
        ("scan.pdf", b"%PDF-1.7", "PDF"),
    ],
)
def test_a_kind_that_is_not_shown_whole_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, head: bytes, kind: str
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as where it is not installed
    (tmp_path / name).write_bytes(head + bytes(200))
    with pytest.raises(UnreadableError, match=f"{kind} pictures are not supported: convert it to JPEG or PNG"):
        read(tmp_path / name)


def test_heic_is_read_whole_where_its_reader_is_installed(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    large = np.ascontiguousarray(np.kron(UPRIGHT, np.ones((4, 4, 1), np.uint8)))
    for tag in (1, 6, 3, 8):
        exif = Image.Exif()
        exif[274] = tag
        path = tmp_path / f"phone-{tag}.heic"
        picture = pillow_heif.from_pillow(Image.fromarray(np.ascontiguousarray(TURNS[tag](large)[..., ::-1])))
        picture.save(path, quality=95, exif=exif.tobytes())
        found, remarks = read(path, turn_untagged=90 if tag > 1 else 0)
        assert found.shape == large.shape
        assert np.median(np.abs(found.astype(int) - large)) <= 8
        degrees = {1: [], 6: [90], 3: [180], 8: [270]}[tag]
        assert remarks == [f"tagged as rotated by {one} degrees: turned upright" for one in degrees]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableError, match="not a picture that can be decoded"):
        read(path)


def test_names_that_a_decoder_takes_for_something_else_are_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip = write_video(tmp_path / "clip.mp4")
    expected = [number for number, _ in frames(str(clip), RULE, print)]
    for name in ("12:30.mp4", "http:clip.mp4", "caf\udce9.mp4", "caf\udce9%03d.mp4", "a|b?.mp4"):
        clip = clip.rename(tmp_path / name)
        assert [number for number, _ in frames(name, RULE, print)] == expected
