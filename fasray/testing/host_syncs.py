"""Find where a step makes the host wait for the device: a value read, a size that depends on values, numbers sent over.

Found on the CPU, so that no GPU is needed: every way by which a tensor's value comes to Python is watched, and every
one by which Python's numbers become a tensor on a device. On a GPU each stops the host until the queued work is done.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_READS = frozenset(
    {
        *("item", "tolist", "cpu", "numpy"),
        *("__array__", "__bool__", "__float__", "__int__", "__index__", "__contains__"),
    }
)
"""Ways by which Python reads a tensor."""
_SENDS = frozenset({"tensor", "as_tensor", "asarray", "from_numpy"})
"""Ways by which numbers become a tensor; with a device, or from NumPy, they are then copied to it."""
_VALUE_SIZED = frozenset(
    {
        *("_local_scalar_dense", "is_nonzero", "equal"),
        *("nonzero", "masked_select", "bincount", "_unique2", "unique_dim", "unique_consecutive"),
    }
)
"""Operators that read values, or whose result has a size that depends on them."""
_INDEXING = frozenset({"index", "index_put", "index_put_", "_unsafe_index"})
_BLIND_ON_A_GPU = frozenset({"one_hot"})
"""Functions that look at the values on the CPU only, to check them."""
_OWN = Path(__file__).name
_TORCH = Path(torch.__file__).parent


def host_syncs(step: Callable[[], object]) -> list[str]:
    """Run ``step`` and return each place that waits, ``what at file:line``, sorted; empty if none does.

    What torch's optimizers do is left out: they count their steps in tensors that live on the host.

    Args:
        step: anything that computes on CPU tensors, gradients included.
    """
    found: set[str] = set()
    pause = _Pause()
    with _Functions(found, pause), _Operators(found, pause):
        step()
    return sorted(found)


class _Pause:
    """Whether we are inside a function that is known not to wait."""

    def __init__(self) -> None:
        self.depth = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


class _Functions(TorchFunctionMode):
    """Watches what Python calls."""

    def __init__(self, found: set[str], pause: _Pause) -> None:
        super().__init__()
        self._found, self._pause = found, pause

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READS and not self._pause.depth:
            _note(self._found, f"Tensor.{name}")
        if name in _SENDS and (name == "from_numpy" or (kwargs or {}).get("device") is not None):
            _note(self._found, f"torch.{name} of host numbers")
        if name in _BLIND_ON_A_GPU and (len(args) > 1 or kwargs):
            with self._pause():
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the operators that come of it, those inside of gradients and C++ functions too."""

    def __init__(self, found: set[str], pause: _Pause) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found, self._pause = found, pause

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func._overloadpacket.__name__
        by_mask = name in _INDEXING and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        counted = name == "repeat_interleave" and func._overloadname == "Tensor"
        if (name in _VALUE_SIZED or by_mask or counted) and not self._pause.depth:
            _note(self._found, f"{name} by a mask" if by_mask else name)
        return func(*args, **(kwargs or {}))


def _note(found: set[str], what: str) -> None:
    """Add the innermost place that is neither torch's nor ours."""
    frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).name != _OWN]
    if any(Path(frame.filename).is_relative_to(_TORCH / "optim") for frame in frames):
        return
    theirs = [frame for frame in frames if not Path(frame.filename).is_relative_to(_TORCH)]
    place = theirs[-1] if theirs else frames[-1]
    found.add(f"{what} at {Path(place.filename).name}:{place.lineno}")
