"""Several workers see the same update as one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from locations import ROOT, SUPPORT
from workers_of_two import gradients, penalised_gradients, whole_batch

from fasray.training.context import Context


def test_streams_follow_seed_purpose_and_step() -> None:
    context = Context("nowhere", seed=3, total_steps=10)
    first = context.rng("mask").random(4)
    assert np.array_equal(first, context.rng("mask").random(4))
    assert not np.array_equal(first, context.rng("noise").random(4))
    context.step = 1
    assert not np.array_equal(first, context.rng("mask").random(4))


def test_two_workers_equal_one(tmp_path: Path) -> None:
    """Per-image loss, a loss over gathered features, and a gradient penalty through averaged inner gradients."""
    single = Context("nowhere", seed=0, total_steps=1)
    batch = whole_batch()
    wanted = {**gradients(single, batch), **penalised_gradients(single, batch)}

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(ROOT), str(SUPPORT)])
    environment = {**os.environ, "PYTHONPATH": path, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    workers = [
        subprocess.Popen(
            [sys.executable, str(SUPPORT / "workers_of_two.py"), str(tmp_path / f"{rank}.pt")],
            env={**environment, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    for rank in range(2):
        got = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert got.keys() == wanted.keys() | {"stop", "total"}
        for name, value in wanted.items():
            assert torch.allclose(got[name], value, rtol=1e-12, atol=1e-14), name
        assert got["stop"].item() == 1
        assert got["total"].item() == 3
