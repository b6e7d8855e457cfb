"""Is a face set what its manifest says? Bytes first, then Parquet pages, then every record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from fasray import storage
from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.record import INDEX_COLUMNS, LIVE, PARSING_CLASSES
from fasray.faces.sets.manifest import MANIFEST_NAME, Manifest, Shard, parse_manifest
from fasray.faces.sets.near_duplicates import NearDuplicateFinder, VideoOrigin
from fasray.faces.sets.reading import Defect, byte_defects, open_shard
from fasray.faces.sets.shards import check_columns, is_shard_name
from fasray.names import canonical, printable


def verify(uri: str, progress: Callable[[int, int], None] | None = None, *, deep: bool = False) -> list[Defect]:
    """Return everything that is wrong with the face set at ``uri``; an empty list means that it is intact.

    Checked: the manifest's own hash; missing, extra, truncated and changed files (a change is named by row group);
    page checksums; that every image decodes to the promised size and has its sha256; the rules of ``check_columns``;
    depth and parsing zero for spoof; that within a domain no subject is in two splits or has two ethnicities or sexes,
    and that a video has one domain, subject, label and split. A shard whose bytes are wrong is not opened.

    Checked only if ``deep``, because they are not damage but make a comparison of domains worthless: subjects that are
    in two domains, and near-duplicate frames in different domains or splits (see ``near_duplicates``).

    Args:
        uri: folder or ``s3://`` prefix.
        progress: called with (shards done, shards in all).
        deep: also look for subjects and pictures that domains or splits share.

    Raises:
        DataError: there is no face set at ``uri``.
        StorageError: the store does not answer, or access is denied.
    """
    storage.check_access(uri)
    names = storage.listing(uri)
    if MANIFEST_NAME not in names:
        shards = [name for name in names if is_shard_name(name)]
        if not shards:
            raise DataError("no face set here", where=uri, remedy=f"make one with 'fasray data synth {uri}'")
        return [Defect(MANIFEST_NAME, None, f"missing, but there are {len(shards)} shards: an interrupted preparation")]
    try:
        manifest = parse_manifest(storage.read_bytes(storage.join(uri, MANIFEST_NAME)), MANIFEST_NAME)
    except DataError as error:
        return [Defect(MANIFEST_NAME, None, error.what)]
    found = _check_files(uri, manifest, names)
    across = _CrossShardChecks(NearDuplicateFinder() if deep else None)
    for number, shard in enumerate(manifest.shards):
        if shard.name in names:
            found += _check_shard(uri, shard, manifest.image_size, across)
        if progress is not None:
            progress(number + 1, len(manifest.shards))
    return found + across.shared()


class _CrossShardChecks:
    """What must hold across shards: unique keys, one split a subject, one domain, subject, label and split a video.

    With ``near_duplicates``, also what domains and splits must not share.
    """

    def __init__(self, near_duplicates: NearDuplicateFinder | None) -> None:
        self.keys: set[tuple[str, int]] = set()
        self.near_duplicates = near_duplicates
        self._split: dict[tuple[str, str], str] = {}
        self._video: dict[str, tuple[str, str, int, str]] = {}
        self._group: dict[tuple[str, str, str], str] = {}

    def add(self, shard: str, table: pa.Table) -> list[Defect]:
        try:
            check_columns(table, shard, self.keys)
        except DataError as error:
            return [Defect(shard, None, f"{error.where.removeprefix(shard).strip()}: {error.what}")]
        found: dict[str, Defect] = {}
        rows = zip(
            *(table.column(n).to_pylist() for n in ("domain", "subject", "split", "video", "label")), strict=True
        )
        for domain, name, split, video, label in rows:
            subject = canonical(name)
            first = self._split.setdefault((domain, subject), split)
            if first != split:
                what = f"subject {subject!r} of domain {domain} is in splits {first!r} and {split!r}"
                found.setdefault(what, Defect(shard, None, what))
            facts = (domain, subject, label, split)
            if self._video.setdefault(video, facts) != facts:
                what = f"video {video!r} has more than one domain, subject, label or split"
                found.setdefault(what, Defect(shard, None, what))
        for name in ("ethnicity", "sex"):
            rows = zip(*(table.column(n).to_pylist() for n in ("domain", "subject", name)), strict=True)
            for domain, subject, group in dict.fromkeys(rows):
                first = self._group.setdefault((name, domain, canonical(subject)), group) if group else group
                if first != group:
                    what = f"subject {canonical(subject)!r} of domain {domain} has {name} {first!r} and {group!r}"
                    found.setdefault(what, Defect(shard, None, what))
        return list(found.values())

    def shared(self) -> list[Defect]:
        """Return which subjects and pictures are in more than one domain or split, if ``deep``."""
        if self.near_duplicates is None:
            return []
        domains: dict[str, list[str]] = {}
        for domain, subject in self._split:
            domains.setdefault(subject, []).append(domain)
        people = [
            f"subject {subject!r} is in domains {', '.join(sorted(where))}"
            for subject, where in domains.items()
            if len(where) > 1
        ]
        return [Defect(MANIFEST_NAME, None, what) for what in (*people, *map(str, self.near_duplicates.found()))]


def _check_files(uri: str, manifest: Manifest, names: list[str]) -> list[Defect]:
    shards = [shard.name for shard in manifest.shards]
    found = [Defect(name, None, "the shard is missing") for name in shards if name not in names]
    extra = [name for name in names if is_shard_name(name) and name not in shards]
    found += [Defect(printable(name), None, "this shard is not in the manifest") for name in extra]
    for document in manifest.documents:
        if document.name not in names:
            found.append(Defect(document.name, None, "the file is missing"))
        else:
            found += byte_defects(document, storage.read_bytes(storage.join(uri, document.name)))
    return found


def _check_shard(uri: str, shard: Shard, image_size: int, across: _CrossShardChecks) -> list[Defect]:
    data = storage.read_bytes(storage.join(uri, shard.name))
    found = byte_defects(shard, data)
    if found:
        return found
    tables = []
    try:
        with open_shard(uri, shard, data) as file:
            for number in range(len(shard.row_groups)):
                try:
                    table = file.read_row_group(number)
                except DataError as error:
                    found.append(Defect(shard.name, number, error.what))
                    continue
                defects = _check_records(table, image_size, across.near_duplicates)
                found += [Defect(shard.name, number, what) for what in defects]
                tables.append(table.select(list(INDEX_COLUMNS)))
    except DataError as error:
        return [Defect(shard.name, None, error.what)]
    if len(tables) == len(shard.row_groups):
        found += across.add(shard.name, pa.concat_tables(tables))
    return found


def _check_records(table: pa.Table, image_size: int, near_duplicates: NearDuplicateFinder | None) -> list[str]:
    """Return what is wrong with the pixels of one row group, by record."""
    found = []
    names = ("image", "sha256", "label", "depth", "parsing", "video", "frame", "domain", "split")
    for image, sha256, label, depth, parsing, video, frame, domain, split in zip(
        *(table.column(name).to_pylist() for name in names), strict=True
    ):
        record = f"video {video!r} frame {frame}"
        if hashlib.sha256(image).hexdigest() != sha256:
            found.append(f"{record}: the image is not the one its sha256 was taken of")
        decoded = jpeg.decode(image)
        if decoded is None:
            found.append(f"{record}: the image is not a whole JPEG")
        elif decoded.shape != (image_size, image_size, 3):
            height, width = decoded.shape[:2]
            found.append(f"{record}: the image has {width}x{height} pixels, not {image_size}x{image_size}")
        elif near_duplicates is not None:
            near_duplicates.add(decoded, VideoOrigin(domain, split, video), frame)
        if label != LIVE and (any(depth) or any(parsing)):
            found.append(f"{record}: an attack with depth or parsing that is not zero")
        if int(np.frombuffer(parsing, np.uint8).max()) >= len(PARSING_CLASSES):
            found.append(f"{record}: unknown parsing class")
    return found
