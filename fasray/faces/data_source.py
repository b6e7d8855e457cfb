"""The faces that a sweep names: a folder or URI of shards, or the generated set, made on first use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from fasray import storage
from fasray.errors import DataError, SpecError
from fasray.faces.face_index import FaceIndex
from fasray.faces.sets.manifest import MANIFEST_NAME, Manifest, read_manifest
from fasray.faces.sets.reading import read_index
from fasray.validation import SEED_LIMIT, Section

SYNTHETIC = "synthetic"
CACHE_VARIABLE = "FASRAY_CACHE_DIR"


def _is_none(value: object) -> bool:
    return value is None


class SyntheticSpec(Section):
    """Size and difficulty of the generated faces; left out: the frozen default set."""

    subjects: int | None = Field(None, ge=2, description="subjects a domain")
    seed: int | None = Field(None, ge=0, lt=SEED_LIMIT, description="seed of all randomness")
    dial: float | None = Field(None, ge=0, le=1, description="difficulty: 0 easy, 1 hard")
    image_size: int | None = Field(None, ge=32, description="pixels")
    domains: str | None = Field(
        None, exclude_if=_is_none, description="letters out of OCIM, or names with commas: `SURF,CeFA,WMCA`"
    )
    attacks: tuple[str, ...] | None = Field(
        None, exclude_if=_is_none, description="out of print, replay, mask, partial, makeup"
    )
    people: bool | None = Field(
        None, exclude_if=_is_none, description="subjects have ethnicity, sex and age group, in looks and records"
    )


class SyntheticChoice(Section):
    """``data: {synthetic: ...}``."""

    synthetic: SyntheticSpec


@dataclass(frozen=True)
class Dataset:
    """Shards that are there and whole, with their index."""

    uri: str
    manifest: Manifest
    index: FaceIndex


def resolve_dataset(
    data: str | SyntheticChoice, on_subjects: Callable[[int, int], None] = lambda done, total: None
) -> Dataset:
    """Return the faces that a ``data`` key names; the generated set is made if it is not in the cache.

    Args:
        data: path or URI of face shards, ``synthetic``, or settings of generated faces.
        on_subjects: called while faces are generated, with subjects done and subjects in all.

    Raises:
        SpecError: ``data`` names no place.
        DataError: there are no shards at the place named, or they are empty or damaged.
        StorageError: the store does not answer, or access is denied.
    """
    uri, settings = locate_dataset(data), _synthetic_settings(data)
    if settings is not None and not storage.exists(storage.join(uri, MANIFEST_NAME)):
        from fasray.faces import synthetic

        try:
            synthetic.generate(uri, **settings, progress=on_subjects)
        except DataError as error:
            remedy = f"free the space, or set {CACHE_VARIABLE} to a folder on a local disk that can be written"
            raise DataError(error.what, where=error.where, remedy=remedy) from error
    storage.check_access(uri)
    if not storage.exists(uri):
        raise DataError(
            "there is nothing at this address", where=f"data: {uri}", remedy="check the path, or use `data: synthetic`"
        )
    manifest = read_manifest(uri)
    if manifest.rows == 0:
        raise DataError("this face set is empty", where=uri, remedy="prepare it again: `fasray data prepare`")
    return Dataset(uri, manifest, read_index(uri, manifest))


def locate_dataset(data: str | SyntheticChoice) -> str:
    """Return where the faces of a ``data`` key are, or would be once a generated set is made; makes nothing."""
    settings = _synthetic_settings(data)
    if settings is None:
        try:
            return storage.resolve(str(data))
        except SpecError as error:
            where = f"key data: {error.where}" if error.where else "key data"
            raise SpecError(error.what, where=where, remedy=error.remedy) from error
    from fasray.faces import synthetic

    text = synthetic.SyntheticSettings(**settings).canonical_json()
    return str(cache_folder() / f"synthetic-{hashlib.sha256(text.encode()).hexdigest()[:12]}")


def _synthetic_settings(data: str | SyntheticChoice) -> dict[str, Any] | None:
    """Return the settings that a ``data`` key gives for generated faces; None if it names another set."""
    if isinstance(data, SyntheticChoice):
        return data.synthetic.model_dump(exclude_none=True)
    return {} if data == SYNTHETIC else None


def is_generated_choice(data: object) -> bool:
    """Return whether a ``data`` key, as a value or as its JSON, asks for generated faces."""
    return data == SYNTHETIC or isinstance(data, SyntheticChoice | dict)


def cache_folder() -> Path:
    """Return where generated sets are kept: ``$FASRAY_CACHE_DIR``, else ``fasray`` under the user's cache folder."""
    named = storage.local_place_of(CACHE_VARIABLE)
    if named is not None:
        return named
    return (storage.local_place_of("XDG_CACHE_HOME") or Path.home() / ".cache") / "fasray"
