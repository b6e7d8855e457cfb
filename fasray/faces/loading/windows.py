"""Windows of stored crops, picked, cut and mirrored in one go on the host, so that nothing else of them is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Windows:
    """Which windows are wanted of n picked rows, V of each."""

    corner: NDArray[np.int64]
    """[V, n, 2] top and left, stored pixels."""
    flipped: NDArray[np.bool_]
    """[V, n] mirrored horizontally."""
    size: int
    """Side, pixels."""

    def of(self, crops: Pixels, rows: NDArray[np.int64]) -> Pixels:
        """Return the windows [V, n, size, size, 3] of rows [n] of the crops [N, S, S, 3], see :func:`cut`."""
        return cut(crops, np.broadcast_to(rows, self.flipped.shape), self.corner, self.flipped, self.size)


def cut(
    crops: Pixels, rows: NDArray[np.int64], corner: NDArray[np.int64], flipped: NDArray[np.bool_], size: int
) -> Pixels:
    """Copy windows out of crops that are in memory or mapped.

    Args:
        crops: [N, S, S, 3].
        rows: [...] which of them.
        corner: [..., 2] top and left of each window.
        flipped: [...] mirrored horizontally.
        size: side of the windows, at most S.

    Returns:
        [..., size, size, 3], contiguous and writable.

    Raises:
        IndexError: a row or a corner is out of range.
    """
    crops = np.ascontiguousarray(crops)
    count, height, width, channels = crops.shape
    image, line, pixel, _ = crops.strides
    # Of every place where a window can begin its lines, each as one item of size * 3 bytes: they are copied whole.
    lines: NDArray[Any] = np.ndarray(
        (count, height - size + 1, width - size + 1, size),
        dtype=f"V{size * channels}",
        buffer=crops,
        strides=(image, line, pixel, line),
    )
    found = np.ascontiguousarray(lines[rows, corner[..., 0], corner[..., 1]])
    windows = found.view(np.uint8).reshape(*found.shape, size, channels)
    if flipped.any():
        import torch  # mirrors pixels of three bytes ten times as fast as NumPy; a pool is opened without it

        mirrored = torch.from_numpy(windows[flipped]).permute(0, 3, 1, 2).flip(3)
        windows[flipped] = mirrored.permute(0, 2, 3, 1).numpy()
    return windows
