"""SDFANet: align the domains region by region and as a whole, where it is worth it, on live faces only.

Zhou, Luo, Gao, Li, Lei and Leng, Selective Domain-Invariant Feature Alignment Network for Face Anti-Spoofing, IEEE
Transactions on Information Forensics and Security 16, 2021 (DOI 10.1109/TIFS.2021.3125603).

Idea: a single discriminator aligns background as eagerly as skin. So next to a global one there is a discriminator for
each region of the feature map, and regions count by how much they are worth: those of the face, or those whose domain
cannot be recognised. Domain adapters and an attention over three levels of the backbone narrow the gaps beforehand.

**There is no public code, and we have not seen the paper's full text.** From its abstract and keywords come: local and
global alignment of live faces, domain adapters with domain attention, multi-scale attention fusion, regions selected by
their transferability; from a survey's table: ResNet-18, BCE + multi-grained + center + asymmetric triplet loss. All
else, marked [inferred], is our own reading.

    equation                                                                              function
    F = fused(adapted ResNet-18)                                            [inferred]    nets.sdfanet.Generator
    L_global, L_local: domain cross-entropy, live only, gradient reversed   [inferred]    domain_loss
    w_k = 1 + H(p_k) / log D, p_k = region k's domain prediction, detached  [inferred]    transferability
    f = embedding of sum(w F) / sum(w) over the map                         [inferred]    weighted_mean
    L_center = mean of |f - c_y|^2 / 2, one live centre                     [inferred]    center_loss, moved_centers
    L_astrip, as in SSDG, margin 0.1                                                      losses.triplet.triplet_loss
    L = BCE + alignment_weight (L_global + local_weight L_local)
        + center_weight L_center + triplet_weight L_astrip                  [inferred]    SDFANet.step

How the regions are weighed, ``region``:
- ``face``: the parsing map says where the face is. Only live faces have one, and that must not tell the label: so each
  image's own map weighs only the live-only local loss, and the pooling weighs live and spoof alike by one map, the
  running mean of the live faces' maps. It is kept with the weights and serves when scoring, where no map is given.
- ``learned``: pooling by the entropy weights w_k, of each image itself. They need no label, so scoring uses them too;
  the local loss counts all regions alike.
- ``both``: the product when pooling; the local loss as with ``face``.

Choices of ours [inferred]: cells are seen as their means; adapters follow all four stages; the embedding is normalised
as in SSDG's code (``norm``); centres move as in Wen et al. (ECCV 2016); the training skeleton (batches, SGD, dropout,
reversal) is SSDG's, with learning rate 0.01. At an image size of less than 32 * grid there are fewer, larger regions.

Published HTER / AUC: we could verify none and quote none.

Shapes: B images of this worker, N of all workers, F features (512 * width), h side of the map (8 at 256 px), K = grid *
grid regions, D domains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.faces.record import FACE_CLASSES
from fasray.losses.domain import domain_loss
from fasray.losses.precision import full, no_autocast
from fasray.losses.triplet import asymmetric_groups, triplet_loss
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, Range
from fasray.nets.dropout import dropout_mask
from fasray.nets.normalize import ImageNetNormalize
from fasray.nets.reversal import reversal_factor, reverse_gradient
from fasray.nets.sdfanet import Generator, RegionDiscriminators
from fasray.nets.ssdg import TINY, Discriminator, Embedding, Norm, normalised_features
from fasray.nets.weights import load_backbone

STRIDE = 32
"""Image pixels a side of one place of the feature map."""
NEWEST = 0.1
"""Share of the newest batch in the running mean of the face maps, as in BatchNorm."""
GRACE = 0.11
"""Part of the budget after which the gradient reversal has half its strength."""


class SDFANetConfig(MethodConfig):
    """Settings of SDFANet; the paper's own are not known to us, the defaults are inferred."""

    alignment_weight: float = quantity(0.5, ge=0, le=100)
    """Weight of the multi-grained domain loss."""
    local_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the local domain loss, relative to the global one."""
    center_weight: float = quantity(1e-3, ge=0, le=100)
    """Weight of the center loss."""
    triplet_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the asymmetric triplet loss."""
    region: Literal["face", "learned", "both"] = "face"
    """What decides how much a region counts."""
    grid: int = quantity(4, ge=1, le=8, unit="regions")
    """Regions a side."""
    adapters: bool = True
    """Domain adapters after the stages of the backbone."""
    fusion: bool = True
    """Whether to fuse three stages of the backbone by attention."""
    centers: Literal["live", "both"] = "live"
    """Classes that are drawn to a centre of their own."""
    center_rate: float = quantity(0.5, gt=0, le=1)
    """How far a centre moves towards its class at each step."""
    margin: float = quantity(0.1, ge=0, le=100, unit="distance")
    """Margin of the triplets. Paper: 0.1; as in SSDG."""
    distance: Literal["l2", "sq"] = "l2"
    """Distance of two features: Euclidean, or squared."""
    hardest: bool = False
    """Hardest triplet of each anchor instead of all violated ones."""
    norm: Norm = "official"
    """How the embedding is normalised, as in SSDG: as in its code, to unit length, or not."""
    reversal: float = quantity(1.0, ge=0, le=10)
    """Largest factor on the reversed gradient."""
    dropout: float = quantity(0.5, ge=0, lt=1, unit="probability")
    """Share of embedding and global discriminator features dropped in training."""
    learning_rate: float = quantity(0.01, gt=0, le=1)
    """Learning rate at the start."""
    decay_at: float = quantity(0.375, gt=0, le=1, unit="fraction of the budget")
    """Part of the budget before the decay of the learning rate."""
    decay_factor: float = quantity(0.1, gt=0, le=1)
    """Factor of the decay."""
    momentum: float = quantity(0.9, ge=0, lt=1)
    """Momentum of SGD."""
    weight_decay: float = quantity(5e-4, ge=0, le=1)
    """L2 penalty, all parameters."""
    images_per_group: int = quantity(10, ge=1, unit="images")
    """Images of each (domain, label) group a step."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored image."""
    crop: Literal["pixels", "resize"] = "resize"
    """Window of stored pixels, or the whole crop resized."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first."""
        return {
            "alignment_weight": Choice(choice=(0.05, 0.1, 0.5, 1.0)),
            "local_weight": Choice(choice=(0.0, 0.5, 1.0, 2.0)),
            "center_weight": Choice(choice=(1e-4, 1e-3, 1e-2, 0.1)),
            "triplet_weight": Choice(choice=(0.1, 0.5, 1.0, 2.0)),
            "margin": Choice(choice=(0.05, 0.1, 0.3, 0.5)),
            "region": Choice(choice=("face", "learned", "both")),
            "grid": Choice(choice=(1, 2, 4, 8)),
            "adapters": Choice(choice=(True, False)),
            "fusion": Choice(choice=(True, False)),
            "learning_rate": Choice(choice=(0.001, 0.005, 0.01)),
        }

    def min_grace(self, total_steps: int) -> int:
        """Return the steps until the reversed gradient has half its strength; 1 if it is not used."""
        return 1 if self.alignment_weight == 0 else math.ceil(GRACE * total_steps)


def transferability(logit_BKD: Tensor) -> Tensor:
    """Return w_k = 1 + H(p_k) / log D, [B, K] in [1, 2]: 2 where the domain is unrecognisable; carries no gradient."""
    full = torch.promote_types(logit_BKD.dtype, torch.float32)
    log_p = logit_BKD.detach().to(full).log_softmax(-1)
    return 1 - (log_p.exp() * log_p).sum(-1) / math.log(logit_BKD.shape[-1])


def face_map(parsing_BHW: Tensor, side: int) -> Tensor:
    """Return the part of each of side * side cells that the face covers, [B, side, side] in [0, 1]."""
    face = torch.zeros(parsing_BHW.shape, device=parsing_BHW.device)
    for face_class in FACE_CLASSES:
        face += parsing_BHW == face_class
    return functional.adaptive_avg_pool2d(face[:, None], side)[:, 0]


def weighted_mean(map_BFHW: Tensor, weight_BHW: Tensor) -> Tensor:
    """Return the [B, F] mean of a map over its places by weights of at least 0; [1, h, h] weights serve all images.

    Weights that are 0 everywhere give features of 0.
    """
    map_BFHW = full(map_BFHW)
    weight = weight_BHW.to(map_BFHW.dtype)[:, None]
    return (map_BFHW * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp_min(1e-6)


def center_loss(feature_NF: Tensor, label_N: Tensor, center_2F: Tensor, member_N: Tensor) -> Tensor:
    """Return the mean over the members of half the squared distance to the centre of their class; 0 without members.

    Args:
        feature_NF: features of all workers.
        label_N: 1 = live, 0 = spoof.
        center_2F: the centres of spoof and live.
        member_N: whether a feature takes part.
    """
    half_N = (feature_NF.to(center_2F.dtype) - center_2F[label_N]).square().sum(1) / 2
    return (half_N * member_N).sum() / member_N.sum().clamp_min(1)


def moved_centers(center_2F: Tensor, feature_NF: Tensor, label_N: Tensor, rate: float) -> Tensor:
    """Return the centres after c <- c + rate * sum of (f - c) over its class / (1 + size of the class)."""
    member_2N = functional.one_hot(label_N, 2).T.to(center_2F.dtype)
    count_21 = member_2N.sum(1, keepdim=True)
    return center_2F + rate * (member_2N @ feature_NF.to(center_2F.dtype) - count_21 * center_2F) / (1 + count_21)


class Memory(nn.Module):
    """What is remembered from step to step but not trained: the class centres and where the faces are."""

    centers: Tensor
    face: Tensor

    def __init__(self, features: int, side: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(2, features))
        self.register_buffer("face", torch.ones(side, side))


class SDFANet(Method):
    """Local and global alignment of live features, with regions weighed by the face or by their transferability."""

    name: ClassVar[str] = "sdfanet"
    title: ClassVar[str] = "SDFANet"
    paper: ClassVar[str] = "Zhou et al., IEEE TIFS 2021 (10.1109/TIFS.2021.3125603)"
    Config: ClassVar[type[MethodConfig]] = SDFANetConfig
    full_precision: ClassVar[str] = "pooling, region weights, norms, distances, centres, losses"
    config: SDFANetConfig

    @property
    def needs(self) -> Needs:
        """Two domains or more, and the parsing map where it weighs the regions."""
        return Needs(parsing=self.config.region != "learned", min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """As many videos of every domain and class, one frame each."""
        return Sampling("balanced", images=self.config.images_per_group, unit="video")

    @property
    def architecture(self) -> str:
        """The ResNet-18 of the generator."""
        return "resnet18"

    @property
    def augment(self) -> Augment:
        """Mirror only."""
        return Augment(flip=self.config.flip, crop=self.config.crop)

    def build(self, build: Build) -> None:
        """Create generator, embedding, head, discriminators and SGD."""
        c = self.config
        side = -(-build.image_size // STRIDE)
        generator = Generator(build.width, build.num_domains, adapters=c.adapters, fusion=c.fusion)
        load_backbone(generator.backbone, build.backbone_weights, build.weights_folder)
        features = generator.num_features
        self.networks = nn.ModuleDict(
            {
                "normalize": ImageNetNormalize(),
                "generator": generator,
                "embedding": Embedding(features),
                "head": nn.Linear(features, 1),
                "whole": Discriminator(features, build.num_domains),
                "regions": RegionDiscriminators(features, min(c.grid, side), build.num_domains),
                "memory": Memory(features, side),
            }
        )
        self.networks.to(build.device)
        self._groups = 2 * build.num_domains
        self.optimizers = {
            "all": torch.optim.SGD(self.networks.parameters(), c.learning_rate, c.momentum, weight_decay=c.weight_decay)
        }

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one gradient step and move the centres and the mean face map."""
        c, draw, optimizer, memory = self.config, draws[0], self.optimizers["all"], self._memory
        for group in optimizer.param_groups:
            group["lr"] = c.learning_rate * (c.decay_factor if ctx.step >= c.decay_at * ctx.total_steps else 1)
        self.networks.train()
        live_B = draw.label == 1
        map_BFHW = self._map(draw.views[0])
        factor = c.reversal * reversal_factor(ctx.step + 1, ctx.total_steps)
        reversed_BFHW = reverse_gradient(map_BFHW, factor)
        region_logit_BKD = full(self.networks["regions"](reversed_BFHW))
        region_weight_BK = self._see_faces(draw, live_B, region_logit_BKD, ctx)
        pooled_BF = weighted_mean(map_BFHW, self._places(region_logit_BKD))
        rng, places = ctx.rng("dropout"), {"groups": self._groups, "rank": ctx.rank, "world_size": ctx.world_size}
        masks = [dropout_mask(rng, pooled_BF, c.dropout, **places) for _ in range(2)]
        feature_BF = normalised_features(full(self.networks["embedding"](pooled_BF, masks[0])), c.norm)
        logit_B = full(self.networks["head"](feature_BF)[:, 0])
        whole_logit_BD = self.networks["whole"](reversed_BFHW.mean(dim=(2, 3)), masks[1])
        domain_BK = draw.domain[:, None].expand(region_weight_BK.shape)
        classification, whole_sum, whole_count, local_sum, local_count = ctx.average(
            [
                functional.binary_cross_entropy_with_logits(logit_B, draw.label.to(logit_B.dtype)),
                *domain_loss(whole_logit_BD, draw.domain, live_B),
                *domain_loss(region_logit_BKD.flatten(0, 1), domain_BK.flatten(), region_weight_BK.flatten()),
            ]
        )
        whole, local = whole_sum / whole_count.clamp_min(TINY), local_sum / local_count.clamp_min(TINY)
        feature_NF, label_N = ctx.gather(feature_BF), ctx.gather(draw.label)
        group_N = asymmetric_groups(label_N, ctx.gather(draw.domain))
        triplet = triplet_loss(feature_NF, group_N, c.margin, distance=c.distance, hardest=c.hardest)
        member_N = label_N == 1 if c.centers == "live" else torch.ones_like(label_N, dtype=torch.bool)
        center = center_loss(feature_NF, label_N, memory.centers, member_N)
        loss = classification + c.alignment_weight * (whole + c.local_weight * local)
        loss = loss + c.center_weight * center + c.triplet_weight * triplet
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        with no_autocast(feature_NF):
            memory.centers = moved_centers(memory.centers, feature_NF.detach(), label_N, c.center_rate)
        return {
            "loss": loss.detach(),
            "classification": classification.detach(),
            "global_domain": whole.detach(),
            "local_domain": local.detach(),
            "center": center.detach(),
            "triplet": triplet.detach(),
        }

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the head's live probability, [B] in [0, 1]."""
        self.networks.eval()
        map_BFHW = self._map(images)
        region_logit_BKD = self.networks["regions"](map_BFHW) if self.config.region != "face" else None
        pooled_BF = weighted_mean(map_BFHW, self._places(region_logit_BKD))
        feature_BF = normalised_features(self.networks["embedding"](pooled_BF), self.config.norm)
        logits: Tensor = self.networks["head"](feature_BF)
        return logits[:, 0].sigmoid()

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        return {
            "backbone": "ResNet-18 with domain adapters and attention fusion",
            "losses": ("BCE", "global and local domain CE of live features, reversed", "center", "asymmetric triplet"),
            "score": "sigmoid of one head",
        }

    @property
    def _memory(self) -> Memory:
        memory = self.networks["memory"]
        assert isinstance(memory, Memory)  # noqa: S101
        return memory

    def _map(self, x_BCHW: Tensor) -> Tensor:
        features: Tensor = self.networks["generator"](self.networks["normalize"](x_BCHW))
        return features

    def _see_faces(self, draw: Draw, live_B: Tensor, region_logit_BKD: Tensor, ctx: StepContext) -> Tensor:
        """Return the regions' weights in the local loss, [B, K], 0 for spoof; move the mean of the live face maps."""
        live = live_B.to(region_logit_BKD.dtype)
        if draw.parsing is None or self.config.region == "learned":
            return live[:, None].expand(region_logit_BKD.shape[:2])
        face = self._memory.face
        here_BHW = face_map(draw.parsing, len(face)).to(face.dtype) * live_B[:, None, None]
        face_sum, count = ctx.average([here_BHW.sum(0), live_B.sum().to(face.dtype)])
        self._memory.face = torch.where(count > 0, face.lerp(face_sum / count.clamp_min(TINY), NEWEST), face)
        grid = math.isqrt(region_logit_BKD.shape[1])
        return face_map(draw.parsing, grid).flatten(1).to(live.dtype) * live[:, None]

    def _places(self, region_logit_BKD: Tensor | None) -> Tensor:
        """Return the weight of each place of the map in the pooling, [B or 1, h, h]; the same rule for both classes."""
        face = self._memory.face[None]
        if self.config.region == "face" or region_logit_BKD is None:
            return face
        weight_BK = transferability(region_logit_BKD)
        grid = math.isqrt(weight_BK.shape[1])
        learned = functional.interpolate(weight_BK.view(-1, 1, grid, grid), size=face.shape[1:], mode="nearest")[:, 0]
        return learned if self.config.region == "learned" else learned * face
