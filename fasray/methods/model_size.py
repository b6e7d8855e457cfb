"""Size of a method's model: parameters, and multiply-accumulates to score one image, counted without running it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from fasray.methods import registry
from fasray.methods.base import Build

_SIDE = 256


@dataclass(frozen=True)
class ModelSize:
    """Size of a method's default configuration."""

    parameters: int
    """Trainable parameters of all networks, those that only training uses included."""
    macs: int
    """Multiply-accumulates of convolutions and matrix products to score one image; half of torch's flop count."""


def model_size(name: str, *, width: float = 1.0) -> ModelSize:
    """Return the size of a method's model at its published setting, for images of 256 pixels and 3 source domains.

    Args:
        name: of the method.
        width: channel multiplier.

    Raises:
        SpecError: there is no such method.
    """
    method = registry.get(name)(registry.config(name))
    shapes_only = torch.device("meta")
    with shapes_only:
        method.build(Build(num_domains=3, image_size=_SIDE, total_steps=1, width=width, device=shapes_only))
    counter = FlopCounterMode(display=False)
    with counter:
        method.score(torch.zeros(1, 3, _SIDE, _SIDE, device=shapes_only))
    parameters = sum(parameter.numel() for parameter in method.networks.parameters() if parameter.requires_grad)
    return ModelSize(parameters, counter.get_total_flops() // 2)
