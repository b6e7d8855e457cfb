"""HFN+MP: learn the input pattern that makes a network right on a domain it was not just trained on.

Cai, Li, Wan, Li, Hu and Kot, Learning Meta Pattern for Face Anti-Spoofing, TIFS 2022 (arXiv 2110.06753).

Idea: instead of a hand-made texture image (LBP and the like) a tiny network extracts one, the meta pattern. A network
of two streams (HFN) classifies image and pattern, fusing them at every level of a feature pyramid. At each step
the domains are split anew: the extractor learns on the meta-test domain, HFN on the meta-train domains, so that those
patterns are rewarded which help HFN on faces of a domain that it is not trained on at that time.

    equation                                                                       function
    pattern = sigmoid(BN(conv(relu(BN(conv(x))))))                                 PatternExtractor
    both pyramids averaged level by level; map of p3, logits of p7                 HFN
    L = map_weight MSE(map, y) + class_weight CE(logits, y)                        live_losses
    step a: pattern extractor <- SGD of L on the meta-test domain, inner_loops x   HFNMP._learn_pattern
    step b: HFN <- SGD of L / 2 on the meta-train domains                          HFNMP._learn_hfn
    score = (mean of map + softmax(logits) of live) / 2                            HFNMP.score

Where paper and official code differ, and what we do:
- The paper presents a bi-level problem; the code alternates two first-order updates, and nothing is differentiated
  through an update. So do we, by default. `order: second` is [inferred], our own reading of the paper: the extractor
  is evaluated on the meta-test domain by HFN after a virtual step (HFN's learning rate, no momentum) on the meta-train
  domains, and its gradient goes through that step, too.
- The code's second stage (freeze the extractor, train HFN anew) cannot run. `retrain_part` is [inferred]: in the last
  part of the budget HFN and its optimizer start again from initial weights and see all domains, the whole L, and
  patterns of the extractor in evaluation mode; an update then uses the last of a step's draws only. Off by default.
- The code decodes images by OpenCV and does not convert them: its networks see BGR. So do ours unless
  `channel_order: rgb`, which is what ImageNet weights expect.
- The "depth" targets are constant maps, 1 for live and 0 for spoof; no depth is estimated.
- The code restores the image from its pattern, with weight 0; we leave that out unless `restoration_weight` is set.
- Both networks stay in training mode in both steps: HFN's running statistics move in step a as well. As in the code.
- Both streams begin with equal weights, as in the code, there those of ImageNet. Without such weights ours begin with
  He initialisation; the map head is normal with deviation .01.
- Loss weights, weight decay, dropout and Adam are there to search over; at their defaults the updates are the code's.
- Fifty layers of BatchNorm on images all alike make gradients that no float32 holds. `gradient_limit`, which the code
  lacks, stops those and is meant to be far above what faces give.
- The code has no stopping rule (a million iterations) and no schedule. The budget is the sweep's, the rate constant.
- Two meta-train domains and one meta-test domain become all but one and one; two source domains are the fewest.

Published HTER / AUC in %: OCI->M 5.24/97.28, OMI->C 9.11/96.09, OCM->I 15.35/90.67, ICM->O 12.40/94.26. Recalled,
not verified against the paper's table. The code selects by the least HTER over all thresholds on frames of the target
itself, which is no more than its EER: compare them with the `oracle` selections, not with an honest one.

Shapes: B images of this worker, D source domains, H W image size, h w a map's size (H / 8, W / 8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fasray.losses.precision import full, no_autocast
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets.hfn import HFN
from fasray.nets.inner_loop import Parameters, inner_step
from fasray.nets.pattern import PatternExtractor


class HFNMPConfig(MethodConfig):
    """Settings of HFN+MP; the defaults are those of the official training script."""

    map_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the map's squared error. Paper: 1."""
    class_weight: float = quantity(1.0, ge=0, le=100)
    """Weight of the cross-entropy. Paper: 1."""
    restoration_weight: float = quantity(0.0, ge=0, le=100)
    """Weight, for the extractor, of the squared error of the image restored from its pattern. Paper: 0."""
    order: Literal["first", "second"] = "first"
    """Alternate two plain updates, or differentiate the extractor's through a virtual step of HFN. Paper: first."""
    inner_loops: int = quantity(4, ge=1, le=32, unit="updates")
    """Updates of the extractor a step, each on images of its own. Paper: 4."""
    learning_rate: float = quantity(0.001, gt=0, le=1)
    """Learning rate of HFN, constant. Paper: 0.001."""
    pattern_rate: float = quantity(4.0, gt=0, le=100, unit="learning_rate")
    """Learning rate of the extractor over that of HFN; in the code, the number of inner loops. Paper: 4."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Optimizer of both networks; Adam needs a learning rate near 1e-4. Paper: sgd."""
    momentum: float = quantity(0.9, ge=0, lt=1)
    """Momentum of SGD; not used by Adam. Paper: 0.9."""
    weight_decay: float = quantity(0.0, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 0."""
    gradient_limit: float = quantity(1e4, gt=0)
    """Largest norm of a network's gradient; one that is not finite skips the update. Paper: none."""
    dropout: float = quantity(0.0, ge=0, lt=1, unit="probability")
    """Dropout rate before the class head. Paper: 0."""
    retrain_part: float = quantity(0.0, ge=0, lt=1, unit="fraction of the budget")
    """Last part of the budget, which retrains HFN under a frozen extractor; 0 = none. The code's cannot run."""
    retrain_learning_rate: float = quantity(0.001, gt=0, le=1)
    """Learning rate of HFN while it is retrained."""
    channel_order: Literal["bgr", "rgb"] = "bgr"
    """Order of the colour channels that the networks see. Paper: bgr."""
    images_per_group: int = quantity(4, ge=1, unit="images")
    """Images of each (domain, label) group a draw. Paper: 4."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored image. Paper: 0.5."""
    crop: Literal["pixels", "resize"] = "resize"
    """Window of stored pixels, or the whole crop resized. Paper: resize."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first."""
        return {
            "map_weight": Choice(choice=(0.1, 0.5, 1.0, 2.0, 10.0)),
            "class_weight": Choice(choice=(0.5, 1.0, 2.0)),
            "restoration_weight": Choice(choice=(0.0, 0.1, 1.0)),
            "learning_rate": LogUniform(loguniform=(3e-4, 1e-2)),
            "pattern_rate": Choice(choice=(1.0, 4.0)),
            "inner_loops": Choice(choice=(1, 2, 4, 8)),
            "dropout": Choice(choice=(0.0, 0.5)),
            "weight_decay": Choice(choice=(0.0, 5e-4)),
            "channel_order": Choice(choice=("bgr", "rgb")),
        }

    def retrain_step(self, total_steps: int) -> int:
        """Return the step (counted from 0) before which HFN is reset; ``total_steps`` = never."""
        return max(1, round((1 - self.retrain_part) * total_steps)) if self.retrain_part else total_steps

    def min_grace(self, total_steps: int) -> int:
        """Return the steps after which the network that will be reported has begun to learn."""
        return min(self.retrain_step(total_steps) + 1, total_steps) if self.retrain_part else 1


def live_losses(map_B1hw: Tensor, logits_B2: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the map's mean squared error against the label everywhere, and the cross-entropy; NaN for no images.

    Args:
        map_B1hw: live maps in (0, 1).
        logits_B2: logits of spoof and live.
        label_B: 1 = live, 0 = spoof.
    """
    map_B1hw, logits_B2 = full(map_B1hw), full(logits_B2)
    target = label_B[:, None, None, None].to(map_B1hw.dtype).expand_as(map_B1hw)
    return functional.mse_loss(map_B1hw, target), functional.cross_entropy(logits_B2, label_B)


def fused_score(map_B1hw: Tensor, logits_B2: Tensor) -> Tensor:
    """Return [B] scores in [0, 1]: the mean of the map's mean and the live class's probability."""
    return (map_B1hw.mean(dim=(1, 2, 3)) + logits_B2.softmax(1)[:, 1]) / 2


def limit_gradients(gradients: list[Tensor], limit: float) -> None:
    """Shorten the gradients, in place, to a common norm of at most ``limit``; to zero if the norm is not finite."""
    norm = torch.stack(list(torch._foreach_norm(gradients))).norm()
    factor = torch.where(norm.isfinite(), (limit / norm.clamp_min(limit)), 0)
    for gradient in gradients:
        gradient.nan_to_num_(0, 0, 0)
    torch._foreach_mul_(gradients, factor)


class HFNMP(Method):
    """A learnt pattern next to the image, each network updated on domains that the other's update leaves out."""

    name: ClassVar[str] = "hfn_mp"
    title: ClassVar[str] = "HFN+MP"
    paper: ClassVar[str] = "Cai et al., TIFS 2022 (arXiv 2110.06753)"
    Config: ClassVar[type[MethodConfig]] = HFNMPConfig
    full_precision: ClassVar[str] = "losses (with order: second, the networks too where the pattern is learnt)"
    config: HFNMPConfig

    @property
    def needs(self) -> Needs:
        """Images and labels of two domains or more: one is held out of each of HFN's updates."""
        return Needs(min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """A draw for each update of the extractor and one for HFN's; as many images of every domain and class."""
        return Sampling("balanced", images=self.config.images_per_group, draws=self.config.inner_loops + 1)

    @property
    def architecture(self) -> str:
        """The ResNet-50 of both trunks."""
        return "resnet50"

    @property
    def augment(self) -> Augment:
        """Mirror only."""
        return Augment(flip=self.config.flip, crop=self.config.crop)

    @property
    def compiled(self) -> Sequence[str]:
        """Both networks; in the second order HFN's gradient is differentiated, so the extractor alone."""
        return ["pattern"] if self.config.order == "second" else ["pattern", "hfn"]

    def build(self, build: Build) -> None:
        """Create the extractor, HFN and an optimizer for each."""
        self._build = build
        self.networks = nn.ModuleDict({"pattern": PatternExtractor(), "hfn": self._new_hfn()}).to(build.device)
        self.optimizers = {name: self._optimizer(network) for name, network in self.networks.items()}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Split the domains anew; update the extractor ``inner_loops`` times on one, then HFN once on the others."""
        c = self.config
        retrain_step = c.retrain_step(ctx.total_steps)
        self.networks.train()
        if c.retrain_part and ctx.step >= retrain_step:
            if ctx.step == retrain_step:
                self._reset_hfn(ctx)
            self.networks["pattern"].eval()
            domains = range(self._build.num_domains)
            return self._learn_hfn(self._part(draws[-1], domains), 1.0, c.retrain_learning_rate, ctx)
        *meta_train, meta_test = ctx.rng("hfn_mp/domains").permutation(self._build.num_domains).tolist()
        meta_test_loss = torch.stack(
            [
                self._learn_pattern(self._part(draw, [meta_test]), self._part(draw, meta_train), ctx)
                for draw in draws[:-1]
            ]
        ).mean()
        logs = self._learn_hfn(self._part(draws[-1], meta_train), 0.5, c.learning_rate, ctx)
        return {**logs, "meta_test": meta_test_loss}

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the mean of map and class probability, [B] in [0, 1]."""
        self.networks.eval()
        x_BCHW = self._ordered(images)
        return fused_score(*self._predict(x_BCHW, self._pattern(x_BCHW)))

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        return {
            "backbone": "two ResNet-50 pyramids",
            "losses": ("MSE of constant maps", "cross-entropy"),
            "score": "mean of map and softmax",
        }

    def _learn_pattern(
        self, meta_test: tuple[Tensor, Tensor], meta_train: tuple[Tensor, Tensor], ctx: StepContext
    ) -> Tensor:
        """Update the extractor by its loss on meta-test images; return that loss, averaged over the workers."""
        second = self.config.order == "second"  # a virtual step is small next to the weights: rounding would undo it
        with no_autocast(meta_test[0]) if second else nullcontext():
            loss = self.meta_test_loss(meta_test, meta_train, ctx)
        self._update("pattern", loss, ctx)
        (log,) = ctx.average([loss.detach()])
        return log

    def meta_test_loss(
        self, meta_test: tuple[Tensor, Tensor], meta_train: tuple[Tensor, Tensor], ctx: StepContext
    ) -> Tensor:
        """Return the extractor's loss, as a function of its parameters, on images and labels of each kind.

        ``meta_train`` is used in the second order only.
        """
        c, (x_BCHW, label_B) = self.config, meta_test
        weights = self._virtual_weights(meta_train, ctx) if c.order == "second" else {}
        pattern_BCHW = self._pattern(x_BCHW)
        map_loss, class_loss = live_losses(*self._predict(x_BCHW, pattern_BCHW, weights), label_B)
        loss = c.map_weight * map_loss + c.class_weight * class_loss
        if c.restoration_weight:
            loss = loss + c.restoration_weight * functional.mse_loss(self._pattern.restore(pattern_BCHW), x_BCHW)
        return loss

    def _virtual_weights(self, meta_train: tuple[Tensor, Tensor], ctx: StepContext) -> Parameters:
        """Return HFN's parameters after one plain step on meta-train images, differentiable in the extractor's."""
        c, (x_BCHW, label_B) = self.config, meta_train
        map_loss, class_loss = live_losses(*self._predict(x_BCHW, self._pattern(x_BCHW)), label_B)
        loss = (c.map_weight * map_loss + c.class_weight * class_loss) / 2
        return inner_step(self._hfn, loss, c.learning_rate, second_order=True, average=ctx.average)

    def _learn_hfn(
        self, batch: tuple[Tensor, Tensor], factor: float, learning_rate: float, ctx: StepContext
    ) -> dict[str, Tensor]:
        """Update HFN by ``factor`` times its loss on images and labels; return the loss and its parts."""
        c, (x_BCHW, label_B) = self.config, batch
        with torch.no_grad():
            pattern_BCHW = self._pattern(x_BCHW)
        map_loss, class_loss = live_losses(*self._predict(x_BCHW, pattern_BCHW), label_B)
        loss = factor * (c.map_weight * map_loss + c.class_weight * class_loss)
        for group in self.optimizers["hfn"].param_groups:
            group["lr"] = learning_rate
        self._update("hfn", loss, ctx)
        logs = ctx.average([loss.detach(), map_loss.detach(), class_loss.detach()])
        return dict(zip(("loss", "map", "class"), logs, strict=True))

    def _predict(
        self, x_BCHW: Tensor, pattern_BCHW: Tensor, weights: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return HFN's maps and logits, by its own parameters or by ``weights`` in their place."""
        predicted: tuple[Tensor, Tensor] = functional_call(self._hfn, dict(weights or {}), (x_BCHW, pattern_BCHW))
        return predicted

    def _update(self, name: str, loss: Tensor, ctx: StepContext) -> None:
        """Take one step of that network's optimizer; the other network gets no gradient."""
        optimizer, trained = self.optimizers[name], list(self.networks[name].parameters())
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss, inputs=trained)
        ctx.average_gradients(trained)
        limit_gradients([value.grad for value in trained if value.grad is not None], self.config.gradient_limit)
        optimizer.step()

    def _reset_hfn(self, ctx: StepContext) -> None:
        """Give HFN new initial weights, the same whatever was built or drawn before, and forget its momentum."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(ctx.rng("hfn_mp/retrain").integers(2**63)))
            self._hfn.load_state_dict(self._new_hfn().state_dict())
        self.optimizers["hfn"].state.clear()

    def _new_hfn(self) -> HFN:
        build = self._build
        return HFN(build.width, self.config.dropout, build.backbone_weights, build.weights_folder)

    def _optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        c = self.config
        rate = c.learning_rate * (c.pattern_rate if isinstance(network, PatternExtractor) else 1)
        if c.optimizer == "adam":
            return torch.optim.Adam(network.parameters(), rate, weight_decay=c.weight_decay)
        return torch.optim.SGD(network.parameters(), rate, c.momentum, weight_decay=c.weight_decay)

    def _part(self, draw: Draw, domains: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images and labels of these domains. A balanced draw lists the domains in order, equally many each."""
        rows = len(draw.label) // self._build.num_domains
        parts = [slice(domain * rows, (domain + 1) * rows) for domain in sorted(domains)]
        images, label = draw.views[0], draw.label
        return self._ordered(torch.cat([images[part] for part in parts])), torch.cat([label[part] for part in parts])

    def _ordered(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.flip(1) if self.config.channel_order == "bgr" else x_BCHW

    @property
    def _pattern(self) -> PatternExtractor:
        network = self.networks["pattern"]
        assert isinstance(network, PatternExtractor)  # noqa: S101
        return network

    @property
    def _hfn(self) -> HFN:
        network = self.networks["hfn"]
        assert isinstance(network, HFN)  # noqa: S101
        return network
