"""Gradients at weights other than a network's own: what sharpness-aware methods step along.

Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, ICLR 2021, equation 3: the gradient
is taken at perturbed weights and applied to the network's own. Here nothing of the module changes meanwhile: neither
its weights, nor its running statistics, nor ``.grad``. Several workers get the gradients of one: they are averaged
before anything, such as a norm, is computed of them, so that all workers perturb alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fasray.nets.batchnorm import Average

Gradients = dict[str, Tensor]
"""A tensor for each trained parameter, by name: a gradient, or a step in the space of the weights."""


def trained(networks: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that require a gradient, by name."""
    return {name: value for name, value in networks.named_parameters() if value.requires_grad}


def gradients(networks: nn.Module, loss: Tensor, average: Average, *, retain_graph: bool = False) -> Gradients:
    """Return the gradient of a loss at the network's own weights, the mean over the workers.

    A parameter that the loss does not depend on has gradient 0.

    Args:
        networks: whose trained parameters.
        loss: scalar of this worker.
        average: mean over the workers of tensors (``StepContext.average``).
        retain_graph: whether the graph of the loss is used once more.
    """
    return _gradients(trained(networks), loss, average, retain_graph)


def gradients_at(
    networks: nn.Module, perturbation: Mapping[str, Tensor], loss: Callable[[], Tensor], average: Average
) -> tuple[Tensor, Gradients]:
    """Return loss, detached, and gradient at the network's weights plus a perturbation.

    Training mode normalises by batch statistics as usual; the running statistics that this moves are copies.

    Args:
        networks: all that ``loss`` calls, a ``ModuleDict`` for instance.
        perturbation: what is added, by name of the parameter; a parameter that is missing stays where it is.
        loss: computes this worker's scalar loss by calling the networks.
        average: mean over the workers of tensors (``StepContext.average``).
    """
    moved = {
        name: (value + perturbation[name] if name in perturbation else value).detach().requires_grad_()
        for name, value in trained(networks).items()
    }
    buffers = {name: buffer.clone() for name, buffer in networks.named_buffers()}
    others = {f"networks.{name}": value for name, value in (moved | buffers).items()}
    found: Tensor = functional_call(_Calling(networks), others, (loss,))
    return found.detach(), _gradients(moved, found, average, retain_graph=False)


def norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the Euclidean length of all tensors taken as one vector, a scalar."""
    length: Tensor = torch.stack([value.norm() for value in tensors.values()]).norm()
    return length


class _Calling(nn.Module):
    """A module whose call is that of any function of its networks."""

    def __init__(self, networks: nn.Module) -> None:
        super().__init__()
        self.networks = networks

    def forward(self, loss: Callable[[], Tensor]) -> Tensor:
        return loss()


def _gradients(weights: Mapping[str, Tensor], loss: Tensor, average: Average, retain_graph: bool) -> Gradients:
    grads = torch.autograd.grad(
        loss, list(weights.values()), retain_graph=retain_graph, allow_unused=True, materialize_grads=True
    )
    return dict(zip(weights, average(grads), strict=True))
