"""Synchronised batch normalisation; that two workers train like one is part of every method's contract."""

import torch

from fasray.nets.batchnorm import BatchNorm2d


def test_a_world_of_one_is_plain_batchnorm():
    images = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    plain, own = torch.nn.BatchNorm2d(3), BatchNorm2d(3)
    assert torch.equal(plain(images), own(images))
    own.average, own.world_size = list, 1
    torch.testing.assert_close(plain(images), own(images))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value)
