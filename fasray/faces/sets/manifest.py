"""The manifest of a face set: which shards it has, what they hold, how they were made, and one hash over it all.

It is written last. A folder without a manifest is not a face set but what an interrupted preparation left.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fasray import storage
from fasray.errors import DataError

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 2
"""Of a set in which some shard has optional columns; a set without any is of version 1."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RowGroup(_Part):
    """The bytes of one Parquet row group inside its shard; ``crc32`` is of exactly those bytes."""

    rows: int
    offset: int
    bytes: int
    crc32: int


class Shard(_Part):
    """One Parquet file of the set; ``name`` is relative to the manifest, ``sha256`` is of the whole file."""

    name: str
    rows: int
    bytes: int
    sha256: str
    row_groups: tuple[RowGroup, ...]
    optional: tuple[str, ...] = Field(default=(), exclude_if=lambda names: not names)
    """Which of ``record.OPTIONAL_COLUMNS`` it has."""


class Document(_Part):
    """A readable file next to the shards, such as the dataset card."""

    name: str
    bytes: int
    sha256: str


class Manifest(_Part):
    """What a face set is made of."""

    format_version: int
    image_size: int
    """Side of the square face crops, pixels."""
    rows: int
    shards: tuple[Shard, ...]
    """In order; the global row number of a face counts through them."""
    documents: tuple[Document, ...]
    card: dict[str, Any]
    """How the set was prepared (generator or detector, seed, margin, frame rule, versions); JSON values."""
    hash: str
    """SHA-256 over all of the above; two sets with the same hash hold the same bytes."""

    def to_bytes(self) -> bytes:
        """Return the one text of this manifest on disk."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def canonical_json(value: Any) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces; NaN and infinity are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def is_generated(card: Mapping[str, Any]) -> bool:
    """Return whether, by its card, a set has only generated faces: drawn, prepared from a mimic, or merged of such."""
    parts = card.get("sets")
    if parts:
        return all(is_generated(part["card"]) for part in parts)
    return card.get("kind") == "synthetic" or card.get("generated") is True


def make_manifest(
    image_size: int, shards: tuple[Shard, ...], documents: tuple[Document, ...], card: dict[str, Any]
) -> Manifest:
    """Return the manifest of these shards with its row count and hash filled in."""
    body = Manifest(
        format_version=FORMAT_VERSION if any(shard.optional for shard in shards) else 1,
        image_size=image_size,
        rows=sum(shard.rows for shard in shards),
        shards=shards,
        documents=documents,
        card=json.loads(canonical_json(card)),
        hash="",
    )
    return body.model_copy(update={"hash": manifest_hash(body)})


def manifest_hash(manifest: Manifest) -> str:
    """Return the sha256 over the canonical JSON of everything in ``manifest`` but its ``hash``."""
    body = manifest.model_dump(mode="json", exclude={"hash"})
    return hashlib.sha256(canonical_json(body).encode()).hexdigest()


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Return the manifest whose bytes are ``data``.

    Raises:
        DataError: it is not JSON, has other keys or types, its hash does not match, or it was edited.
    """
    remedy = "restore the file, or prepare the face set again into a new folder"
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise DataError(f"the manifest is damaged: {at} {first['msg']}", where=where, remedy=remedy) from error
    if not 1 <= manifest.format_version <= FORMAT_VERSION:
        what = f"format version {manifest.format_version}, this release reads 1 to {FORMAT_VERSION}"
        raise DataError(what, where=where, remedy="use the release of fasray that wrote it, or a later one")
    if manifest.hash != manifest_hash(manifest) or manifest.to_bytes() != data:
        raise DataError("the manifest was changed: its hash does not match its content", where=where, remedy=remedy)
    return manifest


def read_manifest(uri: str) -> Manifest:
    """Return the manifest of the face set at ``uri`` (a folder or an ``s3://`` prefix).

    Raises:
        DataError: there is no manifest, or it is damaged.
        StorageError: the store does not answer, or access is denied.
    """
    storage.check_access(uri)
    where = storage.join(uri, MANIFEST_NAME)
    if not storage.exists(where):
        raise DataError(
            f"no face set here: {MANIFEST_NAME} is missing",
            where=uri,
            remedy=f"make one with 'fasray data synth {uri}', or finish the preparation that was interrupted",
        )
    return parse_manifest(storage.read_bytes(where), where)
