"""Dropout whose masks come from a named stream, so that they depend on neither the workers nor the order of calls.

torch's own dropout draws from its global generator: a resumed run, or one on other workers, would drop other features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def dropout_mask(
    rng: np.random.Generator, like_BF: Tensor, rate: float, *, groups: int, rank: int, world_size: int
) -> Tensor:
    """Return what to multiply features by: 0 with probability ``rate``, else 1 / (1 - rate).

    The mask of the whole batch of all workers is drawn, and the rows of this worker's images are returned.

    Args:
        rng: the stream of this step, the same on every rank; advanced by one number.
        like_BF: the features, whose shape, type and device the mask takes.
        rate: probability of a feature to be dropped, below 1.
        groups: (domain, label) groups of a balanced batch, each of which the workers share.
        rank: index of this worker.
        world_size: number of workers.
    """
    count, features = like_BF.shape
    generator = torch.Generator(like_BF.device)  # on the device: nothing has to be copied there
    generator.manual_seed(int(rng.integers(2**63 - 1)))
    keep = torch.rand(count * world_size, features, generator=generator, device=like_BF.device) >= rate
    keep = share_of(keep, groups=groups, rank=rank, world_size=world_size)
    return keep.to(like_BF.dtype) / (1 - rate)


def share_of(whole: Tensor, *, groups: int, rank: int, world_size: int) -> Tensor:
    """Return the rows of this worker's images, of a tensor with a row for each image of all workers.

    Args:
        whole: [N, ...], in the order of the batch that a single worker would have.
        groups: (domain, label) groups of a balanced batch, each of which the workers share.
        rank: index of this worker.
        world_size: number of workers.
    """
    if world_size == 1:
        return whole
    return whole.view(groups, world_size, -1, *whole.shape[1:])[:, rank].flatten(0, 1)
