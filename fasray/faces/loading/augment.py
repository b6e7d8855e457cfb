"""From stored uint8 crops to float batches on the device: window, rotation, flip, colours; labels follow the image.

All randomness is drawn by NumPy for the whole batch of all workers (:func:`sample_parameters`), each worker then takes
its share, so that the number of workers does not change what an image looks like. An image is resampled at most once,
without antialiasing (crops are never shrunk by much more than 2). Pixels that a rotation brings in from outside are
black, depth 0 and background, as torchvision's RandomRotation fills.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fasray.errors import SpecError
from fasray.faces.loading.augment_colour import COLUMNS, UNIFORMS, recolour, sample_look
from fasray.faces.loading.augment_recipe import Augment as Augment
from fasray.faces.loading.windows import cut
from fasray.faces.record import PARSING_SIZE

Images = NDArray[np.uint8] | Tensor
"""uint8, [B, S0, S0, 3] RGB, or [B, s, s] label maps of the same crops."""

DEPTH_STRIDE = 8
"""Image pixels per pixel of the depth target."""

_UNIFORMS = 5
"""Uniform numbers per image: flip, rotation, area, vertical and horizontal place. All are drawn whatever the
configuration, so that configurations which share a seed differ only where they mean to. What came later has a stream of
its own, for the same reason."""


@dataclass(frozen=True)
class Parameters:
    """What happens to each of B images. Indexing with positions gives a worker's share."""

    theta: NDArray[np.float32]
    """[B, 2, 3] affine map from output to stored coordinates, both [-1, 1] over the image's outer edges."""
    corner: NDArray[np.int64]
    """[B, 2] top and left of the window in stored pixels, where the map is a plain window (``exact``)."""
    flipped: NDArray[np.bool_]
    """[B] mirrored horizontally."""
    exact: bool
    """The maps are integer windows of image_size pixels: copied, not resampled."""
    look: NDArray[np.float32] | None = None
    """[B, 16] what happens to the colours, see :mod:`fasray.faces.loading.augment_colour`; None: nothing."""
    spec: Augment = field(default_factory=Augment)
    """What it was drawn from."""

    def __len__(self) -> int:
        return len(self.theta)

    def __getitem__(self, positions: NDArray[Any] | slice) -> Parameters:
        look = None if self.look is None else self.look[positions]
        theta, corner, flipped = self.theta[positions], self.corner[positions], self.flipped[positions]
        return replace(self, theta=theta, corner=corner, flipped=flipped, look=look)


def sample_parameters(
    rng: np.random.Generator, count: int, spec: Augment, stored_size: int, image_size: int
) -> Parameters:
    """Draw the maps of ``count`` training images (one view each).

    Args:
        rng: the stream of this step and view; advanced by exactly 5 * count uniform numbers. What is off by default
            draws 18 * count from a child of it, if anything of it is on.
        count: images of all workers together.
        spec: what may happen to an image.
        stored_size: side of the stored crops, pixels.
        image_size: side of the batch's images, pixels.

    Raises:
        SpecError: a window of image_size pixels does not fit into the stored crops.
    """
    flip, turn, area, down, right = rng.random((_UNIFORMS, count))
    stretches = spec.crop == "scale" and spec.ratio != (1, 1)
    more = rng.spawn(1)[0].random((UNIFORMS, count)) if stretches or spec.recolours else None
    angle = np.radians(spec.rotation) * (2 * turn - 1)
    flipped = flip < spec.flip
    if spec.crop == "pixels":
        room = _room(stored_size, image_size)
        corner = np.stack([np.floor(down * (room + 1)), np.floor(right * (room + 1))], axis=1).astype(np.int64)
        tall = wide = np.full(count, image_size / stored_size)
        middle = (2 * corner + image_size) / stored_size - 1
    else:
        low, high = spec.scale if spec.crop == "scale" else (1.0, 1.0)
        share = low + (high - low) * area
        tall = wide = np.sqrt(share)
        if more is not None:
            tall, wide = _sides(share, spec.ratio, more[0])
        middle = (np.stack([down, right], axis=1) * 2 - 1) * (1 - np.stack([tall, wide], axis=1))
        corner = np.zeros((count, 2), dtype=np.int64)
    look = sample_look(more, spec) if more is not None and spec.recolours else None
    return Parameters(_affine(tall, wide, middle, flipped, angle), corner, flipped, is_exact(spec), look, spec)


def evaluation_parameters(count: int, spec: Augment, stored_size: int, image_size: int) -> Parameters:
    """Return the maps of evaluation: the middle window, or the middle ``eval_scale`` of the area resized.

    Raises:
        SpecError: a window of image_size pixels does not fit into the stored crops.
    """
    flipped = np.zeros(count, dtype=np.bool_)
    angle = np.zeros(count)
    if spec.crop == "pixels":
        corner = np.full((count, 2), _room(stored_size, image_size) // 2, dtype=np.int64)
        side = np.full(count, image_size / stored_size)
        middle = (2 * corner + image_size) / stored_size - 1
        return Parameters(_affine(side, side, middle, flipped, angle), corner, flipped, exact=True)
    side = np.full(count, np.sqrt(spec.eval_scale))
    corner = np.zeros((count, 2), dtype=np.int64)
    return Parameters(_affine(side, side, np.zeros((count, 2)), flipped, angle), corner, flipped, exact=False)


def look_of(parameters: Parameters) -> NDArray[np.float32]:
    """Return the looks [B, 16], zeros where the recipe has none."""
    return np.zeros((len(parameters), COLUMNS), np.float32) if parameters.look is None else parameters.look


def is_exact(spec: Augment) -> bool:
    """Tell whether training images are integer windows, copied and not resampled."""
    return spec.crop == "pixels" and spec.rotation == 0


def apply(images: Images, parameters: Parameters, image_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the [B, 3, image_size, image_size] float32 RGB batch in [0, 1] on ``device``.

    Args:
        images: [B, S0, S0, 3] uint8, on any device.
        parameters: B maps.
        image_size: as given when the maps were drawn.
        device: where the batch is wanted; what crosses to it is uint8.
    """
    if parameters.exact and not isinstance(images, Tensor):
        windows = cut(images, np.arange(len(images)), parameters.corner, parameters.flipped, image_size)
        x = to_float(torch.from_numpy(windows).to(device))
    elif parameters.exact:
        corner, flipped = (torch.from_numpy(part).to(device) for part in (parameters.corner, parameters.flipped))
        x = _tensor(images).to(device)
        x = to_float(gather_windows(x, torch.arange(len(x), device=device), corner, flipped, image_size))
    else:
        theta = torch.from_numpy(parameters.theta).to(device)
        x = resample(to_float(_tensor(images).to(device)), theta, image_size, parameters.spec.interpolation)
    return x if parameters.look is None else recolour(x, torch.from_numpy(parameters.look).to(device), parameters.spec)


def gather_windows(images: Tensor, rows: Tensor, corner: Tensor, flipped: Tensor, size: int) -> Tensor:
    """Pick, cut and mirror on the device: :func:`fasray.faces.loading.windows.cut` for tensors.

    Args:
        images: [N, S0, S0, 3] uint8.
        rows: [B] int64, which of them.
        corner: [B, 2] int64, top and left of each window.
        flipped: [B] bool, mirrored horizontally.
        size: side of the windows.

    Returns:
        [B, size, size, 3] uint8.
    """
    along = torch.arange(size, device=images.device)
    y = corner[:, 0, None] + along
    x = corner[:, 1, None] + torch.where(flipped[:, None], size - 1 - along, along)
    return images[rows[:, None, None], y[:, :, None], x[:, None, :]]


def to_float(images: Tensor) -> Tensor:
    """Return [B, h, w, 3] uint8 as [B, 3, h, w] float32 in [0, 1].

    The divisor is a tensor: by a number CUDA multiplies with the reciprocal, whose bits are not those of the CPU.
    """
    x = images.permute(0, 3, 1, 2).to(torch.float32)
    return x.div_(torch.full((), 255.0, device=x.device))


def resample(x: Tensor, theta: Tensor, size: int, interpolation: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Return the images [B, 3, h, w] in [0, 1] through the maps ``theta`` [B, 2, 3], [B, 3, size, size]."""
    return _sample(x, theta, size, interpolation).clamp_(0, 1)


def apply_depth(depth: Images, parameters: Parameters, image_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the [B, 1, image_size / 8, image_size / 8] depth target, float32 in [0, 1], averaged over each pixel.

    Args:
        depth: [B, 32, 32] uint8 maps over the whole stored crops.
        parameters: the maps of the same images.
        image_size: side of the images, a multiple of 8.
        device: where the target is wanted.

    Raises:
        SpecError: the image size is not a multiple of 8.
    """
    return depth_target(_tensor(depth).to(device), torch.from_numpy(parameters.theta).to(device), image_size)


def depth_target(depth: Tensor, theta: Tensor, image_size: int) -> Tensor:
    """Return the target of :func:`apply_depth` for maps ``depth`` [B, 32, 32] and ``theta`` [B, 2, 3] on one device.

    Raises:
        SpecError: the image size is not a multiple of 8.
    """
    if image_size % DEPTH_STRIDE:
        raise SpecError(
            f"a depth target needs an image size that is a multiple of {DEPTH_STRIDE}, not {image_size}",
            where="training.image_size",
            remedy=f"take {image_size // DEPTH_STRIDE * DEPTH_STRIDE or DEPTH_STRIDE}",
        )
    size = image_size // DEPTH_STRIDE
    x = depth[:, None].to(torch.float32)
    x = x.div_(torch.full((), 255.0, device=x.device))
    # So many samples a side that none of the map's cells is skipped, even if the whole crop is shown.
    per_pixel = -(-x.shape[-1] // size)
    return functional.avg_pool2d(_sample(x, theta, size * per_pixel, "bilinear"), per_pixel).clamp_(0, 1)


def apply_parsing(parsing: Images, parameters: Parameters, device: torch.device | str = "cpu") -> Tensor:
    """Return the [B, 64, 64] int64 class map of the images: the nearest stored class, background outside.

    Args:
        parsing: [B, 64, 64] uint8 class ids over the whole stored crops.
        parameters: the maps of the same images.
        device: where the target is wanted.
    """
    return parsing_target(_tensor(parsing).to(device), torch.from_numpy(parameters.theta).to(device))


def parsing_target(parsing: Tensor, theta: Tensor) -> Tensor:
    """Return the target of :func:`apply_parsing` for maps ``parsing`` [B, 64, 64] and ``theta`` [B, 2, 3]."""
    return _sample(parsing[:, None].to(torch.float32), theta, PARSING_SIZE, "nearest")[:, 0].to(torch.int64)


def evaluation(images: Images, spec: Augment, image_size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the batch that is scored: no randomness; see :func:`evaluation_parameters`.

    Args:
        images: [B, S0, S0, 3] uint8.
        spec: the training augmentation, which decides between window and resized crop.
        image_size: side of the result.
        device: where the batch is wanted.

    Raises:
        SpecError: a window of image_size pixels does not fit into the stored crops.
    """
    return apply(images, evaluation_parameters(len(images), spec, images.shape[1], image_size), image_size, device)


def _room(stored_size: int, image_size: int) -> int:
    if image_size > stored_size:
        raise SpecError(
            f"a window of {image_size} pixels does not fit into stored crops of {stored_size}",
            where="training.image_size",
            remedy=f"take at most {stored_size}, or resize the crops (crop: resize)",
        )
    return stored_size - image_size


def _sides(
    share: NDArray[np.float64], ratio: tuple[float, float], uniform: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return height and width of parts of ``share`` of the area that fit into the crop."""
    low, high = np.log(ratio)
    stretch = np.clip(np.exp(low + (high - low) * uniform), share, 1 / share)
    return np.sqrt(share / stretch), np.sqrt(share * stretch)


def _affine(
    tall: NDArray[np.float64],
    wide: NDArray[np.float64],
    middle: NDArray[np.float64],
    flipped: NDArray[np.bool_],
    angle: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the maps: mirror, scale by the sides, move to ``middle`` (y, x), turn about the image's middle."""
    cos, sin = np.cos(angle), np.sin(angle)
    across = np.where(flipped, -wide, wide)
    y, x = middle[:, 0], middle[:, 1]
    row_x = np.stack([cos * across, -sin * tall, cos * x - sin * y], axis=1)
    row_y = np.stack([sin * across, cos * tall, sin * x + cos * y], axis=1)
    return np.stack([row_x, row_y], axis=1).astype(np.float32)


def _tensor(images: Images) -> Tensor:
    if isinstance(images, Tensor):
        return images
    return torch.from_numpy(images if images.flags.writeable else images.copy())


def _sample(x: Tensor, theta: Tensor, size: int, mode: Literal["bilinear", "bicubic", "nearest"]) -> Tensor:
    """Sample [B, C, h, w] through the maps at ``size`` x ``size`` places; zero outside the stored image."""
    along = (2 * torch.arange(size, device=x.device, dtype=torch.float32) + 1) / size - 1
    u, v = along[None, None, :], along[None, :, None]
    # Element by element and not by a matrix product, whose bits could depend on how many images a worker has.
    grid_x = theta[:, 0, 0, None, None] * u + theta[:, 0, 1, None, None] * v + theta[:, 0, 2, None, None]
    grid_y = theta[:, 1, 0, None, None] * u + theta[:, 1, 1, None, None] * v + theta[:, 1, 2, None, None]
    grid = torch.stack([grid_x, grid_y], dim=-1)
    sampled = functional.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)
    inside = (grid_x.abs() <= 1) & (grid_y.abs() <= 1)
    return sampled.mul_(inside[:, None])
