"""GD-FAS: CLIP with sentences, harder groups of the batch count more, and domains may differ outside the text plane.

Jung, Lee, Jeong, Noh, Lee and Choi, Group-wise Scaling and Orthogonal Decomposition for Domain-Invariant Feature
Extraction in Face Anti-Spoofing, ICCV 2025 (arXiv 2507.04006).

Idea: as in FLIP-IT, a face is scored by its cosines with sentences about spoof and live faces, and both towers of CLIP
are trained. Each (domain, class) group's loss is scaled by how far it is above the other groups' in this very batch.
What a feature has outside of the plane of the two text features cannot change that score; there, images of a domain
are pulled together, so that what distinguishes domains leaves the plane. A second head learns the classes, and to find
each image's other view.

    equation                                                                            function
    l = exp(scale) cos(f, T_c); T_c = mean of the class's six sentences, unnormalised     image_text_logits
    L_q = sum of CE(l, y) over group q / N; n_q = (L_q - mean) / std over the groups      group_losses
    sigma(n) = beta / (1 + exp(-n / alpha)) - beta / 2 + 1, alpha = ln(domains) / 2       group_scales
    L_IT = sum_q sigma(n_q) L_q, the scales without gradient                              GDFAS.step
    r = f - its projection on the plane of T_spoof and T_live, that without gradient      residuals
    L_dom = - mean_i mean_(k of i's domain) log softmax_k(r_i . r_k / tau)                contrastive_loss
    L_II = InfoNCE of e / |e| of the two views, e = MLP(f)                                contrastive_loss
    L = L_IT + domain_weight L_dom + view_weight L_II + class_weight CE(W e + b, y)       GDFAS.step

Where the official code is special, and what we do (the paper's text was not at hand; every formula is the code's):
- The code takes the mean of the domain loss over all N (N - 1) entries of its matrix, not over the anchors: an extra
  factor of 1 / (N - 1), 1/191 at its batch. ``domain_mean: entries`` is that, ``anchors`` the supervised contrastive
  loss that it is otherwise; ``code`` says which where it is null. With the factor its weight of 0.8 is one of 0.0042,
  so compare the two at weights that fit, too: the default search has some. Default: anchors.
- r is not normalised, and CLIP's features have a length of about 10: similarities reach a thousand at tau .1. From
  random weights, with or without the extra factor, all features then become one within 20 steps (loss .693 = ln 2,
  whatever the face). ``domain_norm: unit`` normalises r, and learns. Default: raw, as in the code; unit in the CPU
  profiles.
- tau was chosen for each target (0.1, 0.1, 1.1, 1.0). Default: 0.1 for all.
- Groups without an image are left out of mean and deviation, where the code fails; where all groups have the same loss
  the scales are 1, where the code's are not a number.
- Several workers: groups, their mean and deviation are those of the whole batch, so that all have the same scales.
- The learning rate falls to a tenth at each quarter of the budget; the code counts 100 of its 400 iterations.
- The code rotates to the nearest pixel and then crops; we resample once, bilinearly. It tests on random crops of .9 of
  the area and one random frame; we take the middle one and leave the averaging over frames to the evaluation.
- A learning rate of 3e-6 is for pretrained weights: from random ones it learns nothing, and such a sweep is refused.

Published: no table could be read, so no number is given. The code looks 39 times in 400 iterations at the target's test
videos and keeps the lowest HTER, at the target's own EER point: compare with the `oracle-search` selection.

Shapes: B images of this worker, N = 2B feature vectors (view 1 of all images, then view 2), F features (512 * width),
C = 2 classes in the order (spoof, live), Q = 2 * domains groups. 169,569,539 parameters at full size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.contrastive import contrastive_loss
from fasray.losses.image_text import image_text_logits
from fasray.losses.precision import full, no_autocast
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets.batchnorm import BatchNorm1d
from fasray.nets.clip import CLIP
from fasray.nets.normalize import ImageNetNormalize
from fasray.nets.prompts import ClassPrompts, with_prompts
from fasray.nets.resnet import scaled
from fasray.nets.weights import load_backbone

HIDDEN, EMBEDDED = 4096, 256
"""Features of the hidden layers of the second head and of its embedding, at width 1."""
NO_SPREAD = 1e-12
"""Groups whose losses deviate less than this all have scale 1."""
NO_REMAINDER = 1e-6
"""A text feature that is shorter outside of the span of those before it adds no direction to the plane."""


class GDFASConfig(MethodConfig):
    """Settings of GD-FAS; the defaults are those of the official training script."""

    code: Literal["as_intended", "as_published"] = "as_intended"
    """What ``domain_mean`` is where it is null: anchors as meant, or entries as the official code has it.
    Paper: as_intended; its code as_published."""
    domain_weight: float = quantity(0.8, ge=0, le=1000)
    """Weight of the domain loss outside of the text plane. Paper: 0.8."""
    view_weight: float = quantity(0.1, ge=0, le=100)
    """Weight of finding an image's other view. Paper: 0.1."""
    class_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the second head's cross-entropy. Paper: 1."""
    beta: float = quantity(1.5, ge=0, lt=2)
    """Range of the groups' scales, 1 - beta / 2 to 1 + beta / 2; 0 = all the same. Paper: 1.5."""
    domain_mean: Literal["anchors", "entries"] | None = None
    """Mean of the domain loss over anchors, or over all pairs; null: as ``code`` says. Paper: anchors; its code
    entries."""
    domain_norm: Literal["raw", "unit"] = "raw"
    """Whether features outside of the plane keep their length in the domain loss. Paper: raw."""
    temperature: float = quantity(0.1, gt=0, le=100)
    """Temperature of the domain loss, tau. Paper: 0.1; 1.1 for OCM->I, 1.0 for ICM->O."""
    view_temperature: float = quantity(0.8, gt=0, le=100)
    """Temperature of the loss of two views. Paper: 0.8."""
    text_tower: Literal["train", "freeze"] = "train"
    """Whether the text tower is trained. Paper: train."""
    learning_rate: float = quantity(3e-6, gt=0, le=1)
    """Learning rate of Adam at the start. Paper: 3e-6."""
    decay: Literal["step", "cosine", "none"] = "step"
    """How the learning rate falls: to a tenth at each quarter of the budget, by a half cosine, or not. Paper: step."""
    weight_decay: float = quantity(1e-6, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 1e-6."""
    images_per_group: int = quantity(16, ge=1, unit="images")
    """Images of each (domain, label) group a step, each in two views. Paper: 16."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored view. Paper: 0.5."""
    crop: Literal["pixels", "resize", "scale"] = "scale"
    """Window of stored pixels, the whole crop resized, or a random part of the crop resized. Paper: scale."""
    scale: float = quantity(0.9, gt=0, le=1, unit="area")
    """Part of the crop shown, at a random place in training and in the middle at evaluation. Paper: 0.9."""
    rotation: float = quantity(180.0, ge=0, le=180, unit="degrees")
    """Largest rotation, either way. Paper: 180."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the ranges of a search, loss weights first.

        The learning rate is not among them: where to look for it depends on the initial weights, 1e-6 to 1e-5 with
        CLIP's.
        """
        return {
            "domain_weight": LogUniform(loguniform=(1e-3, 10.0)),
            "view_weight": Choice(choice=(0.0, 0.05, 0.1, 0.5)),
            "class_weight": Choice(choice=(0.0, 0.5, 1.0, 2.0)),
            "beta": Choice(choice=(0.0, 0.5, 1.0, 1.5, 1.9)),
            "temperature": Choice(choice=(0.1, 0.3, 1.0, 3.0)),
            "domain_norm": Choice(choice=("raw", "unit")),
            "decay": Choice(choice=("step", "cosine", "none")),
            "text_tower": Choice(choice=("train", "freeze")),
        }

    @property
    def over_entries(self) -> bool:
        """Whether the domain loss has the official code's extra factor: ``domain_mean``, or what ``code`` says."""
        return (self.domain_mean or ("anchors" if self.code == "as_intended" else "entries")) == "entries"

    def least_scratch_rate(self) -> float:
        """Return a tenth of what a ViT-B wants to start from random weights; a sweep with less is refused."""
        return 3e-5

    def rate(self, step: int, total_steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if self.decay == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * step / total_steps)) / 2
        return self.learning_rate * (0.1 ** (4 * step // total_steps) if self.decay == "step" else 1)


def group_losses(logit_NC: Tensor, label_N: Tensor, domain_N: Tensor, num_domains: int) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy and the number of images of each group label + 2 * domain, [Q] and [Q].

    L_q is the sum over the number of all images; the two are kept apart so that workers can add them up first.
    """
    loss_N = functional.cross_entropy(full(logit_NC), label_N, reduction="none")
    group_N = label_N + 2 * domain_N
    member_NQ = (group_N[:, None] == torch.arange(2 * num_domains, device=group_N.device)).to(loss_N.dtype)
    return (loss_N[:, None] * member_NQ).sum(0), member_NQ.sum(0)


def group_scales(loss_Q: Tensor, present_Q: Tensor, beta: float) -> Tensor:
    """Return what each group's loss is multiplied by, [Q] in (1 - beta / 2, 1 + beta / 2), without gradient.

    Args:
        loss_Q: L_q of each group, of two domains or more.
        present_Q: whether a group has an image; the others are left out of mean and deviation.
        beta: range of the scales.
    """
    loss_Q, present_Q = loss_Q.detach(), present_Q.to(loss_Q.dtype)
    alpha = math.log(len(loss_Q) / 2) / 2
    mean = (loss_Q * present_Q).sum() / present_Q.sum()
    deviation = (((loss_Q - mean).square() * present_Q).sum() / present_Q.sum()).sqrt()
    scale_Q = beta * torch.sigmoid((loss_Q - mean) / deviation.clamp_min(NO_SPREAD) / alpha) - beta / 2 + 1
    return torch.where(deviation < NO_SPREAD, torch.ones_like(scale_Q), scale_Q)


def residuals(feature_NF: Tensor, text_CF: Tensor) -> Tensor:
    """Return features less their projection on the plane of the text features, [N, F].

    The projection is a constant: the gradient of a residual is that of its feature, and the texts get none. A text
    feature that depends on the one before it adds no direction.
    """
    basis: list[Tensor] = []
    with torch.no_grad(), no_autocast(feature_NF):
        feature = full(feature_NF)
        projected_NF = torch.zeros_like(feature)
        for text_F in full(text_CF):
            rest_F = text_F - sum(((text_F * one).sum() * one for one in basis), torch.zeros_like(text_F))
            length = rest_F.norm()
            basis.append(torch.where(length < NO_REMAINDER, 0.0, rest_F / length.clamp_min(NO_REMAINDER)))
            projected_NF += (feature * basis[-1]).sum(1, keepdim=True) * basis[-1]
    return full(feature_NF) - projected_NF


class Embedder(nn.Sequential):
    """From image features to those of the second head: three linear layers, each normalised and rectified.

    Args:
        features: F.
        width: multiplier of all layers; 1 gives 19,948,288 parameters at 512 features.
    """

    def __init__(self, features: int, width: float) -> None:
        hidden, self.num_features = scaled(HIDDEN, width), scaled(EMBEDDED, width)
        sizes = [features, hidden, hidden, self.num_features]
        layers = [
            layer
            for size, following in zip(sizes, sizes[1:], strict=False)
            for layer in (nn.Linear(size, following), BatchNorm1d(following), nn.ReLU())
        ]
        super().__init__(*layers)


class GDFAS(Method):
    """CLIP by sentences, with scaled groups and domains kept out of the text plane."""

    name: ClassVar[str] = "gdfas"
    title: ClassVar[str] = "GD-FAS"
    paper: ClassVar[str] = "Jung et al., ICCV 2025 (arXiv 2507.04006)"
    Config: ClassVar[type[MethodConfig]] = GDFASConfig
    full_precision: ClassVar[str] = "cosines, scales of groups, residuals, similarities, losses"
    config: GDFASConfig

    @property
    def needs(self) -> Needs:
        """Two views of each image, and two domains or more: ln(1) would divide the groups' losses by 0."""
        return Needs(views=2, min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """As many videos of every domain and class, one random frame each."""
        return Sampling("balanced", images=self.config.images_per_group, unit="video")

    @property
    def augment(self) -> Augment:
        """Any rotation, a random part of fixed size, mirrored or not; the same for both views."""
        c = self.config
        return Augment(c.flip, c.rotation, c.crop, (c.scale, c.scale), c.scale)

    @property
    def architecture(self) -> str:
        """CLIP with both towers; weights of its image tower alone do not fit."""
        return "clip_vit_b_16"

    def build(self, build: Build) -> None:
        """Create CLIP, the second head and Adam of all that is trained."""
        c = self.config
        clip, prompts = with_prompts(build.width, build.image_size)
        embedder = Embedder(clip.num_features, build.width)
        classifier = nn.Linear(embedder.num_features, 2)
        load_backbone(clip, build.backbone_weights, build.weights_folder, architecture=self.architecture)
        for parameter in clip.text_parameters():
            parameter.requires_grad_(c.text_tower == "train")
        parts = {"clip": clip, "prompts": prompts, "embedder": embedder, "classifier": classifier}
        self.networks = nn.ModuleDict({"normalize": ImageNetNormalize(), **parts})
        self.networks.to(build.device)
        self._num_domains = build.num_domains
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        self.optimizers = {"all": torch.optim.Adam(trained, c.learning_rate, weight_decay=c.weight_decay)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step on all four losses of both views."""
        c, draw, optimizer = self.config, draws[0], self.optimizers["all"]
        for group in optimizer.param_groups:
            group["lr"] = c.rate(ctx.step, ctx.total_steps)
        self.networks.train()
        label_N, domain_N = draw.label.repeat(2), draw.domain.repeat(2)
        image_N = (torch.arange(len(draw.label), device=label_N.device) + ctx.rank * len(draw.label)).repeat(2)
        feature_NF = self._features(torch.cat(draw.views))
        text_CF = self._texts(constant=c.text_tower == "freeze")
        logit_NC = image_text_logits(feature_NF, text_CF, self._clip.logit_scale)
        embedding_NE = self.networks["embedder"](feature_NF)
        sum_Q, count_Q, classification = ctx.average(
            [
                *group_losses(logit_NC, label_N, domain_N, self._num_domains),
                functional.cross_entropy(full(self.networks["classifier"](embedding_NE)), label_N),
            ]
        )
        loss_Q = sum_Q / count_Q.sum()
        image_text = (group_scales(loss_Q, count_Q > 0, c.beta) * loss_Q).sum()
        residual_NF = ctx.gather(residuals(feature_NF, text_CF))
        domain = contrastive_loss(
            residual_NF, ctx.gather(domain_N), c.temperature, normalise=c.domain_norm == "unit"
        ) / (len(residual_NF) - 1 if c.over_entries else 1)
        view = contrastive_loss(ctx.gather(embedding_NE), ctx.gather(image_N), c.view_temperature)
        loss = image_text + c.domain_weight * domain + c.view_weight * view + c.class_weight * classification
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        logs = {"loss": loss, "image_text": image_text, "domain": domain, "view": view, "class": classification}
        return {name: value.detach() for name, value in logs.items()}

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the live class's softmax probability of the image-text logits, [B] in [0, 1]."""
        self.networks.eval()
        logit_BC = image_text_logits(self._features(images), self._texts(constant=True), self._clip.logit_scale)
        return logit_BC.softmax(1)[:, 1]

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        return {
            "backbone": "CLIP ViT-B/16, both towers",
            "losses": (
                "CE of image-text cosines, scaled by group",
                "domains outside of the text plane",
                "InfoNCE",
                "CE",
            ),
            "score": "softmax of the cosines with two texts",
        }

    @property
    def _clip(self) -> CLIP:
        clip = self.networks["clip"]
        assert isinstance(clip, CLIP)  # noqa: S101
        return clip

    def _features(self, x_BCHW: Tensor) -> Tensor:
        features: Tensor = self.networks["clip"](self.networks["normalize"](x_BCHW))
        return full(features)

    def _texts(self, *, constant: bool) -> Tensor:
        """Return the [C, F] mean features of each class's sentences, not of unit length."""
        prompts = self.networks["prompts"]
        assert isinstance(prompts, ClassPrompts)  # noqa: S101
        return full(prompts.constant(self._clip) if constant else prompts(self._clip)).mean(1)
