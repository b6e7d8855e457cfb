"""One differentiable gradient step on a module's parameters, and its output under parameters other than its own.

What meta-learning by simulated domain shift needs (Finn et al., MAML, ICML 2017, equation 1; the module itself is
never changed). Several workers take the step of one: the gradient is averaged over them, differentiably.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fasray.nets.batchnorm import Average

Parameters = Mapping[str, Tensor]
"""Parameters of a module by name."""


def inner_step(module: nn.Module, loss: Tensor, rate: float, *, second_order: bool, average: Average) -> Parameters:
    """Return the module's parameters after one step of plain gradient descent on ``loss``.

    Args:
        module: whose parameters; ``loss`` must depend on all of them.
        loss: scalar of this worker; its graph is kept.
        rate: of the step.
        second_order: whether what is computed from the result is differentiated through the gradient too.
        average: mean over the workers of tensors, differentiable (``StepContext.average``).
    """
    names, own = zip(*module.named_parameters(), strict=True)
    # Retained in both orders: the outer update goes through the same graph again.
    grads = average(torch.autograd.grad(loss, own, create_graph=second_order, retain_graph=True))
    return {name: value - rate * grad for name, value, grad in zip(names, own, grads, strict=True)}


def forward_with(module: nn.Module, parameters: Parameters, x: Tensor) -> Any:
    """Return ``module(x)`` computed with other parameters; its running statistics stay as they are.

    Training mode uses batch statistics as usual; the running statistics that it updates are copies.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, {**parameters, **buffers}, (x,))
