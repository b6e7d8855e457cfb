"""ERM: one network trained on all source domains pooled, the baseline that every other method must beat.

Vapnik, Principles of Risk Minimization for Learning Theory, NIPS 1991; as a baseline in domain
generalization: Gulrajani and Lopez-Paz, In Search of Lost Domain Generalization, ICLR 2021.

Idea: treat all source domains as one set and minimise the mean classification loss over it. Batches hold as many live
as spoof images of every domain, so that a large corpus does not drown a small one. Nothing else: what a method gains
over this is what its own losses and updates are worth.

    equation                                      function
    mean over the batch of BCE(w.phi(x) + b, y)   classification_loss

No paper fixes this baseline's details for face anti-spoofing; these defaults are ours and follow the training of SSDG
(SGD .01, momentum .9, weight decay 5e-4, 10 images a group, 4000 steps, mirrored images). No published numbers.
``backbone`` takes any network of ``fasray.nets.backbones`` in place of the ResNet-18; AdamW trains a transformer.

Shapes: B images of this worker, H W image size, F features of the backbone (512 * width with ResNet-18).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.precision import full
from fasray.methods.backbone import BackboneName, build_backbone, make_optimizer
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import later, quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets import backbones


class ERMConfig(MethodConfig):
    """Settings of ERM; the paper's values are those of SSDG's training."""

    label_smoothing: float = quantity(0.0, ge=0, lt=1, unit="fraction")
    """Share of each label given to both classes."""
    backbone: BackboneName = later("resnet18")
    """Network from images to features; see ``for_backbone`` for what comes with it."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Optimizer; Adam and AdamW need a learning rate near 1e-4."""
    learning_rate: float = quantity(0.01, gt=0, le=1)
    """Learning rate, constant. Paper: 0.01."""
    momentum: float = quantity(0.9, ge=0, lt=1)
    """Momentum, with SGD only. Paper: 0.9."""
    weight_decay: float = quantity(5e-4, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 5e-4."""
    images_per_group: int = quantity(10, ge=1, unit="images")
    """Images of each (domain, label) group a step."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored image."""
    crop: Literal["pixels", "resize", "scale"] = "pixels"
    """Window of stored pixels, the whole crop resized, or a random part of the crop resized."""
    scale_min: float = quantity(0.2, gt=0, le=1, unit="area")
    """Smallest part of the crop shown, with ``crop: scale``."""
    rotation: float = quantity(0.0, ge=0, le=180, unit="degrees")
    """Largest rotation, either way."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges; ERM has no loss weights."""
        return {
            "learning_rate": LogUniform(loguniform=(1e-3, 3e-2)),
            "weight_decay": Choice(choice=(1e-4, 5e-4, 1e-3)),
            "label_smoothing": Choice(choice=(0.0, 0.1)),
        }


def classification_loss(logit_B: Tensor, label_B: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean binary cross-entropy of logits against labels 1 = live, 0 = spoof; NaN for an empty batch.

    Args:
        logit_B: [B] logits, higher = more live.
        label_B: [B] labels.
        smoothing: moves the targets to smoothing / 2 and 1 - smoothing / 2.
    """
    logit_B = full(logit_B)
    target = label_B.to(logit_B.dtype) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logit_B, target)


class ERM(Method):
    """Pooled risk minimisation with one logistic head."""

    name: ClassVar[str] = "erm"
    title: ClassVar[str] = "ERM (ResNet-18)"
    paper: ClassVar[str] = "Vapnik, NIPS 1991; Gulrajani and Lopez-Paz, ICLR 2021 (arXiv 2007.01434)"
    Config: ClassVar[type[MethodConfig]] = ERMConfig
    config: ERMConfig

    @property
    def needs(self) -> Needs:
        """Images and labels of one domain or more."""
        return Needs(min_domains=1)

    @property
    def sampling(self) -> Sampling:
        """As many images of every domain and class."""
        return Sampling("balanced", images=self.config.images_per_group)

    @property
    def augment(self) -> Augment:
        """Mirror; the rest as configured."""
        c = self.config
        return Augment(flip=c.flip, rotation=c.rotation, crop=c.crop, scale=(c.scale_min, 1.0))

    def build(self, build: Build) -> None:
        """Create the backbone, one head and the optimizer."""
        c = self.config
        backbone = build_backbone(c.backbone, build)
        head = nn.Linear(backbone.num_features, 1)
        normalize = backbones.normalizer(c.backbone)
        self.networks = nn.ModuleDict({"normalize": normalize, "backbone": backbone, "head": head})
        self.networks.to(build.device)
        self.optimizers = {"all": make_optimizer(self.networks.parameters(), c)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step on the pooled batch."""
        draw, optimizer = draws[0], self.optimizers["all"]
        self.networks.train()
        loss = classification_loss(self._logits(draw.views[0]), draw.label, self.config.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        (log,) = ctx.average([loss.detach()])
        return {"loss": log}

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the head's live probability, [B] in [0, 1]."""
        self.networks.eval()
        return self._logits(images).sigmoid()

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        return {
            "backbone": backbones.get(self.config.backbone).title,
            "losses": ("BCE",),
            "score": "sigmoid of one head",
        }

    def _logits(self, x_BCHW: Tensor) -> Tensor:
        features_BF: Tensor = self.networks["backbone"](self.networks["normalize"](x_BCHW))
        logits: Tensor = self.networks["head"](features_BF)
        return logits[:, 0]
