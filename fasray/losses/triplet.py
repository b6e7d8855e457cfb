"""The triplet loss of single-side domain generalization: all live faces together, spoof faces apart by domain.

Jia, Zhang, Shan and Chen, Single-Side Domain Generalization for Face Anti-Spoofing, CVPR 2020 (arXiv 2004.14043),
section 3.3. Live faces of all domains are one group, the spoof faces of each domain a group of their own; a triplet is
an anchor, another vector of its group, and a vector of any other group.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

ACTIVE = 1e-16
"""A triplet counts as violated where its term exceeds this."""


def asymmetric_groups(label_N: Tensor, domain_N: Tensor) -> Tensor:
    """Return [N] group ids: 0 = live of any domain, 1 + e = spoof of domain e (labels 1 = live, 0 = spoof)."""
    return torch.where(label_N == 1, 0, domain_N + 1)


def triplet_loss(
    feature_NF: Tensor,
    group_N: Tensor,
    margin: float,
    *,
    distance: Literal["l2", "sq"] = "l2",
    hardest: bool = False,
) -> Tensor:
    """Return the triplet loss of a batch: a term a triplet is max(0, d(anchor, positive) - d(anchor, negative) + m).

    All N^3 terms are formed, so keep N to a few hundred. Without any (active) triplet the loss is 0, and so is its
    gradient; two equal vectors have distance 0 with gradient 0; NaN in a feature makes the loss NaN.

    Args:
        feature_NF: features, normalised or not; the loss does not normalise.
        group_N: group of each vector; spoof anchors are used too.
        margin: m, in the unit of the distance.
        distance: Euclidean, or its square.
        hardest: instead of the mean over the violated triplets, take for each anchor the farthest positive and the
            nearest negative, and the mean over the anchors that have both.
    """
    with torch.autocast(feature_NF.device.type, enabled=False):  # differences of near distances need their digits
        full = feature_NF.dtype if feature_NF.dtype == torch.float64 else torch.float32
        feature_NF = feature_NF.to(full)
        distance_NN = torch.cdist(feature_NF, feature_NF, compute_mode="donot_use_mm_for_euclid_dist")
        if distance == "sq":
            distance_NN = distance_NN.square()
        same_NN = group_N[:, None] == group_N[None, :]
        positive_NN = same_NN & ~torch.eye(len(group_N), dtype=torch.bool, device=group_N.device)
        if hardest:
            return _hardest(distance_NN, positive_NN, ~same_NN, margin)
        valid_NNN = positive_NN[:, :, None] & ~same_NN[:, None, :]
        term_NNN = functional.relu(distance_NN[:, :, None] - distance_NN[:, None, :] + margin) * valid_NNN
        return term_NNN.sum() / (term_NNN > ACTIVE).sum().clamp_min(1)


def _hardest(distance_NN: Tensor, positive_NN: Tensor, negative_NN: Tensor, margin: float) -> Tensor:
    farthest_N = (distance_NN * positive_NN).amax(1)
    beyond = distance_NN.detach().max() + 1
    nearest_N = torch.where(negative_NN, distance_NN, beyond).amin(1)
    complete_N = positive_NN.any(1) & negative_NN.any(1)
    term_N = functional.relu(farthest_N - nearest_N + margin) * complete_N
    return term_N.sum() / complete_N.sum().clamp_min(1)
