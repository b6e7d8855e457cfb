"""What a batch is, written plainly: picture by picture on the host, as fasray first did it. Kept as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fasray.faces.loading import augment
from fasray.faces.loading.augment_colour import recolour
from fasray.faces.loading.pool import FacePool
from fasray.faces.loading.sampler import Sampler
from fasray.methods.base import Draw, Method
from fasray.protocols.roles import Roles
from fasray.seeds import stream
from fasray.training.context import Context
from fasray.training.trial import Trial


def plain_step(
    trial: Trial, pool: FacePool, roles: Roles, method: Method, step: int, rank: int = 0, workers: int = 1
) -> list[Draw]:
    """Return the draws of a step of one worker."""
    sampling = trial.training.sampling_of(method)
    sampler = Sampler(
        pool.index, roles.train[pool.valid[roles.train]], roles.domain_id, roles.domains, sampling, trial.seed
    )
    mine = sampler.positions(rank, workers)
    specs, size, needs = trial.training.augments_of(method), trial.training.image_size, method.needs
    draws = []
    for draw in range(sampling.draws):
        rows = sampler.rows(step, draw)[mine]
        maps: list[Any] = [
            augment.sample_parameters(
                stream(trial.seed, "augment", step, draw, view), sampler.batch, spec, pool.image_size, size
            )[mine]
            for view, spec in enumerate(specs)
        ]
        draws.append(
            Draw(
                tuple(torch.cat([_image(pool, row, one, i, size) for i, row in enumerate(rows)]) for one in maps),
                torch.tensor([int(pool.index.label[row]) for row in rows]),
                torch.tensor([int(roles.domain_id[row]) for row in rows]),
                torch.cat([_depth(pool, row, maps[0], i, size) for i, row in enumerate(rows)]) if needs.depth else None,
                torch.cat([_parsing(pool, row, maps[0], i) for i, row in enumerate(rows)]) if needs.parsing else None,
            )
        )
    return draws


def plain_scored(trial: Trial, pool: FacePool, method: Method, rows: np.ndarray) -> Tensor:
    """Return the images of rows as they are scored."""
    size = trial.training.image_size
    one = augment.evaluation_parameters(1, trial.training.augment_of(method), pool.image_size, size)
    return torch.cat([_image(pool, row, one, 0, size) for row in rows])


def _image(pool: FacePool, row: int, maps: augment.Parameters, place: int, size: int) -> Tensor:
    image = _placed(pool, row, maps, place, size)
    if maps.look is None:
        return image
    return recolour(image, torch.from_numpy(maps.look[place : place + 1]), maps.spec)


def _placed(pool: FacePool, row: int, maps: augment.Parameters, place: int, size: int) -> Tensor:
    crop = pool.images[row]
    if maps.exact:
        top, left = maps.corner[place].tolist()
        window = crop[top : top + size, left : left + size]
        window = window[:, ::-1] if maps.flipped[place] else window
        return torch.from_numpy(window.copy())[None].permute(0, 3, 1, 2).to(torch.float32).div_(255)
    x = torch.from_numpy(crop.copy())[None].permute(0, 3, 1, 2).to(torch.float32).div_(255)
    return _sample(x, maps.theta[place], size, maps.spec.interpolation).clamp_(0, 1)


def _depth(pool: FacePool, row: int, maps: augment.Parameters, place: int, image_size: int) -> Tensor:
    x = torch.from_numpy(pool.depth[row].copy())[None, None].to(torch.float32).div_(255)
    per_pixel = -(-x.shape[-1] // (image_size // 8))
    fine = _sample(x, maps.theta[place], image_size // 8 * per_pixel, "bilinear")
    return functional.avg_pool2d(fine, per_pixel).clamp_(0, 1)


def _parsing(pool: FacePool, row: int, maps: augment.Parameters, place: int) -> Tensor:
    x = torch.from_numpy(pool.parsing[row].copy())[None, None].to(torch.float32)
    return _sample(x, maps.theta[place], 64, "nearest")[:, 0].to(torch.int64)


def _sample(x: Tensor, theta: np.ndarray, size: int, mode: str) -> Tensor:
    (a, b, c), (d, e, f) = torch.from_numpy(theta)
    along = (2 * torch.arange(size, dtype=torch.float32) + 1) / size - 1
    u, v = along[None, None, :], along[None, :, None]
    grid = torch.stack([a * u + b * v + c, d * u + e * v + f], dim=-1)
    sampled = functional.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)
    return sampled * (grid.abs() <= 1).all(dim=-1)[:, None]


class OneOf(Context):
    """A worker of several that never meets the others."""

    def __init__(self, rank: int, workers: int) -> None:
        super().__init__("", seed=1, total_steps=6)
        self._rank, self._workers = rank, workers

    @property
    def rank(self) -> int:
        return self._rank

    @property
    def world_size(self) -> int:
        return self._workers
