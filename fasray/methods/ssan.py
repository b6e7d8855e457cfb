"""SSAN: put the content of one face into the style of another, and let only the label decide what that changes.

Wang, Wang, Yu, Deng, Li, Li and Wang, Domain Generalization via Shuffled Style Assembly for Face Anti-Spoofing,
CVPR 2022 (arXiv 2203.05340). SSAN-R is ``variant: r`` (a ResNet), SSAN-M is ``variant: m`` (plain convolutions, depth).

Idea: batch normalisation keeps what all faces share, the content; instance statistics hold the style, in which attacks
show. Content is made indistinguishable by domain, against a discriminator behind a gradient reversal. Each content is
assembled with its own style and with that of a random other face of the batch: the two results must be near each other
where the faces have one label and far where they have not, so that style comes to mean live or spoof and not domain.

    equation                                                                          function
    AdaIN(x; gamma, beta) = gamma (x - mean) / sqrt(var + 1e-5) + beta, of each map   nets.ssan.restyled
    block: x + AdaIN(conv(ReLU(AdaIN(conv(x)))))                                      nets.ssan.Assembly
    z_s(i) = head(content_i, style_i), z_x(i) = head(content_i, style_p(i))           SSAN.step
    L_cls: R cross-entropy of (spoof, live), M squared error of the depth map, z_s    SSAN._classification
    L_contra = mean of -s_i cos(stopgrad z_s(i), z_x(i)), s_i = 1 or -1               contrast
    L_adv = cross-entropy of the domain, all contents, gradient reversed              reverse_gradient
    L = L_cls + contrast_weight L_contra + adversarial_weight L_adv                   SSAN.step

Where paper and official code differ, decided by ``code`` and, one by one, by ``reversal`` and ``block``:
- The code's gradient reversal is a module with a ``backward`` method, which autograd never calls: the domain loss
  trains the encoder to tell the domains *apart*. ``reversal: schedule`` reverses as meant, ``none`` is the code.
- Each layer of the code's assembly block is applied to the block's input, so that the block computes x + AdaIN(x) and
  its convolutions are dead. ``block: residual`` is the block as written down, ``adain`` the code. At width 1 SSAN-R
  with ``residual`` has the code's 8,135,749 parameters; with ``adain`` the 2,359,296 dead ones are left out (the code
  only decays them to zero).
The default is ``as_intended``, what the paper describes; ``as_published`` is what the published figures came from.

What we do otherwise:
- The code runs its encoder twice a step, on the batch and on the batch shuffled. We run it once and shuffle the styles:
  the same features; running statistics move once a step, and by the assembled maps of both kinds, as in the code.
- p is drawn for the batch of all workers, which share their styles. One domain: L_adv is 0.
- The code takes a detected box, scaled by 1.0 to 1.4 about its middle, 1.3 in tests. Stored crops end near 1.35: we
  show a random square of 0.55 of their area or more, and all of it in tests.
- The discriminator has an output for each domain, not always three. Dropout masks come from a named stream.
- Of the code's three transforms we take its default: mirrored or not, (x - 127.5) / 128 (``training.augment`` can have
  the contrast, brightness and cutout of another). SSAN-M's features are the averages of its assembled maps [inferred].

Weights in the code: 1 and 1 for every protocol; 1200 epochs, of which the first 500 have the full learning rate.

Published HTER / AUC in %: SSAN-R OCI->M 6.67/98.75, OMI->C 10.00/96.67, OCM->I 8.88/96.79, ICM->O 13.72/93.63;
SSAN-M 10.42/94.76, 16.47/90.81, 14.00/94.58, 19.51/88.17. The best epoch of 1200 by AUC - HTER on the target itself, at
the threshold of the target: compare them with the `oracle-search` selection. Users of the released code report an AUC
below 90 on OCM->I and ICM->O. Quoted from later papers' tables, not from a run of ours.

Shapes: B images of this worker, N of all workers, C channels of the content, D domains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.faces.loading.augment import DEPTH_STRIDE
from fasray.losses.precision import full
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets import backbones
from fasray.nets.dropout import dropout_mask
from fasray.nets.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from fasray.nets.resnet import ResNet, scaled
from fasray.nets.reversal import reversal_factor, reverse_gradient
from fasray.nets.ssan import (
    Assembly,
    Block,
    ContentAndStyle,
    DepthDecoder,
    MapDiscriminator,
    PlainStages,
    ResNetStages,
    VectorDiscriminator,
)
from fasray.nets.weights import load_backbone

GRACE = 0.11
"""Part of the budget after which the gradient reversal has half its strength."""
CONTENT, ASSEMBLED = 256, 512
"""Channels of the content and of the assembled map, at width 1."""


class SSANConfig(MethodConfig):
    """Settings of SSAN; the defaults are those of the official training script."""

    variant: Literal["r", "m"] = "r"
    """SSAN-R, with a ResNet, or SSAN-M, with plain convolutions that draw a depth map. Paper: r; and m."""
    code: Literal["as_intended", "as_published"] = "as_intended"
    """What ``reversal`` and ``block`` are where they are null: as the paper has them, or as its code has.

    Paper: as_intended; its code as_published."""
    contrast_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the contrast between the two assemblies. Paper: 1."""
    adversarial_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the domain loss on content. Paper: 1."""
    reversal: Literal["schedule", "none"] | None = None
    """Whether the domain loss's gradient is reversed for the encoder, more and more. Paper: schedule; its code none."""
    block: Block | None = None
    """Assembly block: two convolutions around a shortcut, or AdaIN alone. Paper: residual; its code adain."""
    blocks: int = quantity(2, ge=1, le=8, unit="blocks")
    """Assembly blocks, all with the same style. Paper: 2."""
    backbone: Literal["resnet18", "resnet50"] = "resnet18"
    """Network of SSAN-R, of which the first three stages are used. Paper: resnet18."""
    dropout: float = quantity(0.5, ge=0, lt=1, unit="probability")
    """Share of SSAN-R's discriminator features dropped in training. Paper: 0.5."""
    learning_rate: float = quantity(1e-4, gt=0, le=1)
    """Learning rate of Adam at the start. Paper: 1e-4."""
    decay_every: float = quantity(0.4167, gt=0, le=1, unit="fraction of the budget")
    """Part of the budget between two decays of the learning rate. Paper: 0.4167; 500 of 1200 epochs."""
    decay_factor: float = quantity(0.5, gt=0, le=1)
    """Factor of each decay. Paper: 0.5."""
    weight_decay: float = quantity(5e-5, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 5e-5."""
    batch: int = quantity(16, ge=2, unit="images")
    """Images a step, of all domains together. Paper: 16."""
    normalisation: Literal["half", "imagenet"] = "half"
    """What comes into the network: (x - 127.5) / 128, or ImageNet's mean and deviation. Paper: half."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored image. Paper: 0.5."""
    crop: Literal["pixels", "resize", "scale"] = "scale"
    """Window of stored pixels, the whole crop resized, or a random part of the crop resized. Paper: scale."""
    scale_min: float = quantity(0.55, gt=0, le=1, unit="area")
    """Smallest part of the crop shown. Paper: 0.55; face boxes scaled by 1.0 to 1.4."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first."""
        return {
            "contrast_weight": Choice(choice=(0.0, 0.25, 0.5, 1.0, 2.0)),
            "adversarial_weight": Choice(choice=(0.0, 0.1, 0.5, 1.0)),
            "code": Choice(choice=("as_intended", "as_published")),
            "blocks": Choice(choice=(1, 2, 3)),
            "learning_rate": LogUniform(loguniform=(3e-5, 3e-4)),
            "weight_decay": Choice(choice=(0.0, 5e-5, 5e-4)),
        }

    @property
    def reverses(self) -> bool:
        """Whether the gradient of the domain loss is reversed: ``reversal``, or what ``code`` says."""
        return (self.reversal or ("schedule" if self.code == "as_intended" else "none")) == "schedule"

    @property
    def assembly_block(self) -> Block:
        """The assembly block: ``block``, or what ``code`` says."""
        return self.block or ("residual" if self.code == "as_intended" else "adain")

    def min_grace(self, total_steps: int) -> int:
        """Return the steps until the reversed gradient has half its strength; 1 if it is not used."""
        return math.ceil(GRACE * total_steps) if self.reverses and self.adversarial_weight else 1


def contrast(self_BF: Tensor, shuffled_BF: Tensor, same_B: Tensor) -> Tensor:
    """Return the mean of -cos for pairs of one label and of cos for the others, in [-1, 1].

    Args:
        self_BF: features of each content in its own style; they get no gradient.
        shuffled_BF: features of the same contents in other styles.
        same_B: whether content and style come from faces of one label, boolean.
    """
    cosine_B = functional.cosine_similarity(full(self_BF.detach()), full(shuffled_BF), dim=1)
    return torch.where(same_B, -cosine_B, cosine_B).mean()


class SSAN(Method):
    """Content without domains, assembled with the styles of other faces and contrasted by label."""

    name: ClassVar[str] = "ssan"
    title: ClassVar[str] = "SSAN"
    paper: ClassVar[str] = "Wang et al., CVPR 2022 (arXiv 2203.05340)"
    Config: ClassVar[type[MethodConfig]] = SSANConfig
    full_precision: ClassVar[str] = "instance statistics, AdaIN, cosines, losses"
    config: SSANConfig

    @property
    def needs(self) -> Needs:
        """Images; SSAN-M depth maps too. One domain will do."""
        return Needs(depth=self.config.variant == "m")

    @property
    def sampling(self) -> Sampling:
        """Videos in plain random order, one random frame each; neither classes nor domains are balanced."""
        return Sampling("shuffled", images=self.config.batch, unit="video")

    @property
    def augment(self) -> Augment:
        """A random part of the crop, mirrored or not."""
        return Augment(self.config.flip, crop=self.config.crop, scale=(self.config.scale_min, 1.0))

    def build(self, build: Build) -> None:
        """Create encoder, assembly, head, discriminator and Adam."""
        c, content, assembled = self.config, scaled(CONTENT, build.width), scaled(ASSEMBLED, build.width)
        half = [127.5 / 255] * 3, [128 / 255] * 3
        encoder: ResNetStages | PlainStages
        head: nn.Module
        discriminator: nn.Module
        if c.variant == "r":
            trunk = backbones.make(c.backbone, width=build.width, image_size=build.image_size)
            assert isinstance(trunk, ResNet)  # noqa: S101
            load_backbone(trunk, build.backbone_weights, build.weights_folder, architecture=c.backbone)
            encoder, head = ResNetStages(trunk), nn.Linear(assembled, 2)
            discriminator = VectorDiscriminator(content, build.num_domains)
        else:
            encoder, head = PlainStages(build.width), DepthDecoder(assembled, build.width)
            discriminator = MapDiscriminator(content, assembled, build.num_domains)
        self.networks = nn.ModuleDict(
            {
                "normalize": Normalize(*(half if c.normalisation == "half" else (IMAGENET_MEAN, IMAGENET_STD))),
                "encoder": encoder,
                "parts": ContentAndStyle(encoder.channels, content),
                "assembly": Assembly(content, assembled, c.blocks, c.assembly_block),
                "head": head,
                "discriminator": discriminator,
            }
        )
        self.networks.to(build.device)
        self.optimizers = {
            "all": torch.optim.Adam(self.networks.parameters(), c.learning_rate, weight_decay=c.weight_decay)
        }

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step on all networks."""
        c, draw, optimizer = self.config, draws[0], self.optimizers["all"]
        for group in optimizer.param_groups:
            group["lr"] = c.learning_rate * c.decay_factor ** int(ctx.step / (c.decay_every * ctx.total_steps))
        self.networks.train()
        assembly = self.networks["assembly"]
        content, gamma_BC, beta_BC = self._parts(draw.views[0])
        place_B = self._shuffled_places(len(draw.label), ctx, draw.label.device)
        style_NC, label_N = ctx.gather(torch.cat([gamma_BC, beta_BC], dim=1)), ctx.gather(draw.label)
        own = assembly(content, gamma_BC, beta_BC)
        shuffled = assembly(content, *style_NC[place_B].chunk(2, dim=1))
        same_B = draw.label == label_N[place_B]
        classification, contrasted, adversarial = ctx.average(
            [
                self._classification(own, draw),
                contrast(own.mean(dim=(2, 3)), shuffled.mean(dim=(2, 3)), same_B),
                functional.cross_entropy(full(self._domain_logits(content, ctx)), draw.domain),
            ]
        )
        loss = classification + c.contrast_weight * contrasted + c.adversarial_weight * adversarial
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        return {
            "loss": loss.detach(),
            "classification": classification.detach(),
            "contrast": contrasted.detach(),
            "adversarial": adversarial.detach(),
        }

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the live class's softmax probability, [B] in [0, 1], or SSAN-M's mean depth, 0 or more."""
        self.networks.eval()
        own = self.networks["assembly"](*self._parts(images))
        if self.config.variant == "m":
            return self._depth(own, images.shape[-1]).mean(dim=(1, 2, 3))
        return self._logits(own).softmax(1)[:, 1]

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        r = self.config.variant == "r"
        return {
            "backbone": "ResNet-18 and ResNet-50, three stages" if r else "10 convolutions (MADDG)",
            "losses": ("CE" if r else "MSE of depth", "contrast of assemblies", "domain CE of content, reversed"),
            "score": "softmax of two classes" if r else "mean of the depth map",
        }

    def _parts(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the content [B, C, h, w] of images in [0, 1] and their gamma and beta, each [B, C]."""
        parts: tuple[Tensor, Tensor, Tensor] = self.networks["parts"](
            *self.networks["encoder"](self.networks["normalize"](x_BCHW))
        )
        return parts

    def _logits(self, assembled: Tensor) -> Tensor:
        return full(self.networks["head"](assembled.mean(dim=(2, 3))))

    def _depth(self, assembled: Tensor, image_size: int) -> Tensor:
        return full(self.networks["head"](assembled, image_size // DEPTH_STRIDE))

    def _classification(self, own: Tensor, draw: Draw) -> Tensor:
        """Return the loss of the live decision from the faces assembled in their own style."""
        if self.config.variant == "r":
            return functional.cross_entropy(self._logits(own), draw.label)
        assert draw.depth is not None  # noqa: S101
        return functional.mse_loss(self._depth(own, draw.views[0].shape[-1]), draw.depth)

    def _domain_logits(self, content: Tensor, ctx: StepContext) -> Tensor:
        """Return the discriminator's [B, D] logits; the encoder gets their gradient reversed, or as it is."""
        if self.config.reverses:
            content = reverse_gradient(content, reversal_factor(ctx.step + 1, ctx.total_steps))
        logits: Tensor
        if self.config.variant == "m":
            logits = self.networks["discriminator"](content)
            return logits
        pooled_BC, places = content.mean(dim=(2, 3)), {"rank": ctx.rank, "world_size": ctx.world_size}
        mask_BC = dropout_mask(ctx.rng("dropout"), pooled_BC, self.config.dropout, groups=1, **places)
        logits = self.networks["discriminator"](pooled_BC, mask_BC)
        return logits  # noqa: RET504

    @staticmethod
    def _shuffled_places(count: int, ctx: StepContext, device: torch.device) -> Tensor:
        """Return [B], whose style each face of this worker gets: its share of a permutation of all workers' faces."""
        generator = torch.Generator(device)  # on the device: nothing has to be copied there
        generator.manual_seed(int(ctx.rng("styles").integers(2**63 - 1)))
        order_N = torch.rand(count * ctx.world_size, generator=generator, device=device).argsort()
        return order_N[ctx.rank * count : (ctx.rank + 1) * count]
