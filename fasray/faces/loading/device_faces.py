"""A copy of a pool's pixels on a device, made once a process, from which the trials there pick."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from fasray.faces.loading.pool import FacePool
from fasray.faces.loading.windows import Pixels

_CHUNK = 64 << 20
"""Bytes that are copied at once."""


@dataclass(frozen=True, eq=False)
class DeviceFaces:
    """Pixels of all rows of a pool, uint8."""

    images: Tensor
    """[N, S, S, 3] RGB."""
    depth: Tensor | None = None
    """[N, 32, 32], if asked for."""
    parsing: Tensor | None = None
    """[N, 64, 64], if asked for."""


def fits(need: int, *, free: int, total: int, share: float) -> bool:
    """Tell whether a copy of ``need`` bytes may be made on a card of ``total`` bytes of which ``free`` are free.

    A trial that holds ``share`` of the card (1 = all of it) may fill that share; half of it, or half of what is free
    if that is less, is left to its networks and steps.
    """
    return need <= min(free, share * total) / 2


def fits_on_card(need: int, device: torch.device, share: float) -> bool:
    """Ask a CUDA device for its memory and decide by :func:`fits`."""
    free, total = torch.cuda.mem_get_info(device)
    return fits(need, free=free, total=total, share=share)


def device_faces(
    pool: FacePool, device: torch.device, *, depth: bool, parsing: bool, allowed: Callable[[int], bool]
) -> DeviceFaces | None:
    """Return this process's copy of a pool on a device; None if it is not there and may not be made.

    It is kept as long as the pool is open, for all trials that train from it.

    Args:
        pool: whose pixels.
        device: where.
        depth: whether depth maps are needed there.
        parsing: the same for parsing maps.
        allowed: whether so many bytes more may be taken there.
    """
    there = _COPIES.get(pool)
    if there is None or there.images.device.type != device.type:
        there = DeviceFaces(torch.empty(0, dtype=torch.uint8, device=device))
    wanted = {"images": not len(there.images), "depth": depth and there.depth is None}
    wanted["parsing"] = parsing and there.parsing is None
    missing = {name: getattr(pool, name) for name, needed in wanted.items() if needed}
    if not missing:
        return there
    if not allowed(sum(pixels.nbytes for pixels in missing.values())):
        return None
    try:
        there = replace(there, **{name: _copied(pixels, device) for name, pixels in missing.items()})
    except torch.OutOfMemoryError:  # another process took what was free
        return None
    _COPIES[pool] = there
    return there


def copy_bytes(pool: FacePool, *, depth: bool, parsing: bool) -> int:
    """Return the bytes of a copy of a pool with these maps."""
    return pool.images.nbytes + depth * pool.depth.nbytes + parsing * pool.parsing.nbytes


def forget_copy(pool: FacePool) -> None:
    """Free this process's copy of a pool, if there is one and no trial uses it."""
    _COPIES.pop(pool, None)


_COPIES: MutableMapping[FacePool, DeviceFaces] = WeakKeyDictionary()


def _copied(pixels: Pixels, device: torch.device | str) -> Tensor:
    there = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    rows = max(1, _CHUNK * len(pixels) // max(1, pixels.nbytes))
    for start in range(0, len(pixels), rows):
        part = slice(start, start + rows)
        there[part] = torch.from_numpy(np.array(pixels[part]))
    return there
