"""Synchronised batch normalisation; that two workers train like one is part of every method's contract."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from fasray.nets.batchnorm import BatchNorm1d, BatchNorm2d, synchronise

KINDS = pytest.mark.parametrize(
    ("own_kind", "plain_kind", "shape"),
    [(BatchNorm1d, nn.BatchNorm1d, (8, 3)), (BatchNorm2d, nn.BatchNorm2d, (4, 3, 5, 5))],
)


def some(shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def assert_same_state(one, other):
    for name, value in one.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value)


@KINDS
def test_a_world_of_one_is_plain_batchnorm(own_kind, plain_kind, shape):
    images, plain, own = some(shape), plain_kind(3), own_kind(3)
    assert torch.equal(plain(images), own(images))
    own.average, own.world_size = list, 1
    torch.testing.assert_close(plain(images), own(images))
    assert_same_state(plain, own)


@KINDS
def test_two_workers_normalise_by_the_whole_batch(own_kind, plain_kind, shape):
    """Outputs, running statistics and the gradient of a loss that weighs every element differently."""
    meeting, given = threading.Barrier(2), {}

    def worker(rank):
        def average(tensors):
            given[rank] = tensors
            meeting.wait(10)
            means = [(one + other) / 2 for one, other in zip(given[0], given[1], strict=True)]
            meeting.wait(10)
            return means

        own = own_kind(3).double()
        synchronise(own, average, 2)
        return own(part[rank]), own

    whole, wanted = some(shape, 1, torch.float64).requires_grad_(), plain_kind(3).double()
    part = whole.chunk(2)
    with ThreadPoolExecutor(2) as workers:
        (first, own), (second, _) = workers.map(worker, (0, 1))
    weigh = some(shape, 2, torch.float64)
    found, expected = torch.cat([first, second]), wanted(whole)
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad((expected * weigh).sum(), whole)
    torch.testing.assert_close(torch.autograd.grad((found * weigh).sum(), whole)[0], gradient)
    assert_same_state(wanted, own)
