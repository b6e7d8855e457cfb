"""Find where a step makes the host wait for the device, or sends numbers to it.

Found on the CPU, so that no GPU is needed: every way by which a tensor's value comes to Python is watched, and every
one by which Python's numbers become a tensor on a device. On a GPU each stops the host until the queued work is done;
an upload of :class:`fasray.faces.loading.upload.Uploader` does not, and is counted only.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fasray.faces.loading import upload, windows

_READS = frozenset(
    {
        *("item", "tolist", "cpu", "numpy"),
        *("__array__", "__bool__", "__float__", "__int__", "__index__", "__contains__"),
    }
)
"""Ways by which Python reads a tensor."""
_SENDS = frozenset({"tensor", "as_tensor", "asarray"})
"""Ways by which numbers become a tensor; with a device they are copied to it."""
_ARRAYS = ("from_numpy", "frombuffer")
"""Ways by which arrays become one; torch does not report them."""
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
_UPLOADER = Path(upload.__file__)
_ON_THE_HOST = Path(windows.__file__)
"""Where torch is used on arrays that stay on the host."""


@dataclass(frozen=True)
class Traffic:
    """Between host and device, in places as ``what at file:line``."""

    waits: frozenset[str]
    """Where the host waits."""
    uploads: tuple[str, ...]
    """Every time that something is sent to the device, in order."""


def watch(work: Callable[[], object]) -> Traffic:
    """Run ``work`` and return what goes between host and device.

    What torch's optimizers do is left out: they count their steps in tensors that live on the host.

    Args:
        work: anything that computes on CPU tensors, gradients included.
    """
    found, pause = _Found(), _Pause()
    with _Functions(found, pause), _Operators(found, pause), found.arrays():
        work()
    return Traffic(frozenset(found.waits), tuple(found.uploads))


def host_syncs(step: Callable[[], object]) -> list[str]:
    """Run ``step`` and return each place that waits, ``what at file:line``, sorted; empty if none does.

    Args:
        step: as for :func:`watch`.
    """
    return sorted(watch(step).waits)


class _Found:
    """What has been seen so far."""

    def __init__(self) -> None:
        self.waits: set[str] = set()
        self.uploads: list[str] = []
        self._sent: dict[int, Tensor] = {}
        """Tensors made of host numbers, by address; they are kept so that no other gets theirs."""

    @contextmanager
    def arrays(self) -> Iterator[None]:
        """Count as uploads what is made of arrays."""

        def counted(make: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
            made = make(*args, **kwargs)
            self.upload(f"torch.{make.__name__}", made)
            return made

        before = {name: getattr(torch, name) for name in _ARRAYS}
        try:
            for name, make in before.items():
                setattr(torch, name, partial(counted, make))
            yield
        finally:
            for name, make in before.items():
                setattr(torch, name, make)

    def wait(self, what: str) -> None:
        """Add the innermost place that is neither torch's nor ours."""
        place = _place()
        if place is not None and place[0] not in (_ON_THE_HOST, _UPLOADER):
            self.waits.add(f"{what} at {place[0].name}:{place[1]}")

    def upload(self, what: str, sent: Tensor) -> None:
        """Count an upload at such a place; only those of the uploader are not waited for."""
        place = _place()
        if place is None or place[0] == _ON_THE_HOST or sent.data_ptr() in self._sent:
            return
        self._sent[sent.data_ptr()] = sent
        self.uploads.append(f"{what} at {place[0].name}:{place[1]}")
        if place[0] != _UPLOADER:
            self.wait(what)


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

    def __init__(self, found: _Found, pause: _Pause) -> None:
        super().__init__()
        self._found, self._pause = found, pause

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in _READS and not self._pause.depth:
            self._found.wait(f"Tensor.{name}")
        if name in _BLIND_ON_A_GPU and (len(args) > 1 or kwargs):
            with self._pause():
                return func(*args, **kwargs)
        result = func(*args, **kwargs)
        device = kwargs.get("device")
        if name == "new_tensor" or (name in _SENDS and device is not None):
            self._found.upload(f"torch.{name} of host numbers", result)
        elif name == "cuda" or (name == "to" and isinstance(device or (args + (None,))[1], str | torch.device)):
            self._found.upload(f"Tensor.{name} a device", args[0])
        elif name in ("__getitem__", "__setitem__") and _has_numbers(args[1]):
            self._found.upload("indexing by host numbers", args[0])
        return result


def _has_numbers(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, list | np.ndarray) for part in parts)


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches the operators that come of it, those inside of gradients and C++ functions too."""

    def __init__(self, found: _Found, pause: _Pause) -> None:
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
            self._found.wait(f"{name} by a mask" if by_mask else name)
        return func(*args, **(kwargs or {}))


def _place() -> tuple[Path, int] | None:
    """Return file and line of the innermost place that is neither torch's nor ours; None in an optimizer."""
    frames = [(Path(frame.filename), frame.lineno or 0) for frame in traceback.extract_stack()]
    if any(file.is_relative_to(_TORCH / "optim") for file, _ in frames):
        return None
    others = [frame for frame in frames if frame[0].name != _OWN]
    theirs = [frame for frame in others if not frame[0].is_relative_to(_TORCH)]
    return (theirs or others)[-1]
