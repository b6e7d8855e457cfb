"""Find where images are laid out anew on their way through channels-last networks, which costs a copy each time."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

FEWEST_CHANNELS = 3
"""Maps of fewer channels are too small to matter."""
_TORCH = Path(torch.__file__).parent


def plain_convolutions(work: Callable[[], object]) -> list[str]:
    """Run ``work`` and return the convolutions of maps that are not channels last, ``shape at file:line``, sorted.

    Args:
        work: anything that computes with networks and images that are.
    """
    found: set[str] = set()
    with _Convolutions(found):
        work()
    return sorted(found)


class _Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, found: set[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found = found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func._overloadpacket.__name__ == "convolution" and _is_plain(args[0]):
            theirs = [frame for frame in traceback.extract_stack()[:-1] if _TORCH not in Path(frame.filename).parents]
            place = f"{Path(theirs[-1].filename).name}:{theirs[-1].lineno}"
            self._found.add(f"{'x'.join(map(str, args[0].shape))} at {place}")
        return func(*args, **(kwargs or {}))


def _is_plain(x: Tensor) -> bool:
    if x.dim() != 4 or x.shape[1] < FEWEST_CHANNELS or x.shape[2] * x.shape[3] == 1:
        return False
    return not x.is_contiguous(memory_format=torch.channels_last)
