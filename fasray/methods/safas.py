"""SA-FAS: keep domains apart in feature space, but make one decision boundary hold for all of them.

Sun, Liu, Liu, Li and Chu, Rethinking Domain Generalization for Face Anti-Spoofing: Separability and Alignment,
CVPR 2023 (arXiv 2303.13662).

Idea: a supervised contrastive loss keeps every (domain, class) group a cluster of its own instead of mixing domains.
Every domain has its own linear head on the shared features, trained on that domain only. After each gradient step the
heads are turned a little towards each other (PG-IRM, projected gradient for invariant risk minimisation), until one
live-to-spoof direction serves all domains.

    equation                                                                         function
    R_e = mean of BCE(sigmoid(s (w_e.phi + b_e)), y) over domain e; L_cls = mean R_e   domain_risks
    L_sep = SupCon(phi / |phi|; groups = domain x class), factor T / 0.07              supcon_loss
    w_e <- |w_e| unit(alpha b_e + (1 - alpha) b_far(e)), b = unit(w)                   align_heads
    L = L_cls + separability_weight L_sep                                            SAFAS.step

Where paper and official code differ, and what we do:
- The paper writes an alignment loss; the code has none but the projection above. We project.
- The code hard-wires three heads and divides by three. We build one head per source domain and divide by their number,
  so two and four domains work; with three the numbers are the code's. A domain absent from a batch adds 0.
- Test images are cropped at random in the code, one frame a video. We take the middle crop of the same area and leave
  the averaging over frames to the evaluation.
- The schedule counts epochs of 100 (300 for ICM->O). We state it in fractions of the budget.
- The code rotates with PIL's nearest neighbour, then resizes; we resample once, bilinearly.
- The learnt scale, projection head and normalised heads of the code are unused or broken there: left out.
- BCE is taken on logits, not on clipped probabilities: the same number wherever float32 can hold the latter.

Published HTER / AUC in %: OCI->M 5.95/96.55, OMI->C 8.78/95.37, OCM->I 6.58/97.54, ICM->O 10.00/96.23. Table 1 of the
paper: best epoch by AUC - HTER on the target itself, EER threshold of the target, after a search over settings; so
compare them with the `oracle-search` selection, not with an honest one.

Shapes: B images of this worker, N = 2B feature vectors (view 1 of all images, then view 2), E source domains,
F features of the backbone (512 * width with ResNet-18).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.contrastive import supcon_loss
from fasray.losses.precision import full, no_autocast
from fasray.methods.backbone import BackboneName, build_backbone, make_optimizer
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import later, quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets import backbones


class SAFASConfig(MethodConfig):
    """Settings of SA-FAS; the defaults are those of the official training script."""

    separability_weight: float = quantity(0.1, ge=0, le=10)
    """Weight of the contrastive loss. Paper: 0.1."""
    temperature: float = quantity(0.1, gt=0, le=10)
    """Temperature of the contrastive loss. Paper: 0.1."""
    alignment_alpha: float = quantity(0.995, ge=0, le=1)
    """How much of its own direction a head keeps at each step; 1 = never aligned. Paper: 0.995."""
    align_from: float = quantity(0.2, ge=0, lt=1, unit="fraction of the budget")
    """Part of the budget before the alignment starts. Paper: 0.2; epoch 20 of 100."""
    head_scale: float = quantity(1.0, gt=0, le=100)
    """Factor on the logits, s. Paper: 1.0."""
    backbone: BackboneName = later("resnet18")
    """Network from images to features; see ``for_backbone`` for what comes with it. Paper: resnet18."""
    optimizer: Literal["sgd", "adam", "adamw"] = later("sgd")
    """Optimizer. Paper: sgd."""
    learning_rate: float = quantity(0.005, gt=0, le=1)
    """Learning rate at the start. Paper: 0.005."""
    decay_every: float = quantity(0.4, gt=0, le=1, unit="fraction of the budget")
    """Part of the budget between two decays of the learning rate. Paper: 0.4; 40 of 100 epochs."""
    decay_factor: float = quantity(0.5, gt=0, le=1)
    """Factor of each decay. Paper: 0.5."""
    momentum: float = quantity(0.9, ge=0, lt=1)
    """Momentum of SGD. Paper: 0.9."""
    weight_decay: float = quantity(5e-4, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 5e-4."""
    batch: int = quantity(96, ge=2, unit="images")
    """Images a step, each in two views. Paper: 96."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored view. Paper: 0.5."""
    crop: Literal["pixels", "resize", "scale"] = "scale"
    """Window of stored pixels, the whole crop resized, or a random part of the crop resized. Paper: scale."""
    scale_min: float = quantity(0.2, gt=0, le=1, unit="area")
    """Smallest part of the crop shown. Paper: 0.2."""
    eval_scale: float = quantity(0.9, gt=0, le=1, unit="area")
    """Part of the crop shown at evaluation. Paper: 0.9."""
    rotation: float = quantity(180.0, ge=0, le=180, unit="degrees")
    """Largest rotation, either way. Paper: 180."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the official random search's ranges, loss weights first."""
        return {
            "separability_weight": LogUniform(loguniform=(0.05, 0.6)),
            "alignment_alpha": Choice(choice=(0.99, 0.995, 0.999)),
            "temperature": Choice(choice=(0.07, 0.1)),
            "align_from": Choice(choice=(0.0, 0.1, 0.2)),
            "head_scale": Choice(choice=(0.5, 1.0)),
            "learning_rate": Choice(choice=(0.005, 0.01, 0.015, 0.02)),
            "weight_decay": Choice(choice=(1e-4, 5e-4)),
        }

    def align_step(self, total_steps: int) -> int:
        """Return the first step (counted from 0) after which the heads are aligned."""
        return round(self.align_from * total_steps)

    def min_grace(self, total_steps: int) -> int:
        """Return the steps after which the heads have been aligned at least once."""
        return 1 if self.alignment_alpha == 1 else min(self.align_step(total_steps) + 1, total_steps)


def domain_risks(logit_NE: Tensor, label_N: Tensor, domain_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed binary cross-entropy and the number of samples of each domain, [E] and [E].

    R_e is their quotient (:func:`mean_risk`); the two are kept apart so that workers can add them up first.

    Args:
        logit_NE: logits of every head for every sample; only the head of a sample's own domain counts.
        label_N: 1 = live, 0 = spoof.
        domain_N: position of each sample's domain, 0 to E - 1.
    """
    target_NE = label_N[:, None].to(logit_NE.dtype).expand_as(logit_NE)
    loss_NE = functional.binary_cross_entropy_with_logits(logit_NE, target_NE, reduction="none")
    member_NE = (domain_N[:, None] == torch.arange(logit_NE.shape[1], device=domain_N.device)).to(loss_NE.dtype)
    return (loss_NE * member_NE).sum(0), member_NE.sum(0)


def mean_risk(sum_E: Tensor, count_E: Tensor) -> Tensor:
    """Return the mean over all E domains of sum / count; a domain without samples adds 0 and still counts."""
    return (sum_E / count_E.clamp_min(1e-6)).mean()


def head_cosines(weight_EF: Tensor) -> Tensor:
    """Return the [E, E] cosines between the heads' weight vectors; a zero vector has cosine 0 with all."""
    unit_EF = functional.normalize(weight_EF, dim=1)
    return unit_EF @ unit_EF.T


def mean_cosine(weight_EF: Tensor) -> Tensor:
    """Return the mean cosine over the pairs of heads: 1 = one boundary for all domains."""
    count = len(weight_EF)
    return head_cosines(weight_EF).triu(1).sum() / (count * (count - 1) / 2)


def align_heads(weight_EF: Tensor, alpha: float) -> Tensor:
    """Return the weights with each head turned towards the head farthest from it, all at once; norms are kept.

    Farthest is the least cosine, the first of equals.

    Args:
        weight_EF: weights of the E >= 2 heads.
        alpha: how much of its own direction a head keeps.
    """
    unit_EF = functional.normalize(weight_EF, dim=1)
    farthest_E = head_cosines(weight_EF).fill_diagonal_(math.inf).argmin(1)
    turned_EF = functional.normalize(alpha * unit_EF + (1 - alpha) * unit_EF[farthest_E], dim=1)
    aligned: Tensor = weight_EF.norm(dim=1, keepdim=True) * turned_EF
    return aligned


class SAFAS(Method):
    """Separability by contrast, alignment of the heads by projection."""

    name: ClassVar[str] = "safas"
    title: ClassVar[str] = "SA-FAS"
    paper: ClassVar[str] = "Sun et al., CVPR 2023 (arXiv 2303.13662)"
    Config: ClassVar[type[MethodConfig]] = SAFASConfig
    full_precision: ClassVar[str] = "logits, losses, similarities, alignment of the heads"
    config: SAFASConfig

    @property
    def needs(self) -> Needs:
        """Two views of each image, and two domains or more: there is nothing to align with one head."""
        return Needs(views=2, min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """Videos in plain random order, one random frame each; neither classes nor domains are balanced."""
        return Sampling("shuffled", images=self.config.batch, unit="video")

    @property
    def augment(self) -> Augment:
        """Any rotation, a random part of the crop, mirrored or not."""
        c = self.config
        return Augment(c.flip, c.rotation, c.crop, (c.scale_min, 1.0), c.eval_scale)

    def build(self, build: Build) -> None:
        """Create the backbone, one head a domain (rows of one linear layer) and the optimizer."""
        c = self.config
        backbone = build_backbone(c.backbone, build)
        heads = nn.Linear(backbone.num_features, build.num_domains)
        normalize = backbones.normalizer(c.backbone)
        self.networks = nn.ModuleDict({"normalize": normalize, "backbone": backbone, "heads": heads})
        self.networks.to(build.device)
        self.optimizers = {"all": make_optimizer(self.networks.parameters(), c)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step on both views and, once it is time, turn the heads towards each other."""
        c, draw, optimizer = self.config, draws[0], self.optimizers["all"]
        for group in optimizer.param_groups:
            group["lr"] = c.learning_rate * c.decay_factor ** int(ctx.step / (c.decay_every * ctx.total_steps))
        self.networks.train()
        feature_NF = self._features(torch.cat(draw.views))
        label_N, domain_N = draw.label.repeat(2), draw.domain.repeat(2)
        sum_E, count_E = ctx.average(domain_risks(self._logits(feature_NF), label_N, domain_N))
        risk = mean_risk(sum_E, count_E)
        separability = supcon_loss(ctx.gather(feature_NF), ctx.gather(domain_N * 2 + label_N), c.temperature)
        loss = risk + c.separability_weight * separability
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        weight_EF = self._heads.weight.detach()
        with no_autocast(weight_EF):  # the heads' cosines are near 1
            cosine = mean_cosine(weight_EF)
            if c.alignment_alpha < 1 and ctx.step >= c.align_step(ctx.total_steps):
                weight_EF.copy_(align_heads(weight_EF, c.alignment_alpha))
        return {
            "loss": loss.detach(),
            "risk": risk.detach(),
            "separability": separability.detach(),
            "head_cosine": cosine,
        }

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the mean of the heads' live probabilities, [B] in [0, 1] (of probabilities, not of logits)."""
        self.networks.eval()
        return self._logits(self._features(images)).sigmoid().mean(1)

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        title = backbones.get(self.config.backbone).title
        return {"backbone": title, "losses": ("BCE per domain", "SupCon"), "score": "mean of sigmoid heads"}

    @property
    def _heads(self) -> nn.Linear:
        heads = self.networks["heads"]
        assert isinstance(heads, nn.Linear)  # noqa: S101
        return heads

    def _features(self, x_BCHW: Tensor) -> Tensor:
        features: Tensor = self.networks["backbone"](self.networks["normalize"](x_BCHW))
        return features

    def _logits(self, feature_NF: Tensor) -> Tensor:
        logits: Tensor = self.config.head_scale * full(self._heads(feature_NF))
        return logits
