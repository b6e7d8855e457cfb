"""BatchNorm whose training statistics are those of all workers' images, so that N workers train like one.

torch's ``SyncBatchNorm`` refuses the CPU and cannot be differentiated twice; this one uses the differentiable mean over
the workers of the step context. With a single worker it is ``torch.nn.BatchNorm2d``, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Average = Callable[[Sequence[Tensor]], list[Tensor]]
"""Mean over the workers of each tensor, differentiable: ``StepContext.average``."""


class BatchNorm2d(nn.BatchNorm2d):
    """``torch.nn.BatchNorm2d``, names of its state included, that :func:`synchronise` can bind to other workers.

    Args:
        num_features: channels.
        momentum: share of the newest batch in the running statistics.
    """

    def __init__(self, num_features: int, momentum: float = 0.1) -> None:
        super().__init__(num_features, momentum=momentum)
        self.average: Average | None = None
        self.world_size = 1

    def forward(self, input: Tensor) -> Tensor:
        """Normalise [B, C, H, W]; in training by the statistics of the workers' batches, which have equal sizes."""
        if self.average is None or not self.training:
            return super().forward(input)
        x = input.to(self.weight.dtype)  # statistics keep their digits where the images came in half precision
        (mean,) = self.average([x.mean(dim=(0, 2, 3))])
        centred = x - mean[:, None, None]
        (variance,) = self.average([centred.square().mean(dim=(0, 2, 3))])
        self._remember(mean.detach(), variance.detach(), self.world_size * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics; the running variance is the unbiased one, as in torch."""
        assert self.momentum is not None and self.running_mean is not None and self.running_var is not None  # noqa: S101, PT018
        assert self.num_batches_tracked is not None  # noqa: S101
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), self.momentum)
        self.num_batches_tracked += 1


def synchronise(networks: nn.Module, average: Average, world_size: int) -> None:
    """Bind every :class:`BatchNorm2d` of the networks to the mean over the workers; done once, after building.

    Args:
        networks: all networks of a method.
        average: the context's differentiable mean over the workers.
        world_size: number of workers; with 1 nothing changes.
    """
    for module in networks.modules():
        if isinstance(module, BatchNorm2d):
            module.average, module.world_size = (average if world_size > 1 else None), world_size
