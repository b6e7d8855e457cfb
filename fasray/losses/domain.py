"""Which domain is it? The cross-entropy of a domain discriminator over some of the features of a batch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fasray.losses.precision import full


def domain_loss(logit_ND: Tensor, domain_N: Tensor, weight_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of the domain's cross-entropy, and the sum of the weights; both scalars.

    The loss is their quotient; the two are kept apart so that workers can add them up first.

    Args:
        logit_ND: the discriminator's logits.
        domain_N: each feature's domain, 0 to D - 1.
        weight_N: how much each feature counts; a boolean says which take part, as the live ones do in single-side
            alignment.
    """
    logit_ND = full(logit_ND)
    weight_N = weight_N.to(logit_ND.dtype)
    return (functional.cross_entropy(logit_ND, domain_N, reduction="none") * weight_N).sum(), weight_N.sum()
