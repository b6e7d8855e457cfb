"""Score files that are no text: Parquet, and NumPy's npz, of which nothing is run."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fasray.errors import DataError
from fasray.results.external.columns import Request, Table, columns_of
from fasray.storage.parquet import DAMAGE

_NPZ = {"scores_pred": "score", "scores_gt": "label"}
_ZIP_DAMAGE = (zipfile.BadZipFile, EOFError, OSError, RuntimeError)
_PICKLE_DAMAGE = (pickle.UnpicklingError, ValueError, TypeError, AttributeError, LookupError, MemoryError)
_UNREADABLE = (*_ZIP_DAMAGE, *_PICKLE_DAMAGE)
"""What zipfile and pickle raise on damaged files, by their documentation and by flipping bits."""


def read_parquet(content: bytes, uri: str, request: Request) -> Table:
    """Read the columns that are asked for.

    Raises:
        DataError: the file is damaged, or has no column for the score or the label.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        header = file.schema_arrow.names
        layout, positions = columns_of(header, f"{uri}, line 1", request)
        read = file.read(columns=[header[at] for at in positions.values()], use_threads=False)
        read.validate(full=True)  # texts that are not UTF-8 would be found only when they are used
    except DAMAGE as error:
        remedy = "write the file again, or give the scores as csv"
        raise DataError(f"the Parquet file cannot be read: {error}", where=uri, remedy=remedy) from error
    columns = {ours: read.column(header[at]).to_pylist() for ours, at in positions.items()}
    places = [f"row {row + 1}" for row in range(read.num_rows)]
    return Table(f"{layout.removesuffix('csv')}parquet", columns, places)


def read_npz(content: bytes, uri: str, request: Request) -> Table:
    """Read named arrays of one length, or HFN+MP's two dictionaries of frames by video.

    Raises:
        DataError: the file is damaged, holds other objects, or has no array for the score or the label.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            arrays = {
                name.removesuffix(".npy"): _array(archive.read(name))
                for name in archive.namelist()
                if name.endswith(".npy")
            }
    except _UNREADABLE as error:
        remedy = "save scores and labels by name: np.savez(FILE, score=..., label=...); or write csv"
        raise DataError(f"this is no npz file that can be read: {error}", where=uri, remedy=remedy) from error
    if not arrays:
        remedy = "save a spreadsheet as csv; unpack an archive"
        raise DataError(
            "this is a zip archive or a spreadsheet, without arrays; it is not read", where=uri, remedy=remedy
        )
    named = {_NPZ.get(name, name): value for name, value in arrays.items()}
    score, label = named.get("score"), named.get("label")
    if isinstance(score, dict) and isinstance(label, dict):
        return _by_video(score, label, uri)
    layout, positions = columns_of(list(named), uri, request)
    values = list(named.values())
    columns = {ours: values[at].tolist() for ours, at in positions.items() if isinstance(values[at], np.ndarray)}
    shapes = {ours: np.shape(values[at]) for ours, at in positions.items()}
    if len(columns) < len(positions) or len(set(shapes.values())) > 1 or len(shapes["score"]) != 1:
        shown = ", ".join(f"{ours} {shape}" for ours, shape in shapes.items())
        raise DataError(f"the arrays are not lists of one length: {shown}", where=uri, remedy="save one value a row")
    return Table(layout.replace("csv", "npz"), columns, [f"row {row + 1}" for row in range(len(columns["score"]))])


def _by_video(score: Mapping[Any, Any], label: Mapping[Any, Any], uri: str) -> Table:
    columns: dict[str, list[Any]] = {"score": [], "label": [], "video": []}
    places = []
    if set(score) != set(label):
        raise DataError("scores and labels are of different videos", where=uri, remedy="write the file again")
    for video, values in score.items():
        frames, labels = np.atleast_1d(values).tolist(), np.atleast_1d(label[video]).tolist()
        if len(frames) != len(labels):
            what = f"video {str(video)!r} has {len(frames)} scores and {len(labels)} labels"
            raise DataError(what, where=uri, remedy="write the file again")
        columns["score"] += frames
        columns["label"] += labels
        columns["video"] += [video] * len(frames)
        places += [f"video {str(video)!r}, frame {at + 1}" for at in range(len(frames))]
    return Table("HFN+MP npz", columns, places)


_HARMLESS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar,  # type: ignore[attr-defined]
}


class _ArraysOnly(pickle.Unpickler):
    """Builds dictionaries, lists, numbers, texts and arrays; whatever else a file asks for is refused, not run."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _HARMLESS[module.replace("numpy._core", "numpy.core"), name]
        except KeyError:
            raise pickle.UnpicklingError(f"it would run {module}.{name}") from None


def _array(content: bytes) -> Any:
    """Return what an npy file holds: an array, or the one object of an array of none."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if not dtype.hasobject:
        return np.load(io.BytesIO(content), allow_pickle=False)
    array = _ArraysOnly(file).load()
    return array.item() if shape == () else array
