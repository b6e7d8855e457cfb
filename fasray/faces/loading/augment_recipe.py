"""What may happen to a training image: the settings of the augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator


def _ascending(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range goes from its smaller end to its larger one, not from {ends[0]} to {ends[1]}")
    return ends


Probability = Annotated[float, Ge(0), Le(1)]
Factors = Annotated[tuple[Annotated[float, Ge(0)], Annotated[float, Ge(0)]], AfterValidator(_ascending)]
"""Range of a factor, 1 = nothing changes."""
Ratios = Annotated[tuple[Annotated[float, Gt(0)], Annotated[float, Gt(0)]], AfterValidator(_ascending)]
Fractions = Annotated[tuple[Probability, Probability], AfterValidator(_ascending)]
Sigmas = Annotated[
    tuple[Annotated[float, Ge(0), Le(0.1)], Annotated[float, Ge(0), Le(0.1)]], AfterValidator(_ascending)
]
Strength = Annotated[float, Ge(0)]
Strengths = tuple[Strength, Strength, Strength, Annotated[float, Ge(0), Le(0.5)]]


@dataclass(frozen=True)
class Augment:
    """Augmentation of the training images; they stay in [0, 1], labels follow the geometry.

    First the geometry, then, each if it is on, in this order: contrast and brightness, saturation, jitter, grey, blur,
    cutout. All that is off by default changes no bit while it is off. Lengths are fractions of the image's side, so
    that a recipe means the same at any image size.
    """

    flip: float = 0.5
    """Probability of a horizontal flip."""
    rotation: float = 0.0
    """Rotation drawn from [-rotation, rotation] degrees, about the middle of the stored crop."""
    crop: Literal["pixels", "resize", "scale"] = "pixels"
    """``pixels``: a random window of image_size pixels, nothing resampled unless rotated; ``resize``: the whole stored
    crop resized; ``scale``: a random part of ``scale`` of the area, resized (RandomResizedCrop)."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Area fraction range of ``crop='scale'``."""
    eval_scale: float = 1.0
    """Area fraction of the centre crop at evaluation, for ``crop`` ``resize`` and ``scale``."""
    ratio: Ratios = (1.0, 1.0)
    """Range of width / height of ``crop='scale'``, drawn on a logarithmic scale; narrower where the part would not fit,
    so that its area stays."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How training images are resampled; evaluation is always bilinear."""
    contrast: Factors = (1.0, 1.0)
    """Range of a factor on the pixels."""
    brightness: Strength = 0.0
    """What is added to the pixels, after that factor, is drawn from [-brightness, brightness]."""
    saturation: Factors = (1.0, 1.0)
    """Range of a factor on the saturation of HSV."""
    saturation_probability: Probability = 1.0
    """Probability of another saturation."""
    jitter: Strengths = (0.0, 0.0, 0.0, 0.0)
    """Strengths of brightness, contrast, saturation and hue, applied in random order (torchvision's ColorJitter):
    factors from [max(0, 1 - strength), 1 + strength], the hue turned by [-strength, strength] of a circle."""
    jitter_probability: Probability = 1.0
    """Probability of the jitter."""
    grey: Probability = 0.0
    """Probability of a grey image."""
    blur: Sigmas = (0.0, 0.0)
    """Range of the standard deviation of a Gaussian blur, fraction of the image's side."""
    blur_probability: Probability = 1.0
    """Probability of the blur."""
    cutout: Probability = 0.0
    """Probability that a square is cut out; its centre is anywhere in the image, parts outside are clipped."""
    cutout_size: Fractions = (0.0, 0.5)
    """Range of the square's size, as ``cutout_law`` measures it."""
    cutout_law: Literal["side", "area"] = "side"
    """Whether ``cutout_size`` is of the square's side (fraction of the image's side) or of its area."""
    cutout_fill: Literal["zero", "mean"] = "zero"
    """What is put there: black, or the mean colour of the square itself."""

    @property
    def recolours(self) -> bool:
        """Whether anything but the geometry can change."""
        return self.tones or self.saturates or self.jitters or self.grey > 0 or self.blurs or self.cutout > 0

    @property
    def tones(self) -> bool:
        """Whether contrast or brightness are changed."""
        return any(end != 1 for end in self.contrast) or self.brightness > 0

    @property
    def saturates(self) -> bool:
        """Whether the saturation is changed."""
        return any(end != 1 for end in self.saturation) and self.saturation_probability > 0

    @property
    def jitters(self) -> bool:
        """Whether there is jitter."""
        return any(self.jitter) and self.jitter_probability > 0

    @property
    def blurs(self) -> bool:
        """Whether there is blur."""
        return self.blur[1] > 0 and self.blur_probability > 0
