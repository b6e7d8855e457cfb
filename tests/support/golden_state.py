"""The weights behind a golden forward: drawn again by the rule that tests/golden/README.md states."""

import numpy as np
import pytest
import torch


def filled(numbers):
    """The state that a golden forward used, by its own names; of two names for one tensor the later one counts."""
    state = {}
    for i, (name, shape, kind) in enumerate(
        zip(numbers["state_names"], numbers["state_shapes"], numbers["state_kinds"], strict=True)
    ):
        if kind == "skip":
            continue
        sizes = tuple(int(size) for size in shape.split(","))
        z = np.random.default_rng([int(numbers["fill_seed"]), i]).standard_normal(sizes)
        value = {
            "w": z * np.sqrt(2 / np.prod(sizes[1:])),
            "bias": 0.05 * z,
            "mean": 0.05 * z,
            "bnw": 1 + 0.05 * z,
            "var": 1 + 0.1 * np.abs(z),
        }[str(kind)]
        assert value.astype(np.float32).sum(dtype=np.float64) == pytest.approx(numbers["state_sums"][i], rel=1e-9)
        state[str(name)] = torch.tensor(value, dtype=torch.float32)
    return state
