"""Gradients at perturbed weights: right, and without a trace in the module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fasray.nets.batchnorm import BatchNorm2d
from fasray.nets.perturbed import gradients, gradients_at, norm


class Quadratic(nn.Module):
    """w.H w / 2 of two weights, whose gradient is H w."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.unused = nn.Parameter(torch.ones(1))
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        self.hessian = torch.tensor([[2.0, 1.0], [1.0, 3.0]])

    def forward(self) -> Tensor:
        return self.weight @ self.hessian @ self.weight / 2


def test_the_gradient_of_a_quadratic_is_that_of_the_perturbed_place() -> None:
    module, step = Quadratic(), torch.tensor([0.5, 0.25])
    loss, found = gradients_at(module, {"weight": step}, module, list)
    place = module.weight.detach() + step
    assert torch.equal(found["weight"], module.hessian @ place)
    assert torch.equal(loss, place @ module.hessian @ place / 2)
    assert torch.equal(found["unused"], torch.zeros(1))
    assert found.keys() == {"weight", "unused"}
    own = gradients(module, module(), list)
    assert torch.equal(own["weight"], module.hessian @ module.weight.detach())
    assert torch.equal(norm(own), own["weight"].norm())


def test_a_perturbation_of_nothing_gives_the_own_gradient_and_leaves_no_trace() -> None:
    """Batch normalisation in training mode: the same batch statistics, and its running ones stay."""
    torch.manual_seed(0)
    networks = nn.ModuleDict({"a": nn.Sequential(nn.Conv2d(3, 4, 3), BatchNorm2d(4), nn.ReLU()), "b": nn.Linear(4, 1)})
    images = torch.rand(5, 3, 8, 8)

    def loss() -> Tensor:
        output: Tensor = networks["b"](networks["a"](images).mean((2, 3)))
        return output.square().mean()

    own = gradients(networks, loss(), list)
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    value, found = gradients_at(networks, {}, loss, list)
    assert all(torch.equal(found[name], own[name]) for name in own)
    step = {name: 0.1 * torch.ones_like(value) for name, value in networks.named_parameters()}
    moved, elsewhere = gradients_at(networks, step, loss, list)
    assert moved != value
    assert not torch.equal(elsewhere["b.weight"], own["b.weight"])
    after = networks.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in networks.parameters())
    assert all(isinstance(parameter, nn.Parameter) for parameter in networks.parameters())


def test_gradients_are_averaged_before_they_are_returned() -> None:
    """As of two workers, the other of which has none."""
    module = Quadratic()
    _, alone = gradients_at(module, {}, module, list)
    _, halved = gradients_at(module, {}, module, lambda tensors: [tensor / 2 for tensor in tensors])
    assert torch.equal(halved["weight"], alone["weight"] / 2)
