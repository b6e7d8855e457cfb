"""What stays float32 when a step runs in bfloat16 autocast (``training.precision: bf16``).

bfloat16 has 8 bits: networks bear that, but losses that subtract near numbers do not, nor steps that are small next to
the weights that they change. In float32, and in float64, nothing here changes a bit.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """Return the tensor as float32 if it is in half precision, else as it is; differentiable."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast on the device of ``x``; give what comes into it through :func:`full`."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)  # there is none for shapes
