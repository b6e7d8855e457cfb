"""RFMeta: rehearse the domain shift in every step, and let depth steady the features it is rehearsed on.

Shao, Lan and Yuen, Regularized Fine-grained Meta Face Anti-spoofing, AAAI 2020 (arXiv 1911.10771).

Idea: each step splits the source domains anew into meta-train and meta-test. The classifier (the meta learner E) takes
one gradient step on each meta-train domain by itself, and each of these adapted classifiers must then do well on the
domain held out; the whole is differentiated through that inner step, so that steps which help one domain also help the
others. Depth maps, faces for live and nothing for spoof, supervise the shared features F so that the inner steps have
something general to go by.

    equation                                                             function
    L_cls = mean BCE(sigmoid(E(F(x))), y)                                classification_loss
    L_dep = mean |D(F(x)) - depth|^2                                     depth_loss
    theta_i' = theta_E - alpha grad L_cls,i(theta_E)                     fasray.nets.inner_loop.inner_step
    L = sum_i (L_cls,i + W L_dep,i) over meta-train domains
        + V (sum_j sum_i L_cls,j(theta_i') + W sum_j L_dep,j) over held-out domains j      RFMeta.losses

Where paper and official code differ, and what we do (the paper's body was not at hand: code and supplement were):
- The meta learner's batch normalisation has momentum 1 in the code, so that at evaluation it normalises by the last
  meta-train batch alone, 20 images of one domain; users saw its accuracy jump by 20 points between epochs. That is the
  default here; ``bn_momentum: 0.1`` is the steady choice.
- The code initialises the scales of batch normalisation by uniform(1, 0.02), bounds reversed, which drew from
  (0.02, 1] in the torch of its day and is an error today. ``bn_init``: uniform as it then was, or the normal(1, 0.02)
  that was probably meant, or ones. Default [inferred]: uniform.
- Weight decay and momentum are parsed but never used in the code; ours is 0 by default.
- The code has three domains written in. We hold out all domains beyond ``meta_train_domains``, and always at least
  one: with three sources 2 + 1 as published, with two 1 + 1, with four 2 + 2 [inferred].
- Sums over domains, not means, as in the code.
- The code needs 256 pixels for 32 x 32 maps; our maps are an eighth of the image, the same there.
- Epochs are 10 passes over the largest group; our budget is in steps.
- The official depth is PRNet's map of the live face; what the faces' records hold is the data's choice.
- The method has no pretrained weights: ``backbone_weights: imagenet`` changes nothing, a file fills the extractor.

Published HTER / AUC in %: O&C&I->M 13.89/93.98, O&M&I->C 20.27/88.16, O&C&M->I 17.30/90.48, I&C&M->O 16.45/91.16
(checked in the table of a later paper's repository, not in the paper). The author stopped early on the target domain
(issue #5 of the code; without it a user had 82 % AUC on ICM->O): compare with the `oracle` selection. The code holds
no metric; scores are per frame.

Shapes: B images of this worker, D source domains, N = B / D images of a domain, F features (512 * width), H W image
size. Memory and time: about 47 G multiply-adds per image at 256 pixels, the heaviest of all methods here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.precision import full, no_autocast
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets.depthnet import BatchNormInit, DepthEstimator, FeatEmbedder, FeatExtractor, initialise, joined
from fasray.nets.hsv import with_hsv
from fasray.nets.inner_loop import Parameters, forward_with, inner_step
from fasray.nets.weights import load_backbone


class RFMetaConfig(MethodConfig):
    """Settings of RFMeta; the defaults are those of the official training script."""

    depth_weight: float = quantity(10.0, ge=0, le=1000)
    """Weight W of the depth loss. Paper: 10."""
    meta_test_weight: float = quantity(1.0, ge=0, le=100)
    """Weight V of the held-out domains' losses. Paper: 1."""
    inner_learning_rate: float = quantity(1e-3, ge=0, le=10)
    """Learning rate of the meta learner's inner step. Paper: 1e-3."""
    second_order: bool = True
    """Whether to differentiate through the inner gradient; ``false`` takes it as a constant. Paper: true."""
    meta_train_domains: int = quantity(2, ge=1, unit="domains")
    """Domains with an inner step, at most all but one; the others are held out. Paper: 2."""
    bn_momentum: float = quantity(1.0, gt=0, le=1, unit="fraction")
    """Share of the newest batch in the meta learner's running statistics; 0.1 is steadier. Paper: 1.0."""
    bn_init: BatchNormInit = "uniform"
    """Initial scales of batch normalisation: uniform in [0.02, 1], normal (1, 0.02) or ones. Paper: uniform."""
    learning_rate: float = quantity(1e-3, gt=0, le=1)
    """Learning rate of Adam, constant. Paper: 1e-3."""
    weight_decay: float = quantity(0.0, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 0."""
    images_per_group: int = quantity(10, ge=1, unit="images")
    """Images of each (domain, label) group a step. Paper: 10."""
    flip: float = quantity(0.0, ge=0, le=1, unit="probability")
    """Probability of a mirrored image. Paper: 0."""
    crop: Literal["pixels", "resize"] = "resize"
    """Window of stored pixels, or the whole crop resized. Paper: resize."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first."""
        return {
            "depth_weight": LogUniform(loguniform=(0.1, 20.0)),
            "meta_test_weight": Choice(choice=(0.5, 1.0, 2.0)),
            "inner_learning_rate": LogUniform(loguniform=(1e-4, 1e-2)),
            "learning_rate": LogUniform(loguniform=(1e-4, 3e-3)),
            "bn_momentum": Choice(choice=(1.0, 0.1)),
            "meta_train_domains": Choice(choice=(1, 2)),
            "second_order": Choice(choice=(True, False)),
            "weight_decay": Choice(choice=(0.0, 5e-5, 5e-4)),
        }


def classification_loss(logit_N: Tensor, label_N: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of logits against labels 1 = live, 0 = spoof; NaN for an empty batch."""
    return functional.binary_cross_entropy_with_logits(logit_N, label_N.to(logit_N.dtype))


def depth_loss(depth_N1hw: Tensor, target_N1hw: Tensor) -> Tensor:
    """Return the mean squared error over images and pixels; NaN for an empty batch.

    Args:
        depth_N1hw: estimated maps.
        target_N1hw: maps in [0, 1], all zero for spoof; of the same shape.
    """
    return functional.mse_loss(depth_N1hw, target_N1hw)


def rows_by_domain(domain_B: Tensor, num_domains: int) -> Tensor:
    """Return [D, B / D] rows of a balanced batch, those of each domain in their order; waits for no device."""
    return domain_B.argsort(stable=True).view(num_domains, -1)


def split_domains(rng_order: Sequence[int], meta_train_domains: int) -> tuple[list[int], list[int]]:
    """Return the meta-train domains, the first of ``rng_order``, and the held-out rest, which is never empty."""
    count = min(meta_train_domains, len(rng_order) - 1)
    return list(rng_order[:count]), list(rng_order[count:])


@dataclass(frozen=True)
class Losses:
    """The four sums of a step over its domains, scalars."""

    train_cls: Tensor
    train_depth: Tensor
    test_cls: Tensor
    test_depth: Tensor

    def total(self, depth_weight: float, meta_test_weight: float) -> Tensor:
        """Return their weighted sum, what the outer update minimises."""
        train = self.train_cls + depth_weight * self.train_depth
        return train + meta_test_weight * (self.test_cls + depth_weight * self.test_depth)


class RFMeta(Method):
    """Meta-learning over simulated domain shifts, regularised by depth."""

    name: ClassVar[str] = "rfmeta"
    title: ClassVar[str] = "RFMeta"
    paper: ClassVar[str] = "Shao et al., AAAI 2020 (arXiv 1911.10771)"
    Config: ClassVar[type[MethodConfig]] = RFMetaConfig
    full_precision: ClassVar[str] = "the meta learner and its inner steps, losses"
    config: RFMetaConfig

    @property
    def needs(self) -> Needs:
        """Depth maps, and two domains or more: one to learn on and one to hold out."""
        return Needs(depth=True, min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """As many images of every domain and class."""
        return Sampling("balanced", images=self.config.images_per_group)

    @property
    def augment(self) -> Augment:
        """Nothing but what is configured."""
        return Augment(flip=self.config.flip, crop=self.config.crop)

    @property
    def compiled(self) -> Sequence[str]:
        """All but the meta learner, whose gradient is differentiated."""
        return [name for name in self.networks if name != "embedder"]

    def build(self, build: Build) -> None:
        """Create extractor F, depth estimator D, meta learner E and one Adam over all three."""
        c = self.config
        extractor = FeatExtractor(build.width)
        depth = DepthEstimator(extractor.channels, build.width)
        embedder = FeatEmbedder(extractor.channels, build.width, c.bn_momentum)
        self.networks = nn.ModuleDict({"extractor": extractor, "depth": depth, "embedder": embedder})
        initialise(self.networks, c.bn_init)
        if build.backbone_weights != "imagenet":
            load_backbone(extractor, build.backbone_weights, build.weights_folder, architecture=self.architecture)
        self.networks.to(build.device)
        self.num_domains = build.num_domains
        self.optimizers = {
            "all": torch.optim.Adam(self.networks.parameters(), c.learning_rate, weight_decay=c.weight_decay)
        }

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Split the domains anew, adapt and test the meta learner, and do one outer update of all networks."""
        c, optimizer = self.config, self.optimizers["all"]
        self.networks.train()
        losses = self.losses(draws[0], ctx)
        total = losses.total(c.depth_weight, c.meta_test_weight)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        logs = torch.stack([total, losses.train_cls, losses.train_depth, losses.test_cls, losses.test_depth]).detach()
        names = ("loss", "meta_train_cls", "meta_train_depth", "meta_test_cls", "meta_test_depth")
        return dict(zip(names, ctx.average([logs])[0].unbind(), strict=True))

    def losses(self, draw: Draw, ctx: StepContext) -> Losses:
        """Return this worker's losses of a step, differentiable to all networks; the split comes from ``ctx.rng``."""
        c = self.config
        embedder = self.networks["embedder"]
        order = ctx.rng("meta-split").permutation(self.num_domains).tolist()
        train, test = split_domains(order, c.meta_train_domains)
        rows = rows_by_domain(draw.domain, self.num_domains)
        adapted: list[Parameters] = []
        train_cls, train_depth, test_cls, test_depth = [], [], [], []
        for domain in train:
            label, x, depth = self._domain(draw, rows[domain])
            with no_autocast(x):  # the inner step is small next to the weights: rounding them would undo it
                loss = classification_loss(embedder(x)[1], label)
                rate, second = c.inner_learning_rate, c.second_order
                adapted.append(inner_step(embedder, loss, rate, second_order=second, average=ctx.average))
            train_cls.append(loss)
            train_depth.append(depth)
        for domain in test:
            label, x, depth = self._domain(draw, rows[domain])
            with no_autocast(x):
                test_cls += [classification_loss(forward_with(embedder, theta, x)[1], label) for theta in adapted]
            test_depth.append(depth)
        return Losses(*(torch.stack(terms).sum() for terms in (train_cls, train_depth, test_cls, test_depth)))

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the meta learner's live probability, [B] in [0, 1]; the depth map is not used."""
        self.networks.eval()
        logit_B: Tensor = self.networks["embedder"](self.networks["extractor"](with_hsv(images))[-1])[1]
        return logit_B.sigmoid()

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        return {"backbone": "DepthNet, RGB + HSV", "losses": ("BCE", "depth MSE"), "score": "sigmoid of meta learner"}

    def _domain(self, draw: Draw, rows_N: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return labels, the meta learner's input and the depth loss of one domain's images."""
        assert draw.depth is not None  # noqa: S101
        maps = self.networks["extractor"](with_hsv(draw.views[0][rows_N]))
        depth: Tensor = depth_loss(full(self.networks["depth"](joined(*maps[1:]))), draw.depth[rows_N])
        return draw.label[rows_N], full(maps[-1]), depth
