"""Contrastive losses over a batch: features of one group together, those of other groups apart.

Khosla et al., Supervised Contrastive Learning, NeurIPS 2020 (arXiv 2004.11362), equation 2 (L_out). With one group for
each image, and two views of it, this is the InfoNCE of SimCLR (Chen et al., ICML 2020).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

BASE_TEMPERATURE = 0.07
"""The supervised contrastive loss is multiplied by temperature / BASE_TEMPERATURE: the temperature also scales it."""


def contrastive_loss(feature_NF: Tensor, group_N: Tensor, temperature: float, *, normalise: bool = True) -> Tensor:
    """Return the mean over anchors of the mean over positives of -log softmax of their similarity / temperature.

    Positives of an anchor are all other vectors of its group; its denominator runs over all vectors but itself. An
    anchor without a positive makes the loss NaN, as in the official codes: with two views of each image there is none,
    and a loss that left such anchors out would hide a broken batch. Vectors of zero length stay zero, which is finite.

    Args:
        feature_NF: features, not yet normalised; any order.
        group_N: group of each vector.
        temperature: above 0.
        normalise: similarity is the cosine; else the plain dot product.
    """
    with torch.autocast(feature_NF.device.type, enabled=False):  # similarities divided by T need their digits
        full = feature_NF.dtype if feature_NF.dtype == torch.float64 else torch.float32
        z_NF = functional.normalize(feature_NF.to(full), dim=1) if normalise else feature_NF.to(full)
        similarity_NN = z_NF @ z_NF.T / temperature
        itself_NN = torch.eye(len(z_NF), dtype=torch.bool, device=z_NF.device)
        log_probability_NN = similarity_NN - similarity_NN.masked_fill(itself_NN, -math.inf).logsumexp(1, True)
        positive_NN = ((group_N[:, None] == group_N[None, :]) & ~itself_NN).to(full)
        per_anchor_N = (log_probability_NN * positive_NN).sum(1) / positive_NN.sum(1)
        return -per_anchor_N.mean()


def supcon_loss(feature_NF: Tensor, group_N: Tensor, temperature: float) -> Tensor:
    """Return :func:`contrastive_loss` times T / 0.07, as the code of Khosla et al. and those built on it scale it."""
    return (temperature / BASE_TEMPERATURE) * contrastive_loss(feature_NF, group_N, temperature)
