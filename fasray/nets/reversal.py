"""Gradient reversal: the identity forwards, a negative factor backwards, so that features work against a classifier.

Ganin and Lempitsky, Unsupervised Domain Adaptation by Backpropagation, ICML 2015. The factor follows from the step, so
no layer counts its own calls and a resumed run goes on exactly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

STEEPNESS = 10.0
"""Of the factor's rise over the budget."""


def reversal_factor(step: int, total_steps: int) -> float:
    """Return 2 / (1 + exp(-10 step / total_steps)) - 1: 0 at the start, 0.46 after a tenth, nearly 1 at the end.

    Args:
        step: optimizer steps begun, the present one included.
        total_steps: full budget, at least 1.
    """
    return 2 / (1 + math.exp(-STEEPNESS * step / total_steps)) - 1


def reverse_gradient(x: Tensor, factor: float) -> Tensor:
    """Return ``x``, whose gradient will come back multiplied by ``-factor``; not differentiable twice in ``factor``."""
    reversed_: Tensor = _Reversal.apply(x, factor)
    return reversed_


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return -ctx.factor * grads[0], None
