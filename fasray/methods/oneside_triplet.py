"""OneSideTriplet: RFMeta with a second dense task, face parsing, and a triplet loss that only live faces anchor.

Chuang, Wang and Lai, Generalized Face Anti-Spoofing via Multi-Task Learning and One-Side Meta Triplet Loss, FG 2023
(arXiv 2211.15955).

Idea: depth and parsing, both drawn for live faces and empty for spoof, supervise features that a classifier shares.
Live faces of all domains are drawn together and away from spoof faces, which are left as scattered as they are: live
faces alone are anchors and positives. This loss is part of the meta-learning, with a larger margin where the domain
shift is simulated (meta-test) than where the meta learner takes its inner steps (meta-train).

    equation                                                              function
    L_cls, L_dep                                                          fasray.methods.rfmeta
    L_seg = mean over pixels of cross-entropy(parser, parsing)            parsing_loss
    L_tri = mean over violated triplets of [|a-p| - |a-n| + m]+           one_side_triplet_loss
    theta_i' = theta - alpha grad (L_cls,i + T L_tri(meta-train, m1))     OneSideTriplet.losses
    L = sum_i (L_cls,i + W L_dep,i + S L_seg,i) + T L_tri(meta-train, m1)
        + V (sum_j sum_i L_cls,j(theta_i') + sum_j (W L_dep,j + S L_seg,j) + T sum_i L_tri(meta-test, m2; theta_i'))

What is verified: neither code nor paper body could be had, only the abstract, the first author's thesis record (NTHU
2021) and a survey's row. They give: the three tasks; extractor, depth estimator, a parsing module based on U-Net, and
a meta learner that classifies; a one-side triplet loss within the meta-learning, with a margin enlarged in two stages.
Everything else is our own reading, [inferred] throughout:
- Networks, initial weights, inner step, batches, Adam and depth weight are RFMeta's (see there), whose modules have
  the same names and roles.
- The parser is a U-Net decoder on the extractor's maps that stops at the first map of 64 pixels a side or more, the
  labels' size (at most at the image's size), and is then resized to it.
- Parsing of spoof faces is all background, as their depth is zero; ``spoof_parsing: ignore`` leaves them out.
- Triplets live on the unit sphere, on the meta learner's features before its last layer. Meta-train triplets are
  formed over the union of the meta-train domains; those of meta-test over all held-out domains with each theta_i',
  with the meta-train live faces (their features by theta) as further positives, if ``known_positives``.
- "Two stages" are meta-train and meta-test; ``margin_schedule: budget`` reads them as first and second half of the
  training instead.
No numbers of ours can be held against the paper's: published HTER / AUC are not known to us and left blank.

Shapes: B images of this worker, N vectors of all workers, P further positives, F features (512 * width), K parsing
classes, H W image size.
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
from fasray.methods.rfmeta import classification_loss, depth_loss, rows_by_domain, split_domains
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets.depthnet import (
    BatchNormInit,
    DepthEstimator,
    FaceParser,
    FeatEmbedder,
    FeatExtractor,
    initialise,
    joined,
)
from fasray.nets.hsv import with_hsv
from fasray.nets.inner_loop import forward_with, inner_step
from fasray.nets.weights import load_backbone


class OneSideTripletConfig(MethodConfig):
    """Settings of OneSideTriplet; no default is the paper's for certain."""

    triplet_weight: float = quantity(1.0, ge=0, le=100)
    """Weight T of the triplet loss."""
    parsing_weight: float = quantity(1.0, ge=0, le=100)
    """Weight S of the parsing loss."""
    depth_weight: float = quantity(10.0, ge=0, le=1000)
    """Weight W of the depth loss."""
    meta_test_weight: float = quantity(1.0, ge=0, le=100)
    """Weight V of the held-out domains' losses."""
    margin: float = quantity(0.1, ge=0, le=4, unit="distance on the unit sphere")
    """Margin of the first stage, m1."""
    margin_factor: float = quantity(3.0, ge=1, le=20)
    """Margin m2 of the second stage, over that of the first."""
    margin_schedule: Literal["meta", "budget"] = "meta"
    """The two stages: meta-train and meta-test, or first and second half of the budget."""
    distance: Literal["l2", "squared"] = "l2"
    """Distance of two vectors on the unit sphere."""
    known_positives: bool = True
    """Whether meta-train live faces are positives in meta-test triplets."""
    spoof_parsing: Literal["background", "ignore"] = "background"
    """Whether spoof faces are to be parsed as background, or left out of the parsing loss."""
    inner_learning_rate: float = quantity(1e-3, ge=0, le=10)
    """Learning rate of the meta learner's inner step."""
    second_order: bool = True
    """Whether to differentiate through the inner gradient; ``false`` takes it as a constant."""
    meta_train_domains: int = quantity(2, ge=1, unit="domains")
    """Domains with an inner step, at most all but one; the others are held out."""
    bn_momentum: float = quantity(1.0, gt=0, le=1, unit="fraction")
    """Share of the newest batch in the meta learner's running statistics; 0.1 is steadier."""
    bn_init: BatchNormInit = "uniform"
    """Initial scales of batch normalisation: uniform in [0.02, 1], normal (1, 0.02) or ones."""
    learning_rate: float = quantity(1e-3, gt=0, le=1)
    """Learning rate of Adam, constant."""
    weight_decay: float = quantity(0.0, ge=0, le=1)
    """L2 penalty, all parameters."""
    images_per_group: int = quantity(10, ge=1, unit="images")
    """Images of each (domain, label) group a step."""
    flip: float = quantity(0.0, ge=0, le=1, unit="probability")
    """Probability of a mirrored image."""
    crop: Literal["pixels", "resize"] = "resize"
    """Window of stored pixels, or the whole crop resized."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first."""
        return {
            "triplet_weight": LogUniform(loguniform=(0.1, 2.0)),
            "parsing_weight": LogUniform(loguniform=(0.01, 5.0)),
            "depth_weight": LogUniform(loguniform=(1.0, 10.0)),
            "meta_test_weight": Choice(choice=(0.5, 1.0, 2.0)),
            "margin": Choice(choice=(0.05, 0.1, 0.2)),
            "margin_factor": Choice(choice=(1.0, 2.0, 3.0, 5.0)),
            "distance": Choice(choice=("l2", "squared")),
            "spoof_parsing": Choice(choice=("background", "ignore")),
            "inner_learning_rate": LogUniform(loguniform=(1e-4, 1e-2)),
        }

    def margins(self, step: int, total_steps: int) -> tuple[float, float]:
        """Return the margins of meta-train and of meta-test triplets at a step (counted from 0)."""
        first, second = self.margin, self.margin * self.margin_factor
        if self.margin_schedule == "meta":
            return first, second
        return (first, first) if 2 * step < total_steps else (second, second)

    def min_grace(self, total_steps: int) -> int:
        """Return the steps after which the second margin has been used at least once."""
        if self.margin_schedule == "meta" or self.margin_factor == 1:
            return 1
        return min((total_steps + 1) // 2 + 1, total_steps)


def parsing_loss(logit_BKhw: Tensor, target_Bhw: Tensor, counts_B: Tensor) -> Tensor:
    """Return the mean cross-entropy over the pixels of the images that count; 0 if none does.

    Args:
        logit_BKhw: logits of the classes.
        target_Bhw: class ids.
        counts_B: whether an image counts.
    """
    # Picked by a mask: torch's own loss on maps is not deterministic on a GPU.
    chosen = target_Bhw[:, None] == torch.arange(logit_BKhw.shape[1], device=target_Bhw.device)[:, None, None]
    per_image_B = -(logit_BKhw.log_softmax(1) * chosen).sum(1).mean(dim=(1, 2))
    weight_B = counts_B.to(per_image_B.dtype)
    return (per_image_B * weight_B).sum() / weight_B.sum().clamp_min(1)


def on_sphere(feature_NF: Tensor) -> Tensor:
    """Return the vectors scaled to length 1; twice differentiable everywhere, a zero vector stays zero."""
    return feature_NF * feature_NF.square().sum(1, keepdim=True).clamp_min(1e-12).rsqrt()


def one_side_triplet_loss(
    feature_NF: Tensor,
    label_N: Tensor,
    margin: float,
    *,
    known_PF: Tensor | None = None,
    distance: Literal["l2", "squared"] = "l2",
) -> Tensor:
    """Return the mean of max(0, d(a, p) - d(a, n) + m) over the triplets where it is above 0; 0 without any.

    Anchors a are live, positives p the other live vectors and all of ``known_PF``, negatives n spoof; domains do not
    matter. Twice differentiable; vectors closer than 1e-6 count as equal, with gradient 0. NaN gives NaN.

    Args:
        feature_NF: vectors, not normalised here.
        label_N: 1 = live, 0 = spoof.
        margin: m, in the unit of the distance.
        known_PF: further live vectors, positives only.
        distance: Euclidean, or its square.
    """
    with torch.autocast(feature_NF.device.type, enabled=False):  # differences of near distances need their digits
        full = feature_NF.dtype if feature_NF.dtype == torch.float64 else torch.float32
        anchor_NF = feature_NF.to(full)
        positive_MF = anchor_NF if known_PF is None else torch.cat([anchor_NF, known_PF.to(full)])
        # Not torch.cdist, which cannot be differentiated twice.
        square_NM = (anchor_NF[:, None] - positive_MF[None]).square().sum(2)
        distance_NM = square_NM.clamp_min(1e-12).sqrt() if distance == "l2" else square_NM
        live_N = label_N == 1
        further = len(positive_MF) - len(anchor_NF)
        positive_M = functional.pad(live_N, (0, further), value=True)
        itself_NM = torch.eye(len(anchor_NF), len(positive_MF), dtype=torch.bool, device=live_N.device)
        pair_NM = live_N[:, None] & positive_M[None] & ~itself_NM
        term_NMN = distance_NM[:, :, None] - distance_NM[:, None, : len(anchor_NF)] + margin
        term_NMN = functional.relu(term_NMN) * (pair_NM[:, :, None] & ~live_N[None, None])
        return term_NMN.sum() / (term_NMN > 0).sum().clamp_min(1)


@dataclass(frozen=True)
class Part:
    """What the networks make of one domain's images on this worker."""

    label: Tensor
    x: Tensor
    """The meta learner's input."""
    depth: Tensor
    parsing: Tensor
    """The two dense losses."""


@dataclass(frozen=True)
class Losses:
    """One stage's losses, scalars, summed over its domains (and over the adapted meta learners)."""

    cls: Tensor
    depth: Tensor
    parsing: Tensor
    triplet: Tensor

    def total(self, c: OneSideTripletConfig) -> Tensor:
        """Return their weighted sum."""
        dense = c.depth_weight * self.depth + c.parsing_weight * self.parsing
        return self.cls + dense + c.triplet_weight * self.triplet


class OneSideTriplet(Method):
    """Depth, parsing and one-side triplets, meta-learnt over simulated domain shifts."""

    name: ClassVar[str] = "oneside_triplet"
    title: ClassVar[str] = "OneSideTriplet"
    paper: ClassVar[str] = "Chuang et al., FG 2023 (arXiv 2211.15955)"
    Config: ClassVar[type[MethodConfig]] = OneSideTripletConfig
    full_precision: ClassVar[str] = "the meta learner and its inner steps, distances, losses"
    config: OneSideTripletConfig

    @property
    def needs(self) -> Needs:
        """Depth and parsing, and two domains or more: one to learn on and one to hold out."""
        return Needs(depth=True, parsing=True, min_domains=2)

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
        """Create extractor, depth estimator, parser, meta learner and one Adam over all."""
        c = self.config
        extractor = FeatExtractor(build.width)
        depth = DepthEstimator(extractor.channels, build.width)
        parser = FaceParser(extractor, build.width, build.image_size)
        embedder = FeatEmbedder(extractor.channels, build.width, c.bn_momentum)
        self.networks = nn.ModuleDict({"extractor": extractor, "depth": depth, "parser": parser, "embedder": embedder})
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
        train, test = self.losses(draws[0], ctx)
        total = train.total(c) + c.meta_test_weight * test.total(c)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        logs = {"loss": total}
        for stage, losses in (("meta_train", train), ("meta_test", test)):
            logs |= {f"{stage}_{name}": getattr(losses, name) for name in ("cls", "depth", "parsing", "triplet")}
        return dict(zip(logs, ctx.average([torch.stack(list(logs.values())).detach()])[0].unbind(), strict=True))

    def losses(self, draw: Draw, ctx: StepContext) -> tuple[Losses, Losses]:
        """Return this worker's losses of meta-train and meta-test, differentiable to all networks."""
        c = self.config
        order = ctx.rng("meta-split").permutation(self.num_domains).tolist()
        rows = rows_by_domain(draw.domain, self.num_domains)
        train, test = (
            [self._part(draw, rows[domain]) for domain in domains]
            for domains in split_domains(order, c.meta_train_domains)
        )
        with no_autocast(train[0].x):  # the inner step is small next to the weights: rounding them would undo it
            return self._meta_losses(train, test, ctx)

    def _meta_losses(self, train: Sequence[Part], test: Sequence[Part], ctx: StepContext) -> tuple[Losses, Losses]:
        """Return the losses of meta-train and, by the adapted meta learners, of meta-test."""
        c, embedder = self.config, self.networks["embedder"]
        margin_train, margin_test = c.margins(ctx.step, ctx.total_steps)

        outputs = [embedder(part.x) for part in train]
        cls = [classification_loss(logit, part.label) for (_, logit), part in zip(outputs, train, strict=True)]
        label, feature = _union(train, [feature for feature, _ in outputs], ctx)
        triplet = one_side_triplet_loss(feature, label, margin_train, distance=c.distance)
        known = None
        if c.known_positives:  # the sampler gives as many live faces to each domain, so their number is known
            live = label.argsort(descending=True, stable=True)[: len(label) // 2]
            known = feature[live]

        test_cls, test_triplet = [], []
        for loss in cls:
            theta = inner_step(
                embedder,
                loss + c.triplet_weight * triplet,
                c.inner_learning_rate,
                second_order=c.second_order,
                average=ctx.average,
            )
            shifted = [forward_with(embedder, theta, part.x) for part in test]
            test_cls += [classification_loss(logit, part.label) for (_, logit), part in zip(shifted, test, strict=True)]
            label, feature = _union(test, [feature for feature, _ in shifted], ctx)
            test_triplet.append(one_side_triplet_loss(feature, label, margin_test, known_PF=known, distance=c.distance))
        return _summed(train, cls, [triplet]), _summed(test, test_cls, test_triplet)

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the meta learner's live probability, [B] in [0, 1]; depth and parsing are not used."""
        self.networks.eval()
        logit_B: Tensor = self.networks["embedder"](self.networks["extractor"](with_hsv(images))[-1])[1]
        return logit_B.sigmoid()

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        losses = ("BCE", "depth MSE", "parsing cross-entropy", "one-side triplet")
        return {"backbone": "DepthNet, RGB + HSV", "losses": losses, "score": "sigmoid of meta learner"}

    def _part(self, draw: Draw, rows_N: Tensor) -> Part:
        assert draw.depth is not None and draw.parsing is not None  # noqa: S101, PT018
        maps, label = self.networks["extractor"](with_hsv(draw.views[0][rows_N])), draw.label[rows_N]
        depth = depth_loss(full(self.networks["depth"](joined(*maps[1:]))), draw.depth[rows_N])
        counts = torch.ones_like(label) if self.config.spoof_parsing == "background" else label
        parsing = parsing_loss(full(self.networks["parser"](maps)), draw.parsing[rows_N], counts)
        return Part(label, full(maps[-1]), depth, parsing)


def _union(parts: Sequence[Part], features: Sequence[Tensor], ctx: StepContext) -> tuple[Tensor, Tensor]:
    """Return labels and unit features of several domains, of all workers."""
    label, feature = torch.cat([part.label for part in parts]), torch.cat(list(features))
    return ctx.gather(label), ctx.gather(on_sphere(feature))


def _summed(parts: Sequence[Part], cls: Sequence[Tensor], triplet: Sequence[Tensor]) -> Losses:
    dense = ([part.depth for part in parts], [part.parsing for part in parts])
    return Losses(*(torch.stack(list(terms)).sum() for terms in (cls, *dense, triplet)))
