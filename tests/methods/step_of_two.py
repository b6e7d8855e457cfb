"""One of two gloo workers of test_two_workers.py: the same steps as a single worker, on its half of each batch."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from toy_draws import STEADY, built, draws_of

from fasray.methods.base import Draw, Method
from fasray.nets.batchnorm import synchronise
from fasray.training.context import Context, DistributedContext

STEPS = 3


def half(draw: Draw, positions: torch.Tensor) -> Draw:
    parts = (draw.depth, draw.parsing)
    return Draw(
        tuple(view[positions] for view in draw.views),
        draw.label[positions],
        draw.domain[positions],
        *(None if part is None else part[positions] for part in parts),
    )


def positions(method: Method, rank: int, count: int) -> torch.Tensor:
    """Balanced batches are shared within each group; shuffled ones so that each worker misses a domain."""
    if method.sampling.kind == "balanced":
        return torch.arange(count).view(-1, 2, 2)[:, rank].reshape(-1)
    return torch.arange(rank * count // 2, (rank + 1) * count // 2)


def train(method: Method, context: Context) -> dict[str, torch.Tensor]:
    """Take the steps in double precision, where workers and whole can agree to many digits; return all there is.

    The last step's gradients too: Adam's steps hardly change with their scale.
    """
    method.networks.double()
    synchronise(method.networks, context.average, context.world_size)
    logs: dict[str, torch.Tensor] = {}
    for context.step in range(STEPS):
        draws = [double(draw) for draw in draws_of(method, 3, per_group=4, seed=context.step)]
        if context.world_size > 1:
            draws = [half(draw, positions(method, context.rank, len(draw.label))) for draw in draws]
        logs = method.step(draws, context)
    grads = {f"grad {name}": one.grad for name, one in method.networks.named_parameters() if one.grad is not None}
    return {**{f"log {key}": value for key, value in logs.items()}, **grads, **method.networks.state_dict()}


def double(draw: Draw) -> Draw:
    return Draw(
        tuple(view.double() for view in draw.views),
        draw.label,
        draw.domain,
        None if draw.depth is None else draw.depth.double(),
        draw.parsing,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    results = {}
    for name in sys.argv[2:]:
        results[name] = train(
            built(name, **STEADY.get(name, {})), DistributedContext("nowhere", seed=0, total_steps=20)
        )
    torch.save(results, sys.argv[1].format(rank=dist.get_rank()))
    dist.destroy_process_group()
