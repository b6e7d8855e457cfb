"""Single pictures: which files are some, decided by their content, and decoding one whole and upright."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fasray.faces.detection import Frame
from fasray.faces.media import PICTURES, UNSUPPORTED

_ANIMATED = {"JPEG": (".mjpeg", ".mjpg"), "PNG": (".apng",)}
"""Names of videos that begin like a picture."""
_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG", "PNG"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"8BPS", "Photoshop"), (b"v/1\x01", "OpenEXR"),
    (b"%PDF", "PDF"), (b"<svg", "SVG"),
)  # fmt: skip
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_ORIENTATION = 274
"""Number of the tag in EXIF and TIFF."""
_CLOCKWISE = {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}
"""Degrees by which a picture of that orientation is turned, after mirroring left and right for 2, 4, 5 and 7."""
_MIRRORED = (2, 4, 5, 7)
_WITH_ALPHA = ("PNG", "WebP", "AVIF", "JPEG 2000")
"""Kinds of whose transparency the decoder gives no account unless it is asked; of TIFF it blends over black itself."""
_WITH_TAGS = ("JPEG", "PNG", "WebP", "TIFF", "AVIF")


def kind_of_picture(path: str, head: bytes) -> str | None:
    """Return the kind of a single picture (a key of ``media.PICTURES`` or ``UNSUPPORTED``), or None for anything else.

    The content decides; the name decides what the content does not say (raw camera files look like TIFF).

    Args:
        path: name of the file.
        head: its first 64 bytes.
    """
    ending = os.path.splitext(path)[1].lower()
    for kind, endings in UNSUPPORTED.items():
        if ending in endings and kind == "raw camera":
            return kind
    found = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None) or _boxed(head)
    if ending in _ANIMATED.get(found or "", ()):
        return None
    if found or _is_video(head):
        return found
    return next((kind for kind, endings in (PICTURES | UNSUPPORTED).items() if ending in endings), None)


def heic_reader() -> Any:
    """Return the module ``pillow_heif``, which reads HEIC, or None if it is not installed."""
    try:
        return importlib.import_module("pillow_heif")
    except ImportError:
        return None


def decode_picture(data: bytes, kind: str, remark: Callable[[str], None]) -> tuple[Frame, bool] | None:
    """Return (BGR picture, whether a tag turned it upright); None if it cannot be decoded.

    What is transparent is black. Of 16 bits a channel the upper 8 are taken.

    Args:
        data: content of the file.
        kind: from ``kind_of_picture``, one of ``media.PICTURES``; or HEIC, where there is a reader of it.
        remark: called with the turn that the tag demands, if any.
    """
    if kind == "HEIC":
        return _decode_heic(data, remark)
    image = _decoded(data, cv2.IMREAD_COLOR)
    if image is None:
        return None
    if kind in _WITH_ALPHA and _transparent(data):
        image = _on_black(_decoded(data, cv2.IMREAD_UNCHANGED), image)
    tag = _orientation(data, kind)
    if tag == 1:
        return np.asarray(image, np.uint8), False
    remark(_tag_remark(_CLOCKWISE[tag], mirrored=tag in _MIRRORED))
    if kind != "TIFF":  # this decoder turns by the tag whatever it is asked for
        image = np.rot90(image[:, ::-1] if tag in _MIRRORED else image, -_CLOCKWISE[tag] // 90)
    return np.ascontiguousarray(image, np.uint8), True


def why_not(data: bytes) -> str:
    """Return why a picture cannot be decoded, as far as a second decoder knows."""
    try:
        with _opened(data) as image:
            image.load()
    except (OSError, ValueError, SyntaxError, KeyError, EOFError, IndexError, Image.DecompressionBombError) as error:
        if "truncated" in str(error).lower() or isinstance(error, EOFError):
            return "cut short: the file ends before the picture does"
    return "not a picture that can be decoded"


@contextlib.contextmanager
def _opened(data: bytes) -> Iterator[Image.Image]:
    """Open a picture with the second decoder, without its warnings of odd or very large files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            yield image


def _decoded(data: bytes, how: int) -> NDArray[Any] | None:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image)


def _transparent(data: bytes) -> bool:
    """Return whether, by its head, a picture has a channel or a colour that is transparent."""
    try:
        with _opened(data) as image:
            return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _on_black(image: NDArray[Any] | None, opaque: NDArray[Any]) -> NDArray[Any]:
    """Return [H, W, 3] of a picture of 8 or 16 bits over black; of one without a fourth channel, ``opaque``."""
    if image is None or image.shape[2:] != (4,):
        return opaque
    most = np.iinfo(image.dtype).max
    colours = np.rint(image[..., :3] * (image[..., 3:] / most)).astype(image.dtype)
    return np.asarray(colours >> (8 if most > 255 else 0), np.uint8)


def _decode_heic(data: bytes, remark: Callable[[str], None]) -> tuple[Frame, bool] | None:
    """Return what ``decode_picture`` does; the reader joins the tiles, and turns and mirrors as the file demands."""
    try:
        image = heic_reader().open_heif(data, convert_hdr_to_8bit=True).to_pillow().convert("RGB")
    except (OSError, ValueError, RuntimeError, SyntaxError):
        return None
    at = data.find(b"irot")
    degrees = -90 * (data[at + 4] & 3) % 360 if at >= 0 else 0
    tagged = degrees > 0 or b"imir" in data
    if tagged:
        remark(_tag_remark(degrees, mirrored=b"imir" in data))
    return np.ascontiguousarray(np.asarray(image, np.uint8)[..., ::-1]), tagged


def _tag_remark(degrees: int, *, mirrored: bool) -> str:
    parts = ["mirrored"] * mirrored + [f"rotated by {degrees} degrees"] * (degrees > 0)
    return f"tagged as {' and '.join(parts)}: turned upright"


def _boxed(head: bytes) -> str | None:
    """Return the kind of picture that a file of boxes or chunks holds."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    if head[4:8] != b"ftyp":
        return None
    size = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))]
    if brands[0] == b"crx ":
        return "raw camera"
    if brands[0] in _AVIF_BRANDS or (brands[0] in _HEIF_BRANDS and any(brand in _AVIF_BRANDS for brand in brands)):
        return "AVIF"
    return "HEIC" if brands[0] in _HEIF_BRANDS else None


def _is_video(head: bytes) -> bool:
    return head[4:8] in (b"ftyp", b"moov", b"mdat") or head[:4] in (b"RIFF", b"\x1a\x45\xdf\xa3")


def _orientation(data: bytes, kind: str) -> int:
    """Return the orientation tag, 1 to 8; 1 if there is none. Only the head of the file is parsed."""
    exif = Image.Exif()
    if kind not in _WITH_TAGS:
        return 1
    try:
        if kind == "PNG":
            exif.load(_png_exif(data))
        else:
            with _opened(data) as image:
                if kind == "TIFF":
                    exif = image.getexif()
                else:
                    exif.load(image.info.get("exif", b""))
        tag = exif.get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, KeyError, Image.DecompressionBombError):
        return 1
    return tag if tag in _CLOCKWISE else 1


def _png_exif(data: bytes) -> bytes:
    """Return the content of the eXIf chunk, which may come after the pixels; empty if there is none."""
    at = 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"eXIf":
            return data[at + 8 : at + 8 + length]
        at += 12 + length
    return b""
