"""One upload for all that a step needs: host arrays in one buffer, moved at once and taken apart on the device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_DTYPES = {
    np.dtype("uint8"): torch.uint8,
    np.dtype("bool"): torch.bool,
    np.dtype("int64"): torch.int64,
    np.dtype("float32"): torch.float32,
}
_ALIGNMENT = 16


@dataclass(frozen=True)
class _Field:
    """Where an array is in the buffer."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    place: slice


@dataclass(frozen=True, eq=False)
class Upload:
    """A buffer on its way to a device, or there."""

    buffer: Tensor
    fields: tuple[_Field, ...]
    arrived: torch.cuda.Event | None

    def tensors(self) -> dict[str, Tensor]:
        """Return the arrays as tensors of the device, by name; its current stream waits for them, the host does not."""
        if self.arrived is not None:
            stream = torch.cuda.current_stream(self.buffer.device)
            stream.wait_event(self.arrived)
            self.buffer.record_stream(stream)
        return {field.name: self.buffer[field.place].view(field.dtype).view(field.shape) for field in self.fields}


class Uploader:
    """Moves arrays to a device, all of a call in one copy.

    On CUDA the copy is made from page-locked memory and nobody waits for it; torch's allocator of such memory gives a
    buffer to the next call only when the copy from it is done.

    Args:
        device: where to.
        ahead: copy on a stream of its own while others compute: for a thread that prepares later steps.
    """

    def __init__(self, device: torch.device, *, ahead: bool = False) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if ahead and device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Upload:
        """Move arrays of bytes, bools, int64 and float32; they may be changed as soon as this returns."""
        fields, end = [], 0
        for name, array in arrays.items():
            fields.append(_Field(name, _DTYPES[array.dtype], array.shape, slice(end, end + array.nbytes)))
            end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
        if self._device.type != "cuda":
            packed = np.empty(end, dtype=np.uint8)
            _fill(packed, fields, arrays)
            return Upload(torch.from_numpy(packed).to(self._device), tuple(fields), None)
        with self._on_stream():
            locked = torch.empty(end, dtype=torch.uint8, pin_memory=True)
            _fill(locked.numpy(), fields, arrays)
            moved = locked.to(self._device, non_blocking=True)
            return Upload(moved, tuple(fields), None if self._stream is None else self._stream.record_event())

    def _on_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self._device) if self._stream is None else torch.cuda.stream(self._stream)


def _fill(packed: NDArray[np.uint8], fields: list[_Field], arrays: Mapping[str, NDArray[Any]]) -> None:
    for field in fields:
        array = arrays[field.name]
        packed[field.place].view(array.dtype).reshape(array.shape)[...] = array
