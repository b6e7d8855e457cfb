"""The faces that a sweep names: a folder or URI of shards, or the generated set, made on first use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fasray import storage
from fasray.errors import DataError
from fasray.faces.index import FaceIndex
from fasray.faces.manifest import MANIFEST_NAME, Manifest, read_manifest
from fasray.faces.shards import read_index
from fasray.sweep.spec import SweepSpec, SyntheticChoice, SyntheticSpec

SYNTHETIC = "synthetic"
CACHE_VARIABLE = "FASRAY_CACHE_DIR"


@dataclass(frozen=True)
class Dataset:
    """Shards that are there and whole, with their index."""

    uri: str
    manifest: Manifest
    index: FaceIndex


def resolve_dataset(spec: SweepSpec, on_subjects: Callable[[int, int], None] = lambda done, total: None) -> Dataset:
    """Return the data of a sweep; the generated set is made if it is not in the cache.

    Args:
        spec: the sweep.
        on_subjects: called while faces are generated, with subjects done and subjects in all.

    Raises:
        DataError: there are no shards at the place named, or they are empty or damaged.
    """
    data = spec.data
    if data == SYNTHETIC:
        uri = _synthetic(SyntheticSpec(), on_subjects)
    elif isinstance(data, SyntheticChoice):
        uri = _synthetic(data.synthetic, on_subjects)
    else:
        uri = data
    if not storage.exists(uri):
        raise DataError(
            "there is nothing at this address", where=f"data: {uri}", remedy="check the path, or use `data: synthetic`"
        )
    manifest = read_manifest(uri)
    if manifest.rows == 0:
        raise DataError("this face set is empty", where=uri, remedy="prepare it again: `fasray data prepare`")
    return Dataset(uri, manifest, read_index(uri))


def _synthetic(wanted: SyntheticSpec, on_subjects: Callable[[int, int], None]) -> str:
    """Return the cache folder of a generated set, making it first if need be."""
    from fasray.faces import synthetic

    given = wanted.model_dump(exclude_none=True)
    settings = synthetic.SyntheticSettings(**given)
    key = hashlib.sha256(settings.canonical_json().encode()).hexdigest()[:12]
    uri = str(cache_folder() / f"synthetic-{key}")
    if not storage.exists(storage.join(uri, MANIFEST_NAME)):
        synthetic.generate(uri, **given, progress=on_subjects)
    return uri


def cache_folder() -> Path:
    """Return where generated sets are kept: ``$FASRAY_CACHE_DIR``, else ``fasray`` under the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fasray"
