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


def test_kinds_of_pixels_become_the_same_colours(tmp_path: Path) -> None:
    rgb = Image.fromarray(np.ascontiguousarray(UPRIGHT[..., ::-1]))
    grey = np.asarray(rgb.convert("L"))
    deep = UPRIGHT.astype(np.uint16) * 257
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    rgb.convert("CMYK").save(tmp_path / "cmyk.tif")
    rgb.quantize(16).save(tmp_path / "palette.png")
    rgb.save(tmp_path / "lzw.tif", compression="tiff_lzw")
    rgb.save(tmp_path / "lossless.webp", lossless=True)
    rgb.save(tmp_path / "plain.bmp")
    for ending in (".png", ".tif"):
        cv2.imwrite(str(tmp_path / f"deep{ending}"), deep)
    for path in tmp_path.iterdir():
        picture, _ = read(path)
        assert np.abs(picture.astype(int) - UPRIGHT).max() <= (2 if path.name.startswith("cmyk") else 0), path.name
    for name in ("grey.png", "grey.jpg", "grey.tif"):
        Image.fromarray(grey).save(tmp_path / name)
    rgb.convert("LA").save(tmp_path / "grey_alpha.png")
    cv2.imwrite(str(tmp_path / "grey_deep.png"), grey.astype(np.uint16) * 257 + 100)
    for path in tmp_path.glob("grey*"):
        picture, _ = read(path)
        assert np.abs(picture.astype(int) - grey[..., None]).max() <= 3, path.name
    rgb.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(read(tmp_path / "bits.png")[0])) == {0, 255}


def test_what_is_transparent_is_black(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha = np.full((40, 64), 255, np.uint8)
    alpha[:20, :32], alpha[20:, :32] = 128, 0
    shown = np.rint(UPRIGHT * (alpha[..., None] / 255)).astype(np.uint8)
    layers = np.dstack([UPRIGHT, alpha])
    picture = Image.fromarray(np.ascontiguousarray(layers[..., [2, 1, 0, 3]]))
    for name in ("a.png", "a.tif", "a.jp2"):
        picture.save(tmp_path / name)
    picture.save(tmp_path / "a.webp", lossless=True, exact=True)
    cv2.imwrite(str(tmp_path / "deep.png"), layers.astype(np.uint16) * 257)
    for most in (10**9, 2000):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)  # Pillow warns of pictures that are larger
        for path in tmp_path.iterdir():
            assert np.abs(read(path)[0].astype(int) - shown).max() <= 1, path.name
    monkeypatch.undo()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.ascontiguousarray(TURNS[6](layers)[..., [2, 1, 0, 3]])).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read(tmp_path / "turned.png")[0], shown)
    picture.quantize(8).save(tmp_path / "palette.png", transparency=0)
    hidden = np.asarray(Image.open(tmp_path / "palette.png").convert("RGBA"))
    found = read(tmp_path / "palette.png")[0]
    assert not found[hidden[..., 3] == 0].any()
    assert np.array_equal(found[hidden[..., 3] == 255], hidden[hidden[..., 3] == 255][:, [2, 1, 0]])


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".gif"])
def test_a_picture_that_is_cut_short_is_refused(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    path = tmp_path / f"cut{ending}"
    Image.fromarray(np.asarray(cv2.resize(noise, (320, 240)))).save(path)
    whole = path.read_bytes()
    for share in (0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableError, match="cut short|not a picture that can be decoded"):
            frames(str(path), RULE, print)
    if ending in (".jpg", ".png"):
        with pytest.raises(UnreadableError, match="cut short: the file ends before the picture does"):
            frames(str(path), RULE, print)


def test_a_gif_is_a_video_with_a_remark(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 40), (8 * number, 0, 0)) for number in range(6)]
    pictures[0].save(tmp_path / "moving.gif", save_all=True, append_images=pictures[1:], duration=40)
    noted: list[str] = []
    found = frames(str(tmp_path / "moving.gif"), FrameRule(every=2), noted.append)
    assert [(number, int(frame[0, 0, 2])) for number, frame in found] == [(0, 0), (2, 16), (4, 32)]
    assert [remark[:20] for remark in noted] == ["a GIF has 256 colour"]
    with (tmp_path / "moving.gif").open("ab") as file:
        file.write(bytes(3))
    assert len(frames(str(tmp_path / "moving.gif"), FrameRule(every=2), noted.append)) == 3, "padded, not cut"


def test_a_floating_point_picture_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "float.tif"), (UPRIGHT / 255).astype(np.float32))
    with pytest.raises(UnreadableError, match="not a picture that can be decoded"):
        read(tmp_path / "float.tif")
