"""BatchNorm whose training statistics are those of all workers' images, so that N workers train like one.

torch's ``SyncBatchNorm`` refuses the CPU and cannot be differentiated twice; this one uses the differentiable mean over
the workers of the step context. With a single worker it is torch's own batch normalisation, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Average = Callable[[Sequence[Tensor]], list[Tensor]]
"""Mean over the workers of each tensor, differentiable: ``StepContext.average``."""


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """What the classes below share.

    Args:
        num_features: channels.
        momentum: share of the newest batch in the running statistics.
    """

    def __init__(self, num_features: int, momentum: float = 0.1) -> None:
        super().__init__(num_features, momentum=momentum)
        self.average: Average | None = None
        self.world_size = 1

    def forward(self, input: Tensor) -> Tensor:
        """Normalise [B, C, ...]; in training by the statistics of the workers' batches, which have equal sizes."""
        if self.average is None or not self.training:
            return super().forward(input)
        x = input.to(self.weight.dtype)  # statistics keep their digits where the images came in half precision
        rest, shape = (0, *range(2, x.dim())), (-1, *(x.dim() - 2) * (1,))
        (mean,) = self.average([x.mean(dim=rest)])
        centred = x - mean.view(shape)
        (variance,) = self.average([centred.square().mean(dim=rest)])
        self._remember(mean.detach(), variance.detach(), self.world_size * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; the running variance is the unbiased one, as in torch."""
        assert self.momentum is not None and self.running_mean is not None and self.running_var is not None  # noqa: S101, PT018
        assert self.num_batches_tracked is not None  # noqa: S101
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        self.num_batches_tracked += 1


class BatchNorm1d(_BatchNorm, nn.BatchNorm1d):
    """``torch.nn.BatchNorm1d`` of [B, C], as :class:`BatchNorm2d`."""


class BatchNorm2d(_BatchNorm, nn.BatchNorm2d):
    """``torch.nn.BatchNorm2d``, names of its state included, that :func:`synchronise` can bind to other workers."""


def synchronise(networks: nn.Module, average: Average, world_size: int) -> None:
    """Bind the batch normalisation of the networks to the mean over the workers; done once, after building.

    Only that of the two classes above is bound.

    Args:
        networks: all networks of a method.
        average: the context's differentiable mean over the workers.
        world_size: number of workers; with 1 nothing changes.
    """
    for module in networks.modules():
        if isinstance(module, _BatchNorm):
            module.average, module.world_size = (average if world_size > 1 else None), world_size


def own_batchnorm(network: nn.Module) -> nn.Module:
    """Return a network of another library with :class:`BatchNorm2d` in place of its batch normalisation.

    State-dict names and values stay. An activation that is part of a layer, as timm has it, stays part of it.
    """
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d) and not isinstance(layer, BatchNorm2d):
                setattr(parent, name, _own(layer))
    return network


class _BatchNormAct(BatchNorm2d):
    """Batch normalisation, then an activation."""

    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Return the activation of the normalised [B, C, H, W]."""
        activated: Tensor = self.act(super().forward(input))
        return activated


def _own(layer: nn.BatchNorm2d) -> BatchNorm2d:
    act = getattr(layer, "act", None)
    own = BatchNorm2d(layer.num_features) if act is None else _BatchNormAct(layer.num_features)
    if act is not None:
        own.act = act
    assert layer.momentum is not None  # noqa: S101
    own.momentum, own.eps = layer.momentum, layer.eps
    own.to(layer.weight.device).load_state_dict(layer.state_dict())
    return own
