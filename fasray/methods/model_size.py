"""Size of a method's model: parameters, and multiply-accumulates to score one image, counted without running it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fasray.methods import registry
from fasray.methods.base import Build
from fasray.nets import backbones

_SIDE = 256


@dataclass(frozen=True)
class ModelSize:
    """Size of a method's default configuration, or of a backbone."""

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
    parameters = sum(parameter.numel() for parameter in method.networks.parameters() if parameter.requires_grad)
    return ModelSize(parameters, _macs(method.score))


def backbone_size(name: str, *, width: float = 1.0, image_size: int = _SIDE) -> ModelSize:
    """Return the size of a backbone alone.

    Args:
        name: of the backbone.
        width: channel multiplier.
        image_size: side of the image.

    Raises:
        SpecError: there is no such backbone.
    """
    with torch.device("meta"):
        network = backbones.make(name, width=width, image_size=image_size).eval()
    return ModelSize(sum(parameter.numel() for parameter in network.parameters()), _macs(network, image_size))


def _macs(score: Callable[[Tensor], Tensor], side: int = _SIDE) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        score(torch.zeros(1, 3, side, side, device="meta"))
    return counter.get_total_flops() // 2
