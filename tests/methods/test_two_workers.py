import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from step_of_two import train
from toy_draws import STEADY, built, context

from fasray.methods import registry
from fasray.nets.batchnorm import BatchNorm2d

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """What each of two workers has after three steps of every method."""
    pattern = str(tmp_path_factory.mktemp("two") / "worker-{rank}.pt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    workers = [
        subprocess.Popen(
            [sys.executable, str(HERE / "step_of_two.py"), pattern, *registry.names()],
            env={**common, "RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    return [torch.load(pattern.format(rank=rank), weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", registry.names())
def test_two_workers_train_like_one(of_two, name):
    """Gradients, weights, statistics and logs, although each worker misses one domain of SA-FAS altogether.

    Weights get more room: where a gradient is zero but for rounding (a bias that batch normalisation takes away
    again), Adam makes steps of up to 1e-8 out of the rounding.
    """
    whole = train(built(name, **STEADY.get(name, {})), context())
    for worker in of_two:
        assert worker[name].keys() == whole.keys()
        for key, value in whole.items():
            room = 1e-9 if key.startswith(("grad ", "log ")) else 1e-7
            torch.testing.assert_close(
                worker[name][key], value, rtol=1e-7, atol=room, msg=lambda m, key=key: f"{key}: {m}"
            )


def test_workers_of_a_world_of_one_are_plain_batchnorm():
    images = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    plain, own = torch.nn.BatchNorm2d(3), BatchNorm2d(3)
    assert torch.equal(plain(images), own(images))
    own.average, own.world_size = list, 1
    torch.testing.assert_close(plain(images), own(images))
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value)
