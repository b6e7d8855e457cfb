"""Decodes records of a shard into the rows of a pool, without Ray: any process of a node can do it."""

from __future__ import annotations

import hashlib
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fasray.errors import DataError
from fasray.faces import jpeg
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.pool import FacePool, PoolWriter, pool_folder, pool_key
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE
from fasray.faces.sets.manifest import Manifest

COLUMNS = ("image", "depth", "parsing", "video", "frame", "sha256")
"""Of a shard, that a pool is made of."""
_PIXELS = ("image", "depth", "parsing")
_GOOD, _NOT_AN_IMAGE, _OTHER_SIZE, _OTHER_BYTES = range(4)
REASONS = {
    _NOT_AN_IMAGE: "the image cannot be decoded",
    _OTHER_SIZE: "the image is not of the size that the manifest states",
    _OTHER_BYTES: "the image bytes are not those that the record's sha256 states",
}
"""What is wrong with an image, by its state."""


def decode(batch: pa.Table | pa.RecordBatch, size: int) -> dict[str, NDArray[Any]]:
    """Decode records into uint8 arrays; a bad image becomes zeros and a reason.

    Args:
        batch: the ``COLUMNS`` of n records.
        size: side of the stored crops, pixels.

    Returns:
        ``image`` [n, size, size, 3] RGB, ``depth`` [n, 32, 32], ``parsing`` [n, 64, 64], ``video``, ``frame``, and
        ``state``, which :meth:`PoolFill.store` understands.
    """
    cv2.setNumThreads(1)
    images = np.zeros((len(batch), size, size, 3), np.uint8)
    state = np.zeros(len(batch), np.uint8)
    encoded = zip(batch["image"].to_pylist(), batch["sha256"].to_pylist(), strict=True)
    for row, (data, digest) in enumerate(encoded):
        image = jpeg.decode(data)
        if image is None:
            state[row] = _NOT_AN_IMAGE
        elif hashlib.sha256(data).hexdigest() != digest:
            state[row] = _OTHER_BYTES
        elif image.shape != images.shape[1:]:
            state[row] = _OTHER_SIZE
        else:
            images[row] = image
    return {
        "image": images,
        "depth": _stacked(batch["depth"], DEPTH_SIZE),
        "parsing": _stacked(batch["parsing"], PARSING_SIZE),
        "video": np.array(batch["video"].to_pylist()),
        "frame": np.array(batch["frame"].to_pylist(), dtype=np.int32),
        "state": state,
    }


class PoolFill:
    """A pool of this node that is being filled.

    Args:
        manifest: of the shards.
        index: their index, in the manifest's shard order.

    Raises:
        DataError: the disk has no space for it.
    """

    def __init__(self, manifest: Manifest, index: FaceIndex) -> None:
        folder = pool_folder(pool_key(manifest.hash, manifest.image_size))
        self._writer = PoolWriter(folder, manifest.image_size, index, manifest.hash)
        keys = zip(index.video.tolist(), index.frame.tolist(), strict=True)
        self._rows = {key: row for row, key in enumerate(keys)}

    @property
    def decoded(self) -> int:
        """Images stored so far, without those that are left out."""
        return self._writer.decoded

    def store(self, batch: dict[str, NDArray[Any]], shards: NDArray[Any]) -> int:
        """Copy a decoded batch into the pool and return its number of rows.

        Args:
            batch: from :func:`decode`.
            shards: [n] names of the shards that the records are from.

        Raises:
            DataError: a record is not in the index, or was stored before.
        """
        keys = zip(batch["video"].tolist(), batch["frame"].tolist(), strict=True)
        rows = np.array([self._rows.get(key, -1) for key in keys], dtype=np.int64)
        if (rows < 0).any():
            unknown = int(np.flatnonzero(rows < 0)[0])
            raise DataError(
                f"frame {batch['frame'][unknown]} of video {batch['video'][unknown]} is not in the index",
                where=str(shards[unknown]),
                remedy="the shards were changed while they were read: start again",
            )
        good = batch["state"] == _GOOD
        self._writer.write(rows[good], *(np.ascontiguousarray(batch[name][good]) for name in _PIXELS))
        for bad in np.flatnonzero(~good):
            self._writer.exclude(int(rows[bad]), REASONS[int(batch["state"][bad])], shard=str(shards[bad]))
        return len(rows)

    def finish(self) -> FacePool:
        """Make the pool final and open it; DataError if rows are missing."""
        return self._writer.finish()

    def abandon(self) -> None:
        """Delete the unfinished pool."""
        self._writer.abandon()


def _stacked(column: pa.ChunkedArray | pa.Array, size: int) -> NDArray[np.uint8]:
    """Turn a column of fixed-length bytes into [n, size, size] uint8."""
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(len(column), size, size)
