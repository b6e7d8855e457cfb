"""Frames in HDF5 files, as the owners of WMCA and 3DMAD publish them: arrays of red, green and blue planes.

Known are ``Color_Data`` [F, 3, H, W] (3DMAD) and ``Frame_N/array`` [3, H, W] (WMCA), 8 bit. Only what is stored in the
file itself is read: links to other files, external and virtual datasets are refused.
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from fasray.faces.detection import Frame
from fasray.faces.extraction.frames import FrameRule, Remark, Share, UnreadableError, sized, too_few, turned

T = TypeVar("T")
_ALL = "Color_Data"
_ONE = re.compile(r"Frame_(\d+)")
_BUILT_IN = (None, "gzip", "szip", "lzf")
"""Compressions that need no plug-in."""


def holds_arrays(path: str) -> bool:
    """Return whether, by its name, a file is an HDF5 file."""
    return path.lower().endswith((".hdf5", ".h5"))


def map_arrays(
    path: str,
    rule: FrameRule,
    remark: Remark,
    use: Callable[[Frame], T],
    *,
    turn_untagged: int = 0,
    part: tuple[int, int] | None = None,
    share: Share = (0, 1),
) -> list[tuple[int, T]]:
    """Return what ``frames.map_frames`` does for the frames in an HDF5 file, numbered in their order.

    Raises:
        UnreadableError: h5py is not installed, the file is damaged, or holds no frames of a known form.
    """
    with _opened(path) as file:
        frames = _frames(file)
        wanted = rule.takes_of_part(len(frames), part)
        taken = [number for number in range(len(frames)) if number in wanted]
        if not taken:
            raise UnreadableError(f"it has {len(frames)} frames, and none of them is taken")
        if rule.count is not None and len(taken) < rule.count:
            remark(too_few(len(taken), rule.count))
        said: dict[str, None] = {}
        found = [
            (number, use(turned(sized(_picture(*frames[number]), said.setdefault), turn_untagged)))
            for number in taken[share[0] :: share[1]]
        ]
    for text in said:
        remark(text)
    return found


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise UnreadableError("HDF5 is read where pip install 'fasray[hdf5]' has installed its reader") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise UnreadableError(f"cut short or damaged: {' '.join(str(error).split())}") from error


def _frames(file: Any) -> list[tuple[Any, int | None]]:
    """Return (dataset, position in it or None for all of it) of each frame."""
    dataset = _dataset(file, _ALL)
    if dataset is not None and dataset.ndim == 4:
        return [(dataset, number) for number in range(len(dataset))]
    numbers = sorted(int(match[1]) for match in map(_ONE.fullmatch, file) if match is not None)
    found: list[tuple[Any, int | None]] = [(_dataset(file, f"Frame_{number}", "array"), None) for number in numbers]
    if not found or any(array is None for array, _ in found):
        raise UnreadableError(f"an HDF5 file without frames of a known form ({_ALL}, Frame_N/array)")
    return found


def _dataset(file: Any, *names: str) -> Any:
    """Return a dataset of 8 bit planes that is stored in this file, or None.

    Raises:
        UnreadableError: it is stored elsewhere, or needs a plug-in.
    """
    h5py, place = importlib.import_module("h5py"), file
    for name in names:
        if not isinstance(place, h5py.Group) or name not in place:
            return None
        if not isinstance(place.get(name, getlink=True), h5py.HardLink):
            raise UnreadableError(f"{'/'.join(names)} is a link, and links are not followed")
        place = place[name]
    if not isinstance(place, h5py.Dataset) or place.dtype != np.uint8 or place.shape[-3:-2] != (3,):
        return None
    if place.is_virtual or place.external:
        raise UnreadableError(f"{'/'.join(names)} is stored in another file, and such are not read")
    if place.compression not in _BUILT_IN:
        raise UnreadableError(f"{'/'.join(names)} is compressed in a way that needs a plug-in")
    return place


def _picture(dataset: Any, number: int | None) -> Frame:
    planes = np.asarray(dataset[()] if number is None else dataset[number], np.uint8)
    return np.ascontiguousarray(planes[::-1].transpose(1, 2, 0))
