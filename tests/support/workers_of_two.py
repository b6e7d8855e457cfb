"""One of two gloo workers of test_context.py; the functions also serve the single worker it is compared with."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fasray.training.context import Context, DistributedContext

Batch = tuple[Tensor, Tensor]


def whole_batch() -> Batch:
    torch.manual_seed(0)
    return torch.randn(8, 5, dtype=torch.float64), torch.arange(8) % 2


def share(batch: Batch, rank: int) -> Batch:
    return batch[0][rank * 4 : rank * 4 + 4], batch[1][rank * 4 : rank * 4 + 4]


def network() -> nn.ModuleDict:
    torch.manual_seed(1)
    parts = {"body": nn.Linear(5, 3), "head": nn.Linear(3, 1), "rank 0 only": nn.Linear(3, 1), "idle": nn.Linear(1, 1)}
    return nn.ModuleDict(parts).double()


def coupled(features: Tensor, labels: Tensor) -> Tensor:
    """A loss that every pair of the batch enters."""
    unit = nn.functional.normalize(features)
    same = labels[:, None] == labels[None, :]
    return (torch.log_softmax(unit @ unit.T / 0.5, dim=1) * same).sum() / -len(labels)


def gradients(context: Context, batch: Batch) -> dict[str, Tensor]:
    """First order: a loss per image, one over the whole batch, one head of rank 0's, one idle."""
    net, (images, labels) = network(), batch
    features = net["body"](images)
    loss = nn.functional.binary_cross_entropy_with_logits(net["head"](features)[:, 0], labels.double())
    if context.rank == 0:
        loss = loss + context.world_size * net["rank 0 only"](features[:1]).square().sum()
    loss = loss + coupled(context.gather(features), context.gather(labels))
    loss.backward()
    context.average_gradients(net.parameters())
    assert net["idle"].weight.grad is None
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def penalised_gradients(context: Context, batch: Batch) -> dict[str, Tensor]:
    """Second order: an inner gradient, averaged, whose step's loss is differentiated again, through a gather too."""
    net, (images, labels) = network(), batch
    body = net["body"]
    assert isinstance(body, nn.Linear)
    weight, bias = body.weight, body.bias
    inner = coupled(context.gather(images @ weight.T + bias), context.gather(labels))
    (gradient,) = context.average(torch.autograd.grad(inner, [weight], create_graph=True))
    features = images @ (weight - 0.3 * gradient).T + bias
    outer = net["head"](features).square().mean() + coupled(context.gather(features), context.gather(labels))
    outer.backward()
    context.average_gradients(body.parameters())
    assert weight.grad is not None
    assert bias.grad is not None
    return {"second order weight": weight.grad, "second order bias": bias.grad}


class Stopping(DistributedContext):
    def wants_to_stop(self) -> bool:
        return self.rank == 0


if __name__ == "__main__":
    dist.init_process_group("gloo")
    context = Stopping("nowhere", seed=0, total_steps=1)
    part = share(whole_batch(), context.rank)
    results = {**gradients(context, part), **penalised_gradients(context, part)}
    results["stop"] = torch.tensor(float(context.should_stop()))
    results["total"] = context.total(torch.tensor(1.0 + context.rank))
    torch.save(results, sys.argv[1])
    dist.destroy_process_group()
