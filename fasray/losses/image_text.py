"""What CLIP's image and text features say of an image's class (Radford et al., ICML 2021, figure 3)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fasray.losses.precision import full, no_autocast


def image_text_logits(feature_BF: Tensor, class_CF: Tensor, log_scale: Tensor) -> Tensor:
    """Return [B, C] logits: exp(log_scale) times the cosine of each image with each class; zero vectors have 0."""
    with no_autocast(feature_BF):
        unit_BF, unit_CF = (functional.normalize(full(x), dim=1) for x in (feature_BF, class_CF))
        return log_scale.exp() * (unit_BF @ unit_CF.T)
