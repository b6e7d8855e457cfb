"""``training.compile``: a compiled step is the step, and a compiled trial resumes to the same bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from made_trials import TINY, digests, made_pool, made_trial, run
from toy_draws import built, context, draws_of, weights

from fasray.methods import registry
from fasray.testing.draws import double

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("name", [name for name in registry.names() if not registry.get(name).no_compile])
def test_a_step_of_compiled_networks_is_the_step(name: str) -> None:
    """Traced forwards and backwards, without the compiler of kernels: it would take minutes a method."""
    plain, compiled = built(name), built(name)
    for network in compiled.compiled:
        compiled.networks[network].compile(dynamic=False, backend="aot_eager")
    try:
        for step in range(2):
            logs = []
            for method in (plain, compiled):
                method.networks.double()
                logs.append(method.step([double(draw) for draw in draws_of(method, seed=step)], context(step)))
            torch.testing.assert_close(logs[1], logs[0], rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(weights(compiled), weights(plain), rtol=1e-5, atol=1e-6)
    finally:
        torch.compiler.reset()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles kernels by a C++ compiler")
def test_a_compiled_trial_resumes_to_the_same_bits(tmp_path: Path) -> None:
    pool = made_pool(tmp_path / "pool")
    trial = made_trial(training=TINY.model_copy(update={"compile": True}))
    run(trial, pool, tmp_path / "whole")
    run(trial, pool, tmp_path / "resumed", stop_after=1)
    run(trial, pool, tmp_path / "resumed", reported_step=2)
    assert digests(tmp_path / "resumed") == digests(tmp_path / "whole")
