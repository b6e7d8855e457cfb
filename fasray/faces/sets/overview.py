"""A face set at a glance: how many of what, and a contact sheet of faces with their depth and parsing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fasray import storage
from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.face_index import FaceIndex
from fasray.faces.record import ATTACK_TYPES, DEPTH_SIZE, OPTIONAL_COLUMNS, PARSING_CLASSES, PARSING_SIZE, SPLITS
from fasray.faces.sets.manifest import Manifest, read_manifest
from fasray.faces.sets.preparations import parts
from fasray.faces.sets.reading import read_columns, read_index

_TITLE_HEIGHT = 14
_GAP = 4
_PICTURES = ("image", "depth", "parsing", "landmarks5")


@dataclass(frozen=True)
class Count:
    """Subjects, videos and frames of one domain, split and attack type (``live`` = bona fide)."""

    domain: str
    split: str
    attack_type: str
    subjects: int
    videos: int
    frames: int


@dataclass(frozen=True)
class Group:
    """Subjects and videos that have one value of an optional column; an empty value is unknown."""

    column: str
    value: str
    subjects: int
    videos: int


@dataclass(frozen=True)
class Preparation:
    """How many videos of one corpus, domain, split and attack type were prepared, from the card of the set."""

    corpus: str
    split: str
    attack_type: str
    videos: int
    unreadable: int
    """Videos that gave nothing."""
    without_face: int
    """Videos that were read and have no face in any frame taken."""
    frames: int
    """Frames taken of the others."""
    misses: int
    """Those of these frames without a face."""
    domain: str = ""
    """Empty in sets that were prepared before 0.2."""


@dataclass(frozen=True)
class Stats:
    """What a face set holds; ``counts`` by domain, split and attack type, rows without faces left out.

    ``preparation`` is empty for a set that was not prepared from videos.
    """

    hash: str
    image_size: int
    shards: int
    bytes: int
    subjects: int
    videos: int
    frames: int
    cameras: int
    counts: tuple[Count, ...]
    preparation: tuple[Preparation, ...] = ()
    differences: tuple[str, ...] = ()
    """In what the parts of a merged set were prepared differently, one line each, if its card says so."""
    groups: tuple[Group, ...] = ()
    """Of the optional columns (ethnicity, sex, ...) of which a value is known, by column and value."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, one object a count; ``differences``, ``groups`` and domains only if there are any."""
        found = {name: value for name, value in asdict(self).items() if value or name not in ("differences", "groups")}
        found["preparation"] = [
            {name: value for name, value in each.items() if value or name != "domain"} for each in found["preparation"]
        ]
        return found


def stats(uri: str) -> Stats:
    """Count what is in the face set at ``uri``; pixels are not read.

    Raises:
        DataError: there is no face set, or its index is damaged (see ``read_index``).
    """
    manifest = read_manifest(uri)
    index = read_index(uri, manifest)
    return Stats(
        hash=manifest.hash,
        image_size=manifest.image_size,
        shards=len(manifest.shards),
        bytes=sum(shard.bytes for shard in manifest.shards),
        subjects=len(set(zip(index.domain.tolist(), index.subject.tolist(), strict=True))),
        videos=len(set(index.video.tolist())),
        frames=len(index),
        cameras=len(set(zip(index.domain.tolist(), index.camera.tolist(), strict=True))),
        counts=_counts(index),
        preparation=tuple(_preparation(manifest.card)),
        differences=tuple(manifest.card.get("differences", ())),
        groups=tuple(_groups(index)),
    )


def _preparation(card: dict[str, Any]) -> Iterator[Preparation]:
    """Yield the counts in the card of a prepared set, or of a set merged of prepared ones."""
    for _, part in parts(card):
        if part.get("kind") == "prepared":
            for entry in part["counts"]:
                yield Preparation(corpus=part["plan"]["corpus"], **entry)


def _counts(index: FaceIndex) -> tuple[Count, ...]:
    counts = []
    for domain in dict.fromkeys(index.domain.tolist()):
        for split in SPLITS:
            for attack in ATTACK_TYPES:
                rows = (index.domain == domain) & (index.split == split) & (index.attack_type == attack)
                if rows.any():
                    subjects, videos = len(np.unique(index.subject[rows])), len(np.unique(index.video[rows]))
                    counts.append(Count(domain, split, attack, subjects, videos, int(rows.sum())))
    return tuple(counts)


def _groups(index: FaceIndex) -> Iterator[Group]:
    for name, column in index.known_columns().items():
        if name in OPTIONAL_COLUMNS:
            for value in np.unique(column):
                rows = column == value
                subjects, videos = len(np.unique(index.subject[rows])), len(np.unique(index.video[rows]))
                yield Group(name, str(value), subjects, videos)


def contact_sheet(uri: str, columns: int = 4) -> NDArray[np.uint8]:
    """Return a picture, RGB uint8 ``[H, W, 3]``, of some faces of every domain and attack type.

    One row of faces a domain and attack type, ``columns`` faces in it from subjects as far apart as possible; next to
    each face its depth and its parsing (black for attacks), above it a title. Where a detector found the face, its five
    landmarks are dotted and its box (the crop without its margin) is drawn.

    Raises:
        DataError: there is no face set, or a face that is to be shown cannot be read.
    """
    manifest = read_manifest(uri)
    index = read_index(uri, manifest)
    groups = []
    for domain in dict.fromkeys(index.domain.tolist()):
        for attack in ATTACK_TYPES:
            rows = np.nonzero((index.domain == domain) & (index.attack_type == attack))[0]
            if len(rows):
                places = np.unique(np.linspace(0, len(rows) - 1, columns).round().astype(int))
                groups.append(rows[places])
    faces = _read_faces(uri, manifest, np.concatenate(groups))
    width = 3 * manifest.image_size + _GAP
    lines = []
    for rows in groups:
        tiles = [_tile(faces[int(row)], _title(index, int(row)), manifest, uri) for row in rows]
        tiles += [np.zeros((manifest.image_size + _TITLE_HEIGHT, width, 3), np.uint8)] * (columns - len(tiles))
        lines.append(np.hstack(tiles))
    return np.vstack(lines)


def write_picture(path: str, image_HW3: NDArray[np.uint8]) -> None:  # noqa: N803
    """Write an RGB picture to a local file; its extension (.png, .jpg) decides the format.

    Raises:
        DataError: the format is not supported, or the file cannot be written.
    """
    remedy = "name a .png or .jpg file in a folder that exists"
    try:
        _, encoded = cv2.imencode(os.path.splitext(path)[1], cv2.cvtColor(image_HW3, cv2.COLOR_RGB2BGR))
        storage.local_path(path).write_bytes(encoded.tobytes())
    except cv2.error as error:
        raise DataError("this file name extension is not a picture format", where=path, remedy=remedy) from error
    except OSError as error:
        raise DataError(f"the picture cannot be written: {error.strerror}", where=path, remedy=remedy) from error


_Face = tuple[bytes, bytes, bytes, list[float] | None]


def _read_faces(uri: str, manifest: Manifest, rows: NDArray[np.int64]) -> dict[int, _Face]:
    """Return image, depth and parsing bytes and landmarks of some global rows."""
    faces: dict[int, _Face] = {}
    first = 0
    for shard in manifest.shards:
        wanted = sorted(int(row) for row in rows if first <= row < first + shard.rows)
        if wanted:
            table = read_columns(uri, shard, _PICTURES)
            picked = table.take([row - first for row in wanted])
            values = zip(*(picked.column(name).to_pylist() for name in _PICTURES), strict=True)
            faces.update(zip(wanted, values, strict=True))
        first += shard.rows
    return faces


def _title(index: FaceIndex, row: int) -> str:
    kind = index.instrument[row] or index.attack_type[row]
    return f"{index.domain[row]} {kind} {index.subject[row]} {index.camera[row]}"


def _tile(face: _Face, title: str, manifest: Manifest, uri: str) -> NDArray[np.uint8]:
    size, image = manifest.image_size, jpeg.decode(face[0])
    if image is None:
        raise DataError(f"the face {title!r} cannot be decoded", where=uri, remedy=f"run 'fasray data verify {uri}'")
    depth = np.frombuffer(face[1], np.uint8).reshape(DEPTH_SIZE, DEPTH_SIZE)
    parsing = np.frombuffer(face[2], np.uint8).reshape(PARSING_SIZE, PARSING_SIZE)
    pictures = (
        _marked(np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)), face[3], manifest.card),
        cv2.cvtColor(cv2.resize(depth, (size, size), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2RGB),
        _palette()[cv2.resize(parsing, (size, size), interpolation=cv2.INTER_NEAREST)],
    )
    tile = np.zeros((size + _TITLE_HEIGHT, 3 * size + _GAP, 3), np.uint8)
    for number, picture in enumerate(pictures):
        tile[_TITLE_HEIGHT:, number * size : (number + 1) * size] = picture
    place, white = (3, _TITLE_HEIGHT - 4), (255, 255, 255)
    cv2.putText(tile, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, white, 1, cv2.LINE_AA)
    return tile


def _marked(image: NDArray[Any], landmarks: list[float] | None, card: dict[str, Any]) -> NDArray[Any]:
    """Return the face with its landmarks and its box, if it has any."""
    if landmarks is None:
        return image
    marked, size = image.copy(), image.shape[0]
    radius = max(1, size // 64)
    for x, y in np.reshape(landmarks, (-1, 2)):
        cv2.circle(marked, (round(float(x)), round(float(y))), radius, (255, 255, 0), -1, cv2.LINE_AA)
    margin = card.get("crop", {}).get("margin")
    if margin:
        edge = round(size * (1 - 1 / float(margin)) / 2)
        cv2.rectangle(marked, (edge, edge), (size - 1 - edge, size - 1 - edge), (0, 255, 0), 1)
    return marked


def _palette() -> NDArray[np.uint8]:
    """Return one colour a parsing class, ``[256, 3]``; background and unknown classes are black."""
    hues = np.linspace(0, 165, len(PARSING_CLASSES) - 1).astype(np.uint8)
    hsv = np.stack([hues, np.full_like(hues, 180), np.full_like(hues, 230)], -1)[None]
    colours = np.zeros((256, 3), np.uint8)
    colours[1 : len(PARSING_CLASSES)] = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    return colours
