"""SSDG: pull the live faces of all domains together, but let the attacks of each domain stand apart.

Jia, Zhang, Shan and Chen, Single-Side Domain Generalization for Face Anti-Spoofing, CVPR 2020 (arXiv 2004.14043).
SSDG-R is ``backbone: resnet18``, SSDG-M is ``backbone: depthnet``; others are not the paper's.

Idea: live faces look alike whatever the camera, attacks do not; so only live features are made indistinguishable by
domain, against a discriminator behind a gradient reversal. An asymmetric triplet loss takes all live faces as one group
and the attacks of each domain as a group of their own. Features and classifier weights are normalised, so that image
quality, which shows in the features' norm, says less.

    equation                                                                     function
    L_Cls = cross-entropy of (spoof, live)                                       torch's cross_entropy
    L_Ada: cross-entropy of the domain, live features only, gradient reversed    domain_loss, reverse_gradient
    L_AsTrip = mean of max(0, d(a, p) - d(a, n) + margin), violated triplets     losses.triplet.triplet_loss
    feature and weight normalisation                                             normalised_features, normalised_weight
    L = L_Cls + triplet_weight L_AsTrip + adversarial_weight L_Ada               SSDG.step

Where paper and official code differ; the defaults are the code's, which gave the published numbers:
- The paper divides features and each class's weights by their norms. The code divides a feature by sqrt(2 |f|), so that
  its norm becomes sqrt(|f| / 2), and the classifier's weights, in place at every forward pass, by their norm *over the
  two classes* of each feature. ``norm: official | paper | none``; with ``paper`` the classifier has no bias.
- The paper squares the triplets' distances, the code does not: ``distance``.
- layer4 is part of the "embedder", which the code starts from random values although ImageNet has weights for it:
  ``pretrained_layer4``. SSDG-M always starts from random values: ``backbone_weights: imagenet`` leaves it alone.
- The script's learning rate of 0.01 is multiplied by 0.1 before the first step. We say 0.001.
- The code counts the discriminator's calls for the reversal's factor. We compute it from the step: the same numbers.
- The code takes one fixed frame a video; we take another one in each pass. Dropout masks come from a named stream.

Weights and schedule per protocol in the code: OCI->M, OMI->C, OCM->I 1 (triplet) and 0.5 (adversarial), ICM->O 2 and
0.1; the learning rate falls at 0.375 of the budget for OCI->M and ICM->O, at 0.125 for OMI->C and OCM->I.

Published HTER / AUC in %: SSDG-R OCI->M 7.38/97.17, OMI->C 10.44/95.94, OCM->I 11.71/96.59, ICM->O 15.61/91.54;
SSDG-M 16.67/90.47, 23.11/85.45, 18.21/94.61, 25.17/81.83. The iteration of the best target HTER of 4000, checked every
10, at the EER threshold of the target, so HTER = EER: compare them with the `oracle-search` selection. Quoted from
later papers' tables, not from a run of ours.

Shapes: B images of this worker, N of all workers, F features of the backbone (512 * width in the paper), D domains.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.domain import domain_loss
from fasray.losses.precision import full
from fasray.losses.triplet import asymmetric_groups, triplet_loss
from fasray.methods.backbone import Known, make_optimizer
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import later, quantity
from fasray.methods.space import Choice, Range
from fasray.nets import backbones
from fasray.nets.dropout import dropout_mask
from fasray.nets.normalize import ImageNetNormalize
from fasray.nets.resnet import ResNet
from fasray.nets.reversal import reversal_factor, reverse_gradient
from fasray.nets.ssdg import TINY, Discriminator, Embedding, Norm, PlainNet, normalised_features
from fasray.nets.weights import load_backbone

DEPTHNET = "depthnet"
"""The backbone of SSDG-M, which is no other method's."""
GRACE = 0.11
"""Part of the budget after which the gradient reversal has half its strength."""


class SSDGConfig(MethodConfig):
    """Settings of SSDG; the defaults are those of the official training script for OCI->M."""

    triplet_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the asymmetric triplet loss. Paper: 1; 2 for ICM->O."""
    adversarial_weight: float = quantity(0.5, ge=0, le=100)
    """Weight of the domain loss on live features. Paper: 0.5; 0.1 for ICM->O."""
    margin: float = quantity(0.1, ge=0, le=100, unit="distance")
    """Margin of the triplets. Paper: 0.1."""
    distance: Literal["l2", "sq"] = "l2"
    """Distance of two features: Euclidean, or squared. Paper: sq; its code l2."""
    hardest: bool = False
    """Hardest positive and negative of each anchor instead of all violated triplets. Paper: false."""
    norm: Norm = "official"
    """How features and classifier weights are normalised: as in the code, as in the paper, or not. Paper: paper."""
    backbone: Annotated[str, Known((DEPTHNET,))] = "resnet18"
    """Network from images to features, see ``for_backbone`` for what comes with it. Paper: resnet18; or depthnet."""
    pretrained_layer4: bool = False
    """Whether layer4 of a ResNet starts from ``backbone_weights`` too, if there are any. Paper: false."""
    dropout: float = quantity(0.5, ge=0, lt=1, unit="probability")
    """Share of embedding and discriminator features dropped in training. Paper: 0.5."""
    optimizer: Literal["sgd", "adam", "adamw"] = later("sgd")
    """Optimizer. Paper: sgd."""
    learning_rate: float = quantity(0.001, gt=0, le=1)
    """Learning rate at the start. Paper: 0.01; multiplied by 0.1 before the first step."""
    decay_at: float = quantity(0.375, gt=0, le=1, unit="fraction of the budget")
    """Part of the budget before the decay of the learning rate. Paper: 0.375; 0.125 for OMI->C and OCM->I."""
    decay_factor: float = quantity(0.1, gt=0, le=1)
    """Factor of the decay. Paper: 0.1."""
    momentum: float = quantity(0.9, ge=0, lt=1)
    """Momentum of SGD. Paper: 0.9."""
    weight_decay: float = quantity(5e-4, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 5e-4."""
    images_per_group: int = quantity(10, ge=1, unit="images")
    """Images of each (domain, label) group a step. Paper: 10."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored image. Paper: 0.5."""
    crop: Literal["pixels", "resize"] = "resize"
    """Window of stored pixels, or the whole crop resized. Paper: resize."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first."""
        return {
            "triplet_weight": Choice(choice=(0.1, 0.5, 1.0, 2.0, 4.0)),
            "adversarial_weight": Choice(choice=(0.05, 0.1, 0.3, 0.5, 1.0)),
            "margin": Choice(choice=(0.05, 0.1, 0.2, 0.5)),
            "distance": Choice(choice=("l2", "sq")),
            "norm": Choice(choice=("official", "paper", "none")),
            "learning_rate": Choice(choice=(0.001, 0.005, 0.01)),
            "weight_decay": Choice(choice=(1e-4, 5e-4)),
        }

    def min_grace(self, total_steps: int) -> int:
        """Return the steps until the reversed gradient has half its strength; 1 if it is not used."""
        return 1 if self.adversarial_weight == 0 else math.ceil(GRACE * total_steps)


def normalised_weight(weight_CF: Tensor, norm: Norm) -> Tensor:
    """Return the classifier's weights, each column of unit length (``official``), each row (``paper``), or as is."""
    return weight_CF if norm == "none" else functional.normalize(weight_CF, dim=0 if norm == "official" else 1)


class SSDG(Method):
    """Adversarial alignment of the live features of all domains, asymmetric triplets for the rest."""

    name: ClassVar[str] = "ssdg"
    title: ClassVar[str] = "SSDG"
    paper: ClassVar[str] = "Jia et al., CVPR 2020 (arXiv 2004.14043)"
    Config: ClassVar[type[MethodConfig]] = SSDGConfig
    full_precision: ClassVar[str] = "norms of features and weights, distances, losses"
    config: SSDGConfig

    @property
    def needs(self) -> Needs:
        """Two domains or more: with one there is nothing to tell apart."""
        return Needs(min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """As many videos of every domain and class, one frame each."""
        return Sampling("balanced", images=self.config.images_per_group, unit="video")

    @property
    def augment(self) -> Augment:
        """Mirror only."""
        return Augment(flip=self.config.flip, crop=self.config.crop)

    def build(self, build: Build) -> None:
        """Create backbone, embedding, classifier, discriminator and optimizer."""
        normalize, backbone, features = self._backbone(build)
        classifier = nn.Linear(features, 2)
        nn.init.normal_(classifier.weight, 0, 0.01)
        nn.init.zeros_(classifier.bias)
        self.networks = nn.ModuleDict(
            {
                "normalize": normalize,
                "backbone": backbone,
                "embedding": Embedding(features),
                "classifier": classifier,
                "discriminator": Discriminator(features, build.num_domains),
            }
        )
        self.networks.to(build.device)
        self._groups = 2 * build.num_domains
        self.optimizers = {"all": make_optimizer(self.networks.parameters(), self.config)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step, on the discriminator and, through the reversed gradient, against it on the features."""
        c, draw, optimizer = self.config, draws[0], self.optimizers["all"]
        for group in optimizer.param_groups:
            group["lr"] = c.learning_rate * (c.decay_factor if ctx.step >= c.decay_at * ctx.total_steps else 1)
        self.networks.train()
        weight_CF = normalised_weight(self._classifier.weight, c.norm)
        if c.norm == "official":  # the weights themselves are replaced, so no gradient passes through their norms
            self._classifier.weight.detach().copy_(weight_CF.detach())
            weight_CF = self._classifier.weight
        pooled_BF = self._pooled(draw.views[0])
        rng, places = ctx.rng("dropout"), {"groups": self._groups, "rank": ctx.rank, "world_size": ctx.world_size}
        masks = [dropout_mask(rng, pooled_BF, c.dropout, **places) for _ in range(2)]
        feature_BF = self._features(pooled_BF, masks[0])
        reversed_BF = reverse_gradient(feature_BF, reversal_factor(ctx.step + 1, ctx.total_steps))
        domain_logit_BD = self.networks["discriminator"](reversed_BF, masks[1])
        classification, domain_sum, live_count = ctx.average(
            [
                functional.cross_entropy(self._logits(feature_BF, weight_CF), draw.label),
                *domain_loss(domain_logit_BD, draw.domain, draw.label == 1),
            ]
        )
        adversarial = domain_sum / live_count.clamp_min(TINY)
        group_N = ctx.gather(asymmetric_groups(draw.label, draw.domain))
        triplet = triplet_loss(ctx.gather(feature_BF), group_N, c.margin, distance=c.distance, hardest=c.hardest)
        loss = classification + c.triplet_weight * triplet + c.adversarial_weight * adversarial
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        return {
            "loss": loss.detach(),
            "classification": classification.detach(),
            "triplet": triplet.detach(),
            "adversarial": adversarial.detach(),
        }

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the live class's softmax probability, [B] in [0, 1]."""
        self.networks.eval()
        weight_CF = normalised_weight(self._classifier.weight, self.config.norm)
        return self._logits(self._features(self._pooled(images)), weight_CF).softmax(1)[:, 1]

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        plain = self.config.backbone == DEPTHNET
        return {
            "backbone": "13 convolutions (MADDG)" if plain else backbones.get(self.config.backbone).title,
            "losses": ("CE", "asymmetric triplet", "domain CE of live features, reversed"),
            "score": "softmax of two classes",
        }

    def _backbone(self, build: Build) -> tuple[nn.Module, nn.Module, int]:
        """Return normalisation, backbone and number of features."""
        c = self.config
        if c.backbone == DEPTHNET:
            plain = PlainNet(build.width)
            weights = "none" if build.backbone_weights == "imagenet" else build.backbone_weights
            load_backbone(plain, weights, build.weights_folder, architecture=self.architecture)
            return ImageNetNormalize(), plain, plain.num_features
        fresh = backbones.make(c.backbone, width=build.width, image_size=build.image_size)
        backbone = copy.deepcopy(fresh)
        load_backbone(backbone, build.backbone_weights, build.weights_folder, architecture=c.backbone)
        if isinstance(backbone, ResNet) and isinstance(fresh, ResNet) and not c.pretrained_layer4:
            backbone.layer4 = fresh.layer4
        return backbones.normalizer(c.backbone), backbone, backbone.num_features

    @property
    def _classifier(self) -> nn.Linear:
        classifier = self.networks["classifier"]
        assert isinstance(classifier, nn.Linear)  # noqa: S101
        return classifier

    def _pooled(self, x_BCHW: Tensor) -> Tensor:
        pooled: Tensor = self.networks["backbone"](self.networks["normalize"](x_BCHW))
        return pooled

    def _features(self, pooled_BF: Tensor, mask_BF: Tensor | None = None) -> Tensor:
        return normalised_features(full(self.networks["embedding"](pooled_BF, mask_BF)), self.config.norm)

    def _logits(self, feature_BF: Tensor, weight_CF: Tensor) -> Tensor:
        """Return [B, 2] logits (spoof, live) of features for class weights that are already normalised."""
        bias = None if self.config.norm == "paper" else self._classifier.bias
        return full(functional.linear(feature_BF, weight_CF, bias))
