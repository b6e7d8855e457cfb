"""Kinds of videos and pictures, and what the names of their files end in."""

from __future__ import annotations

VIDEOS = {
    "AVI": (".avi", ".divx"),
    "MP4 or MOV": (".mp4", ".mov", ".m4v", ".3gp", ".qt"),
    "Matroska or WebM": (".mkv", ".webm"),
    "FLV": (".flv", ".f4v"),
    "GIF": (".gif",),
}
"""Containers whose packets fasray knows."""
OTHER_VIDEOS = (".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".asf", ".ogv", ".vob", ".mjpeg", ".mjpg", ".apng")
"""Endings of others that a decoder may read."""
PICTURES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png",),
    "BMP": (".bmp", ".dib"),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "JPEG 2000": (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"),
    "AVIF": (".avif", ".avifs"),
    "PNM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Kinds of pictures that can be read."""
UNSUPPORTED = {
    "HEIC": (".heic", ".heif", ".hif"),
    "JPEG XL": (".jxl",),
    "raw camera": (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    "Photoshop": (".psd",),
    "OpenEXR": (".exr",),
    "PDF": (".pdf",),
    "SVG": (".svg",),
}
"""Kinds that OpenCV does not show whole: it would give one tile, or a thumbnail, of some."""

_PICTURE_ENDINGS = tuple(ending for endings in (PICTURES | UNSUPPORTED).values() for ending in endings)
_VIDEO_ENDINGS = (*(ending for endings in VIDEOS.values() for ending in endings), *OTHER_VIDEOS)


def named_as_picture(path: str) -> bool:
    """Return whether, by its name alone, a file is a single picture."""
    return path.lower().endswith(_PICTURE_ENDINGS)


def named_as_media(path: str) -> bool:
    """Return whether, by its name alone, a file is a video or a picture."""
    return path.lower().endswith(_PICTURE_ENDINGS + _VIDEO_ENDINGS)
