"""The pool: every face of a run decoded once into memory-mapped uint8 arrays that all trials of a node share.

A pool is a local folder: ``images.u8`` [N, S, S, 3] RGB, ``depth.u8`` [N, 32, 32], ``parsing.u8`` [N, 64, 64],
``index.npz`` (the :class:`FaceIndex`) and ``pool.json``. It is filled under another name and renamed when it is whole,
so a folder of that name is a finished pool. Readers map it read-only; the page cache shares it among processes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fasray import storage
from fasray.environment import own_temporary_folder
from fasray.errors import DataError
from fasray.faces.face_index import FaceIndex
from fasray.faces.loading.read_schedule import RowGroupRead
from fasray.faces.loading.windows import Pixels, Windows
from fasray.faces.record import DEPTH_SIZE, PARSING_SIZE

POOL_DIR_VARIABLE = "FASRAY_POOL_DIR"
_FORMAT = 1
_CARD = "pool.json"


@dataclass(frozen=True)
class Excluded:
    """A row whose image could not be decoded, and why."""

    row: int
    video: str
    frame: int
    reason: str
    shard: str = ""


@dataclass(frozen=True, eq=False)
class Faces:
    """Pixels of picked rows, in their order, contiguous and writable."""

    images: Pixels
    """[B, S, S, 3] RGB; if windows were asked for, [V, B, size, size, 3]."""
    depth: Pixels | None = None
    """[B, 32, 32], near = 255, zeros for spoof; if asked for."""
    parsing: Pixels | None = None
    """[B, 64, 64] class ids, zeros for spoof; if asked for."""

    @property
    def nbytes(self) -> int:
        """Bytes that were copied."""
        return sum(part.nbytes for part in (self.images, self.depth, self.parsing) if part is not None)


@dataclass(frozen=True, eq=False)
class FacePool:
    """A finished pool, open for reading."""

    folder: Path
    key: str
    manifest_hash: str
    index: FaceIndex
    images: Pixels
    depth: Pixels
    parsing: Pixels
    valid: NDArray[np.bool_]
    """[N] False for the rows in ``excluded``, whose pixels are zeros."""
    excluded: tuple[Excluded, ...]
    decoded: int
    """Rows that were decoded while the pool was filled: N minus the excluded ones."""
    seconds: float
    """Wall seconds that filling took."""
    row_group: NDArray[np.int64] | None = None
    """[N] row group of every row, to train in the order of a stream; None for the usual order."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def image_size(self) -> int:
        """Side of the stored crops in pixels."""
        return int(self.images.shape[1])

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> FacePool:
        """Map the pool in ``folder`` read-only.

        Raises:
            DataError: there is no finished pool, or a file of it does not have the size that its card says.
        """
        root = Path(folder)
        remedy = "delete the folder; the next run fills it again"
        try:
            card = json.loads((root / _CARD).read_text())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError("no finished pool of faces here", where=str(root), remedy=remedy) from error
        except (ValueError, OSError) as error:
            raise DataError("the pool's card cannot be read", where=str(root / _CARD), remedy=remedy) from error
        if not isinstance(card, dict) or card.get("format") != _FORMAT:
            raise DataError("this pool has another format", where=str(root / _CARD), remedy=remedy)
        try:
            rows, size = int(card["rows"]), int(card["image_size"])
            arrays = {name: _mapped(root / name, shape) for name, shape in _shapes(rows, size).items()}
            with (root / "index.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
                index = FaceIndex.of(stored)
            excluded = tuple(Excluded(**entry) for entry in card["excluded"])
            if len(index) != rows:
                raise ValueError(f"index of {len(index)} rows for {rows} images")
            valid = np.ones(rows, dtype=np.bool_)
            valid[[entry.row for entry in excluded]] = False
            valid.flags.writeable = False
            return cls(
                folder=root,
                key=pool_key(card["manifest_hash"], size),
                manifest_hash=str(card["manifest_hash"]),
                index=index,
                images=arrays["images.u8"],
                depth=arrays["depth.u8"],
                parsing=arrays["parsing.u8"],
                valid=valid,
                excluded=excluded,
                decoded=int(card["decoded"]),
                seconds=float(card["seconds"]),
            )
        except (KeyError, TypeError, ValueError, IndexError, EOFError, OSError, BadZipFile) as error:
            raise DataError(f"this pool is damaged: {error}", where=str(root), remedy=remedy) from error

    def set_read_order(self, reads: Iterator[RowGroupRead], *, depth: bool, parsing: bool) -> None:
        """Do nothing: a pool has all rows at any time."""

    def pick(
        self, rows: NDArray[np.int64], *, depth: bool = False, parsing: bool = False, windows: Windows | None = None
    ) -> Faces:
        """Copy out the pixels of ``rows``, in their order; only what is asked for is read."""
        return Faces(
            images=self.images[rows] if windows is None else windows.of(self.images, rows),
            depth=self.depth[rows] if depth else None,
            parsing=self.parsing[rows] if parsing else None,
        )


class PoolWriter:
    """Fills one pool; rows may be written in any order, each exactly once.

    Until :meth:`finish` everything is in a hidden folder next to the final one; what a killed writer left there is
    removed by the next writer of the same pool.

    Args:
        folder: of the finished pool.
        image_size: side of the square crops in pixels.
        index: of the set.
        manifest_hash: of the set.

    Raises:
        DataError: the disk has no space for the pool, or the folder cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], image_size: int, index: FaceIndex, manifest_hash: str) -> None:
        rows, folder = len(index), Path(folder)
        self.folder = folder
        self.decoded = 0
        self._index, self._manifest_hash, self._size = index, manifest_hash, image_size
        self._done = np.zeros(rows, dtype=np.bool_)
        self._excluded: list[Excluded] = []
        self._started = time.monotonic()
        shapes = _shapes(rows, image_size)
        need = sum(int(np.prod(shape)) for shape in shapes.values())
        self._about = f"{need / 2**30:.2f} GiB for {rows} faces of {image_size} px"
        with writing_pools(folder.parent, self._about):
            folder.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(folder)
            self._partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
            self._lock = storage.lock_file(self._partial / "lock")
            try:
                self._arrays = {name: _reserved(self._partial / name, shape) for name, shape in shapes.items()}
            except OSError:
                self.abandon()
                raise

    def write(self, rows: NDArray[np.int64], images: Pixels, depth: Pixels, parsing: Pixels) -> None:
        """Store the decoded faces of ``rows``.

        Args:
            rows: [n] global row numbers.
            images: [n, S, S, 3] uint8 RGB.
            depth: [n, 32, 32] uint8.
            parsing: [n, 64, 64] uint8.

        Raises:
            DataError: a row is out of range or was written before, or an array has another shape or type.
        """
        rows = np.asarray(rows, dtype=np.int64)
        given = {"images.u8": images, "depth.u8": depth, "parsing.u8": parsing}
        for name, array in given.items():
            wanted = (len(rows), *self._arrays[name].shape[1:])
            if array.shape != wanted or array.dtype != np.uint8:
                raise DataError(
                    f"{name} must be uint8 {wanted}, got {array.dtype} {array.shape}", where=str(self.folder)
                )
        self._claim(rows)
        for name, array in given.items():
            self._arrays[name][rows] = array
        self.decoded += len(rows)

    def exclude(self, row: int, reason: str, *, shard: str = "") -> None:
        """Record that ``row`` could not be decoded; its pixels stay zero and no protocol uses it.

        Raises:
            DataError: the row is out of range or was written before.
        """
        self._claim(np.array([row], dtype=np.int64))
        video, frame = str(self._index.video[row]), int(self._index.frame[row])
        self._excluded.append(Excluded(int(row), video, frame, reason, shard))

    def _claim(self, rows: NDArray[np.int64]) -> None:
        outside = rows[(rows < 0) | (rows >= len(self._done))]
        if len(outside):
            raise DataError(f"row {outside[0]} is not in a pool of {len(self._done)}", where=str(self.folder))
        values, counts = np.unique(rows, return_counts=True)
        repeated = values[(counts > 1) | self._done[values]]
        if len(repeated):
            raise DataError(
                f"{len(repeated)} rows were written twice, the first is row {repeated[0]}", where=str(self.folder)
            )
        self._done[rows] = True

    def finish(self) -> FacePool:
        """Make the pool final and return it, open. If another writer was faster, its pool is returned.

        Raises:
            DataError: rows are missing.
        """
        missing = np.flatnonzero(~self._done)
        if len(missing):
            raise DataError(
                f"{len(missing)} of {len(self._done)} rows are missing, the first is row {missing[0]}",
                where=str(self.folder),
                remedy="check the shards with `fasray data verify`",
            )
        with writing_pools(self.folder.parent, self._about):
            return self._finished()

    def _finished(self) -> FacePool:
        for array in self._arrays.values():
            if isinstance(array, np.memmap):
                array.flush()
        np.savez(self._partial / "index.npz", allow_pickle=False, **self._index.known_columns())
        card = {
            "format": _FORMAT,
            "rows": len(self._done),
            "image_size": self._size,
            "manifest_hash": self._manifest_hash,
            "decoded": self.decoded,
            "excluded": [asdict(entry) for entry in sorted(self._excluded, key=lambda entry: entry.row)],
            "seconds": round(time.monotonic() - self._started, 3),
        }
        storage.write_bytes(str(self._partial / _CARD), json.dumps(card, indent=1).encode())
        (self._partial / "lock").unlink()
        try:
            self._partial.replace(self.folder)
        except OSError:  # the folder exists: a finished pool is as good as ours, anything else is replaced
            with contextlib.suppress(DataError):
                pool = FacePool.open(self.folder)
                if (pool.manifest_hash, pool.image_size) == (self._manifest_hash, self._size):
                    self.abandon()
                    return pool
            shutil.rmtree(self.folder)
            self._partial.replace(self.folder)
        self._close()
        storage.sync_folder(self.folder.parent)
        return FacePool.open(self.folder)

    def abandon(self) -> None:
        """Drop an unfinished pool and free its space."""
        shutil.rmtree(self._partial, ignore_errors=True)
        self._close()

    def _close(self) -> None:
        self._lock.close()


@contextlib.contextmanager
def writing_pools(base: Path, about: str = "") -> Iterator[None]:
    """Turn what the disk refuses into DataError.

    Args:
        base: folder of the pools.
        about: what is to be written there.
    """
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise DataError(
            f"no space for the pool of decoded faces: {about}"
            if full
            else f"the folder for pools of decoded faces cannot be written: {error.strerror or error}",
            where=str(base),
            remedy=f"{'free the space, or ' if full else ''}set {POOL_DIR_VARIABLE} to a folder on a "
            f"{'larger ' if full else ''}local disk that can be written",
        ) from error


def pool_key(manifest_hash: str, image_size: int) -> str:
    """Name a pool by what is in it: the data's manifest hash and the side of the stored crops."""
    return f"{manifest_hash[:24]}-{image_size}"


def pool_folder(key: str) -> Path:
    """Return where this node keeps the pool of that key: under ``$FASRAY_POOL_DIR`` or the system's temporary folder.

    The folder may not exist; two users of one machine get two folders.
    """
    base = storage.local_place_of(POOL_DIR_VARIABLE) or own_temporary_folder() / "pools"
    return base / key


def _shapes(rows: int, size: int) -> dict[str, tuple[int, ...]]:
    return {
        "images.u8": (rows, size, size, 3),
        "depth.u8": (rows, DEPTH_SIZE, DEPTH_SIZE),
        "parsing.u8": (rows, PARSING_SIZE, PARSING_SIZE),
    }


def _mapped(path: Path, shape: Sequence[int]) -> Pixels:
    wanted, there = int(np.prod(shape)), path.stat().st_size
    if there != wanted:
        raise ValueError(f"{path.name} has {there} bytes, not {wanted}")
    array: Any = np.memmap(path, dtype=np.uint8, mode="r", shape=tuple(shape)) if wanted else np.empty(shape, np.uint8)
    return array.view(np.ndarray)  # type: ignore[no-any-return]


def _reserved(path: Path, shape: Sequence[int]) -> Pixels:
    """Map a new file whose blocks are allocated now, so that a full disk is an error here and no SIGBUS later."""
    need = int(np.prod(shape))
    with path.open("wb") as file:
        if need:
            os.posix_fallocate(file.fileno(), 0, need)
    return np.memmap(path, dtype=np.uint8, mode="r+", shape=tuple(shape)) if need else np.empty(shape, np.uint8)


def _remove_abandoned(folder: Path) -> None:
    """Remove what dead writers of this pool left: the kernel has released their locks."""
    for partial in folder.parent.glob(f".{folder.name}.partial-*"):
        with contextlib.suppress(OSError), storage.lock_file(partial / "lock", "r+", wait=False):
            shutil.rmtree(partial, ignore_errors=True)
