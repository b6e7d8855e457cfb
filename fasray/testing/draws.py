"""Small batches for method tests: noise, or faces that differ in brightness alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fasray.methods.base import Build, Draw, Method
from fasray.training.context import Context
from fasray.training.refresh import AllImages, refresh_if_due

TOY_SIZE = 32
"""Side of toy images, pixels."""
TOY_BUDGET = 20
"""Steps of a toy run."""


def built(
    kind: type[Method],
    num_domains: int = 3,
    *,
    seed: int = 0,
    size: int = TOY_SIZE,
    steps: int = TOY_BUDGET,
    width: float = 0.125,
    **config: Any,
) -> Method:
    """Return a small method with initial weights from ``seed``.

    Args:
        kind: its class.
        num_domains: source domains.
        seed: of torch's global generator while it is built.
        size: side of the images, pixels.
        steps: full budget.
        width: channel multiplier.
        config: settings other than the default ones.
    """
    method = kind(kind.Config.model_validate(config))
    torch.manual_seed(seed)
    method.build(Build(num_domains=num_domains, image_size=size, total_steps=steps, width=width))
    return method


def toy_draw(method: Method, num_domains: int, *, per_group: int = 2, size: int = TOY_SIZE, seed: int = 0) -> Draw:
    """Return a batch with ``per_group`` images of every (domain, label); live ones are brighter in all domains."""
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
        attack_type=1 - label if method.needs.attack_type else None,
        subject=torch.arange(len(label)) // 2 if method.needs.subject else None,
    )


def draws_of(
    method: Method, num_domains: int = 3, *, per_group: int = 2, size: int = TOY_SIZE, seed: int = 0
) -> list[Draw]:
    """Return as many toy draws as one step of the method takes."""
    return [
        toy_draw(method, num_domains, per_group=per_group, size=size, seed=seed * 1000 + number)
        for number in range(method.sampling.draws)
    ]


def with_images(draw: Draw, change: Callable[[Tensor], Tensor]) -> Draw:
    """Return the draw with its views changed, everything else as it is."""
    return replace(draw, views=tuple(change(view) for view in draw.views))


def double(draw: Draw) -> Draw:
    """Return the draw with images and depth in double precision."""
    return replace(
        with_images(draw, lambda view: view.double()), depth=None if draw.depth is None else draw.depth.double()
    )


def share(draw: Draw, positions: Tensor) -> Draw:
    """Return the images of a draw at ``positions``."""
    return Draw(
        tuple(view[positions] for view in draw.views),
        draw.label[positions],
        draw.domain[positions],
        *(
            None if part is None else part[positions]
            for part in (draw.depth, draw.parsing, draw.attack_type, draw.subject)
        ),
    )


def refresh_toy(
    method: Method, ctx: Context, *, num_domains: int = 3, size: int = TOY_SIZE, dtype: torch.dtype
) -> None:
    """Call the method's ``refresh`` if it is due, with a few toy images, in batches of 5 that go round the workers."""

    def images() -> AllImages:
        draw = toy_draw(method, num_domains, size=size, seed=0)
        return AllImages(draw.label, draw.domain, lambda place: draw.views[0][place].to(dtype), 5, ctx)

    refresh_if_due(method, ctx, images)


def context(step: int = 0, total_steps: int = TOY_BUDGET) -> Context:
    """Return the context of a single worker before step ``step``; it has no folder to write to."""
    single = Context("", seed=0, total_steps=total_steps)
    single.step = step
    return single


def run(
    method: Method,
    steps: int,
    *,
    first: int = 0,
    total_steps: int = TOY_BUDGET,
    num_domains: int = 3,
    per_group: int = 2,
    size: int = TOY_SIZE,
) -> dict[str, Tensor]:
    """Take steps ``first`` to ``first + steps - 1`` on toy draws and return the last one's logs."""
    logs: dict[str, Tensor] = {}
    for step in range(first, first + steps):
        draws = draws_of(method, num_domains, per_group=per_group, size=size, seed=step)
        ctx = context(step, total_steps)
        refresh_toy(method, ctx, num_domains=num_domains, size=size, dtype=torch.float32)
        logs = method.step(draws, ctx)
    return logs


def weights(method: Method) -> dict[str, Tensor]:
    """Return a copy of all that the networks hold."""
    return {name: tensor.clone() for name, tensor in method.networks.state_dict().items()}
