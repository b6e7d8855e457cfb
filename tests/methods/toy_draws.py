"""Small batches for method tests: noise, or faces that brightness alone tells apart."""

import torch

from fasray.methods import registry
from fasray.methods.base import Build, Draw, Method
from fasray.training.context import Context

SMALL = {"hfn_mp": {"inner_loops": 2}}
"""Settings that make a method cheap to test, by method."""
LEARNING = {"hfn_mp": {"optimizer": "adam", "learning_rate": 2e-3}}
"""Settings of methods whose published ones learn too slowly to show in 40 steps of a small network."""
STEADY = {"hfn_mp": {"learning_rate": 1e-6}}
"""Settings for comparing runs to many digits. A hundred layers of BatchNorm on maps of one pixel make 1e-3 of a
difference of 1e-15 within three steps of the published size."""


def toy_draw(method: Method, num_domains: int, *, per_group: int = 2, size: int = 32, seed: int = 0) -> Draw:
    """Every (domain, label) group alike; live images are brighter in all domains."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.tensor([0, 1]).repeat_interleave(per_group).repeat(num_domains)
    domain = torch.arange(num_domains).repeat_interleave(2 * per_group)
    level = 0.3 + 0.4 * label.float()[:, None, None, None]
    views = tuple(
        (level + 0.1 * torch.rand(len(label), 3, size, size, generator=generator)) for _ in range(method.needs.views)
    )
    depth = label.float()[:, None, None, None].expand(-1, 1, size // 8, size // 8).clone()
    parsing = label[:, None, None].expand(-1, 64, 64).clone()
    return Draw(
        views,
        label,
        domain,
        depth=depth if method.needs.depth else None,
        parsing=parsing if method.needs.parsing else None,
    )


def built(name: str, num_domains: int = 3, *, seed: int = 0, size: int = 32, steps: int = 20, **config) -> Method:
    """A small method with initial weights from ``seed``."""
    torch.manual_seed(seed)
    method = registry.get(name)(registry.config(name, {**SMALL.get(name, {}), **config}))
    method.build(Build(num_domains=num_domains, image_size=size, total_steps=steps, width=0.125))
    return method


def draws_of(method: Method, num_domains: int = 3, **options) -> list[Draw]:
    """As many toy draws as one step of the method takes."""
    seed = options.pop("seed", 0)
    return [
        toy_draw(method, num_domains, seed=seed * 1000 + number, **options) for number in range(method.sampling.draws)
    ]


def context(step: int = 0, total_steps: int = 20) -> Context:
    """A single worker before step ``step``."""
    single = Context("", seed=0, total_steps=total_steps)
    single.step = step
    return single


def run(method: Method, steps: int, *, first: int = 0, total_steps: int = 20, **options) -> dict[str, torch.Tensor]:
    """Take steps ``first`` to ``first + steps - 1``; return the last logs."""
    logs = {}
    num_domains = options.pop("num_domains", 3)
    for step in range(first, first + steps):
        logs = method.step(draws_of(method, num_domains, seed=step, **options), context(step, total_steps))
    return logs


def weights(method: Method) -> dict[str, torch.Tensor]:
    """A copy of all that the networks hold."""
    return {name: tensor.clone() for name, tensor in method.networks.state_dict().items()}
