"""The videos of a face set with the paths that they were prepared from."""

from __future__ import annotations

import pyarrow as pa

from fasray import storage
from fasray.errors import DataError
from fasray.faces.sets.manifest import read_manifest
from fasray.faces.sets.reading import read_columns
from fasray.protocols.list_import import KnownVideo

_COLUMNS = ("video", "label", "subject", "source_path")


def known_videos(uri: str) -> list[KnownVideo]:
    """Return the videos of a face set, sorted by name; no pixel is read.

    Raises:
        DataError: the set is missing, empty or damaged.
    """
    uri = storage.resolve(uri)
    shards = read_manifest(uri).shards
    if not shards:
        raise DataError("this face set is empty", where=uri, remedy="prepare it again: `fasray data prepare`")
    tables = storage.map_concurrently(lambda shard: read_columns(uri, shard, _COLUMNS), shards, uri)
    distinct = pa.concat_tables(tables).group_by(list(_COLUMNS)).aggregate([])
    found: dict[str, tuple[int, str, list[str]]] = {}
    for row in distinct.to_pylist():
        found.setdefault(row["video"], (row["label"], row["subject"], []))[2].append(row["source_path"])
    return [
        KnownVideo(name, label, subject, tuple(sorted(paths)))
        for name, (label, subject, paths) in sorted(found.items())
    ]
