"""GAC-FAS: look for a flat minimum of every source domain, along ascents that agree with the common gradient.

Le and Woo, Gradient Alignment for Cross-Domain Face Anti-Spoofing, CVPR 2024 (arXiv 2402.18817).

Idea: sharpness-aware minimisation climbs to the worst place near the weights and descends by the gradient found there.
Here each source domain has an ascending place of its own, which its own gradient gives, and which is moved back along
the gradient of all domains, so that the ascents of different domains stay coherent. A supervised contrastive loss
(that of SA-FAS) keeps the (domain, class) groups apart.

    equation                                                                             function
    L_k = mean of BCE(sigmoid(s cos(w, z)), y) over domain k / n, of n domains             domain_risks
    L_sup = SupCon(z / |z|; groups = domain x class), factor T / 0.07                      supcon_loss
    g_k = grad L_k(w); d_k = g_k, A = sum g_k                                              directions
    w_k = w + rho t^2 d_k / |t d_k| - alpha A; t = |w| + eta, 1 for biases                 ascent
    gradient = sum g_k + lambda grad L_sup(w) + mean_k grad(sum_j L_j)(w_k)                aligned_gradients

Where paper and official code differ, and what we do (the code was read, the paper by its summary):
- The code adds up ``.grad`` without clearing it: with G_k = g_1 + ... + g_k it takes d_k = G_k - A_(k-1) and A_k =
  A_(k-1) + G_k, for three domains d = (g_1, g_2, g_3 - g_1) and A = 3 g_1 + 2 g_2 + g_3: what a domain's ascent is
  depends on its number. ``accumulation: running`` is that, ``each`` what was meant. Default: each.
- The cross-entropy of the code (its setting for OMI->C) leaves out the configured scale of 32, so that logits lie in
  [-1, 1] and the loss above .127. ``scale_ce`` applies ``logit_scale``. Default: true.
- ``code: as_published`` is the slip and the missing scale together, where ``accumulation`` and ``scale_ce`` are left
  null.
- The code's switch disables its method: the file's name for it is gac-fas, the loop's gacfas, so that once the crash
  on a missing section is fixed, plain training runs in silence. We do not repeat that; ``gac_from: 1`` is that run.
- Three of four of its files lack eta, and the shipped head has one output for a loss that needs two. Default: the
  values of ICM->O, the one recipe that is complete, for all protocols; eta 0, as there.
- The perturbation is so small that bfloat16 would round it away: the passes at perturbed weights are float32 always.
- A domain absent from a batch adds 0 to the losses, as in the code, and has no ascent in the mean. The code asks
  whether a loss is 0, we whether there is an image.
- Running statistics move once a step, in the pass at w, and in the warm-up, when only the head trains, too.
- The code rotates after its crop, we before it. Its balanced loader for OCI->M is not here.
- The code scores one random frame a video by the raw cosine. We give sigmoid(s cos), or the softmax of two, and leave
  the averaging over frames to the evaluation.
- The classification gradient counts about twice against lambda once. As in the code.

Published HTER / AUC in %: ICM->O 8.60/97.16, OCM->I 4.29/98.87, OCI->M 5.00/97.56, OMI->C 8.20/95.16 (official
README). Best of the looks at the target by AUC - HTER, at the target's EER point, with four recipes, one tuned for
each target; a user of the shipped code reports 11.33/96.05 for ICM->O. Compare them with the `oracle-search` selection.

Shapes: B images of this worker, N = 2B feature vectors (view 1 of all images, then view 2), E source domains,
F features of the backbone (512 * width with ResNet-18). A step has 1 + E forward and 1 + 2E backward passes of N.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fasray.losses.contrastive import supcon_loss
from fasray.losses.precision import full, no_autocast
from fasray.methods.backbone import BackboneName, build_backbone, make_optimizer
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, LogUniform, Range
from fasray.nets import backbones
from fasray.nets.batchnorm import Average
from fasray.nets.perturbed import Gradients, gradients, gradients_at, norm, trained


class GACFASConfig(MethodConfig):
    """Settings of GAC-FAS; the defaults are those of the official file for ICM->O."""

    code: Literal["as_intended", "as_published"] = "as_intended"
    """What ``accumulation`` and ``scale_ce`` are where they are null: as meant, or as the official code has them.
    Paper: as_intended; its code as_published."""
    supcon_weight: float = quantity(0.2, ge=0, le=10)
    """Weight of the contrastive loss, lambda. Paper: 0.2; 0.1 for OCM->I."""
    rho: float = quantity(0.1, ge=0, le=10)
    """Length of an ascent, in weights scaled by t. Paper: 0.1."""
    alpha: float = quantity(2e-4, ge=0, le=1)
    """How far each ascent is moved back along the gradient of all domains. Paper: 2e-4."""
    eta: float = quantity(0.0, ge=0, le=1)
    """Added to |w| in the scale of an ascent. Paper: 0."""
    accumulation: Literal["each", "running"] | None = None
    """Each domain's own gradient, or the official code's running sums; null: as ``code`` says. Paper: each;
    its code running."""
    temperature: float = quantity(0.1, gt=0, le=10)
    """Temperature of the contrastive loss. Paper: 0.1."""
    loss: Literal["bce", "ce"] = "bce"
    """Binary cross-entropy of one output, or cross-entropy of two. Paper: bce; ce for OMI->C."""
    logit_scale: float = quantity(12.0, gt=0, le=100)
    """Factor on the cosines, s. Paper: 12."""
    scale_ce: bool | None = None
    """Whether ``loss: ce`` has the factor, too; null: as ``code`` says. Paper: true; its code false."""
    warm_up: float = quantity(0.0067, ge=0, lt=1, unit="fraction of the budget")
    """Part of the budget in which only the head trains. Paper: 0.0067; 1 of 150 epochs."""
    gac_from: float = quantity(0.067, ge=0, le=1, unit="fraction of the budget")
    """Part of the budget before the ascents start; 1 = never. Paper: 0.067; epoch 10 of 150."""
    backbone: BackboneName = "resnet18"
    """Network from images to features; see ``for_backbone`` for what comes with it. Paper: resnet18."""
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    """Optimizer. Paper: sgd."""
    learning_rate: float = quantity(0.005, gt=0, le=1)
    """Learning rate of the backbone at the start. Paper: 0.005; 0.01 for OMI->C."""
    head_rate: float = quantity(10.0, gt=0, le=1000)
    """Learning rate of the head, in those of the backbone. Paper: 10."""
    decay_every: float = quantity(0.267, gt=0, le=1, unit="fraction of the budget")
    """Part of the budget between two decays of the learning rate. Paper: 0.267; 40 of 150 epochs."""
    decay_factor: float = quantity(0.5, gt=0, le=1)
    """Factor of each decay. Paper: 0.5."""
    momentum: float = quantity(0.9, ge=0, lt=1)
    """Momentum, with SGD only. Paper: 0.9."""
    weight_decay: float = quantity(1e-4, ge=0, le=1)
    """L2 penalty, all parameters. Paper: 1e-4; 5e-4 for OMI->C."""
    batch: int = quantity(96, ge=2, unit="images")
    """Images a step, each in two views. Paper: 96."""
    flip: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability of a mirrored view. Paper: 0.5."""
    crop: Literal["pixels", "resize", "scale"] = "scale"
    """Window of stored pixels, the whole crop resized, or a random part of the crop resized. Paper: scale."""
    scale_min: float = quantity(0.08, gt=0, le=1, unit="area")
    """Smallest part of the crop shown. Paper: 0.08."""
    rotation: float = quantity(180.0, ge=0, le=180, unit="degrees")
    """Largest rotation, either way. Paper: 180."""
    cutout: float = quantity(0.5, ge=0, le=1, unit="probability")
    """Probability that a square, of any part of the area, is replaced by its own mean colour. Paper: 0.5."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the ranges of a search, loss weights and the ascent's lengths first."""
        return {
            "supcon_weight": LogUniform(loguniform=(0.05, 0.4)),
            "rho": Choice(choice=(0.0, 0.02, 0.05, 0.1, 0.2)),
            "alpha": Choice(choice=(0.0, 5e-5, 2e-4, 5e-4)),
            "eta": Choice(choice=(0.0, 0.01)),
            "logit_scale": Choice(choice=(8.0, 12.0, 16.0, 32.0)),
            "gac_from": Choice(choice=(0.0, 0.067, 0.2)),
            "head_rate": Choice(choice=(1.0, 10.0)),
            "learning_rate": Choice(choice=(0.005, 0.01)),
            "weight_decay": Choice(choice=(1e-4, 5e-4)),
        }

    @property
    def running(self) -> bool:
        """Whether the gradients of the domains are added up as in the official code."""
        return self.accumulation == "running" if self.accumulation else self.code == "as_published"

    @property
    def factor(self) -> float:
        """What the cosines are multiplied by."""
        scaled = self.loss == "bce" or (self.code == "as_intended" if self.scale_ce is None else self.scale_ce)
        return self.logit_scale if scaled else 1.0

    def warm_steps(self, total_steps: int) -> int:
        """Return the steps in which only the head trains."""
        return round(self.warm_up * total_steps)

    def gac_step(self, total_steps: int) -> int:
        """Return the first step (counted from 0) that takes gradients at the ascending places."""
        return max(round(self.gac_from * total_steps), self.warm_steps(total_steps))

    def min_grace(self, total_steps: int) -> int:
        """Return the steps after which one with ascents has been taken."""
        return min(self.gac_step(total_steps) + 1, total_steps)


def domain_risks(logit_NC: Tensor, label_N: Tensor, domain_N: Tensor, num_domains: int) -> tuple[Tensor, Tensor]:
    """Return the summed cross-entropy and the number of samples of each domain, [E] and [E].

    The mean is their quotient; the two are kept apart so that workers can add them up first.

    Args:
        logit_NC: one logit, or two (spoof, live).
        label_N: 1 = live, 0 = spoof.
        domain_N: position of each sample's domain, 0 to E - 1.
        num_domains: E.
    """
    if logit_NC.shape[1] == 1:
        target_N = label_N.to(logit_NC.dtype)
        loss_N = functional.binary_cross_entropy_with_logits(logit_NC[:, 0], target_N, reduction="none")
    else:
        loss_N = functional.cross_entropy(logit_NC, label_N, reduction="none")
    member_NE = (domain_N[:, None] == torch.arange(num_domains, device=domain_N.device)).to(loss_N.dtype)
    return loss_N @ member_NE, member_NE.sum(0)


def directions(gradient: Sequence[Gradients], *, running: bool) -> tuple[list[Gradients], Gradients]:
    """Return the direction d_k of each domain's ascent, and A, along which all are moved back.

    Args:
        gradient: g_k of each domain.
        running: d_k = G_k - A_(k-1), A_k = A_(k-1) + G_k with the sums G_k of the first k; else d_k = g_k, A their sum.
    """
    names = list(gradient[0])
    if not running:
        return list(gradient), {name: torch.stack([one[name] for one in gradient]).sum(0) for name in names}
    summed = {name: torch.zeros_like(value) for name, value in gradient[0].items()}
    back, found = dict(summed), []
    for one in gradient:
        summed = {name: summed[name] + one[name] for name in names}
        found.append({name: summed[name] - back[name] for name in names})
        back = {name: back[name] + summed[name] for name in names}
    return found, back


def ascent(weight: Mapping[str, Tensor], direction: Gradients, back: Gradients, config: GACFASConfig) -> Gradients:
    """Return w_k - w: rho t^2 d / |t d| - alpha A, with t = |w| + eta where "weight" is in a name, else 1."""
    scale = {
        name: value.detach().abs() + config.eta if "weight" in name else torch.ones_like(value)
        for name, value in weight.items()
    }
    length = norm({name: scale[name] * direction[name] for name in weight}) + 1e-16
    return {
        name: config.rho * scale[name].square() * direction[name] / length - config.alpha * back[name]
        for name in weight
    }


def aligned_gradients(
    networks: nn.Module,
    at_own: tuple[Tensor, Tensor],
    present_E: Tensor,
    risk_there: Callable[[], Tensor],
    average: Average,
    config: GACFASConfig,
) -> tuple[Gradients, Tensor]:
    """Return the gradient of a step, and the mean over the domains of the risk at their ascending places, a scalar.

    Args:
        networks: whose trained weights w are.
        at_own: L_k of each domain, [E], and L_sup, both at w and with their graph.
        present_E: whether a domain has an image in the batch.
        risk_there: computes the sum of all L_k by calling the networks, whose weights are then w_k.
        average: mean over the workers (``StepContext.average``).
        config: lambda, rho, alpha, eta and the accumulation.
    """
    risk_E, supcon = at_own
    own = [gradients(networks, risk, average, retain_graph=True) for risk in risk_E]
    total = gradients(networks, config.supcon_weight * supcon, average)
    for one in own:
        total = {name: total[name] + one[name] for name in total}
    found, back = directions(own, running=config.running)
    share_E = present_E.to(risk_E.dtype) / present_E.sum()
    ascended = torch.zeros_like(share_E[0])
    for direction, share in zip(found, share_E, strict=True):
        step = ascent(trained(networks), direction, back, config)
        risk, there = gradients_at(networks, step, risk_there, average)
        total = {name: total[name] + share * there[name] for name in total}
        ascended = ascended + share * risk
    return total, ascended


class GACFAS(Method):
    """Sharpness-aware steps per domain, their ascents aligned with the gradient of all."""

    name: ClassVar[str] = "gacfas"
    title: ClassVar[str] = "GAC-FAS"
    paper: ClassVar[str] = "Le and Woo, CVPR 2024 (arXiv 2402.18817)"
    Config: ClassVar[type[MethodConfig]] = GACFASConfig
    no_compile: ClassVar[str] = "each step goes back through one graph once a domain, which torch refuses if compiled"
    full_precision: ClassVar[str] = "passes at the ascending places, cosines, losses, similarities"
    config: GACFASConfig

    @property
    def needs(self) -> Needs:
        """Two views of each image, and two domains or more: one has nothing to be aligned with."""
        return Needs(views=2, min_domains=2)

    @property
    def sampling(self) -> Sampling:
        """Videos in plain random order, one random frame each; neither classes nor domains are balanced."""
        return Sampling("shuffled", images=self.config.batch, unit="video")

    @property
    def augment(self) -> Augment:
        """Any rotation, a random part of the crop, mirrored or not, a square cut out; the whole crop at evaluation."""
        c = self.config
        return Augment(
            c.flip,
            c.rotation,
            c.crop,
            scale=(c.scale_min, 1.0),
            ratio=(3 / 4, 4 / 3),
            interpolation="bicubic",
            cutout=c.cutout,
            cutout_size=(0.0, 1.0),
            cutout_law="area",
            cutout_fill="mean",
        )

    def build(self, build: Build) -> None:
        """Create the backbone, a head without bias and an optimizer with a learning rate for each."""
        c = self.config
        backbone = build_backbone(c.backbone, build)
        head = nn.Linear(backbone.num_features, 1 if c.loss == "bce" else 2, bias=False)
        normalize = backbones.normalizer(c.backbone)
        self.networks = nn.ModuleDict({"normalize": normalize, "backbone": backbone, "head": head})
        self.networks.to(build.device)
        self._num_domains = build.num_domains
        self.optimizers = {"all": make_optimizer([{"params": list(part.parameters())} for part in (backbone, head)], c)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one update: of the head alone, then a plain one, then one along the aligned gradient."""
        c, draw, optimizer = self.config, draws[0], self.optimizers["all"]
        rate = c.learning_rate * c.decay_factor ** int(ctx.step / (c.decay_every * ctx.total_steps))
        for group, factor in zip(optimizer.param_groups, (1.0, c.head_rate), strict=True):
            group["lr"] = rate * factor
        self.networks.train()
        x_NCHW, label_N, domain_N = torch.cat(draw.views), draw.label.repeat(2), draw.domain.repeat(2)
        with torch.set_grad_enabled(ctx.step >= c.warm_steps(ctx.total_steps)):
            feature_NF = self._features(x_NCHW)
        risk_E, count_E = self._risks(feature_NF, label_N, domain_N, ctx)
        supcon = supcon_loss(ctx.gather(feature_NF), ctx.gather(domain_N * 2 + label_N), c.temperature)
        risk, ascended = risk_E.sum(), risk_E.sum().detach()
        optimizer.zero_grad(set_to_none=True)
        if ctx.step >= c.gac_step(ctx.total_steps):

            def risk_there() -> Tensor:
                with no_autocast(x_NCHW):  # the ascents are small next to the weights: rounding them would undo it
                    return self._risks(self._features(x_NCHW), label_N, domain_N, ctx)[0].sum()

            found, ascended = aligned_gradients(
                self.networks, (risk_E, supcon), count_E > 0, risk_there, ctx.average, c
            )
            for name, value in trained(self.networks).items():
                value.grad = found[name]
        else:
            torch.autograd.backward(risk + c.supcon_weight * supcon)
            ctx.average_gradients(self.networks.parameters())
        optimizer.step()
        return {
            "loss": (risk + c.supcon_weight * supcon).detach(),
            "risk": risk.detach(),
            "supcon": supcon.detach(),
            "ascended_risk": ascended,
        }

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the live probability, [B] in [0, 1]: sigmoid of the scaled cosine, or softmax of two."""
        self.networks.eval()
        logit_BC = self._logits(self._features(images))
        return logit_BC[:, 0].sigmoid() if logit_BC.shape[1] == 1 else logit_BC.softmax(1)[:, 1]

    def summary(self) -> Mapping[str, Any]:
        """Return what ``fasray methods`` prints."""
        losses = ("BCE per domain" if self.config.loss == "bce" else "CE per domain", "SupCon")
        title = backbones.get(self.config.backbone).title
        return {"backbone": title, "losses": losses, "score": "sigmoid of the scaled cosine"}

    def _risks(self, feature_NF: Tensor, label_N: Tensor, domain_N: Tensor, ctx: StepContext) -> tuple[Tensor, Tensor]:
        """Return L_k of each domain, over all workers, and its mean number of samples a worker; [E] and [E]."""
        sums = domain_risks(self._logits(feature_NF), label_N, domain_N, self._num_domains)
        sum_E, count_E = ctx.average(sums)
        return sum_E / count_E.clamp_min(1e-6) / self._num_domains, count_E

    def _features(self, x_BCHW: Tensor) -> Tensor:
        features: Tensor = self.networks["backbone"](self.networks["normalize"](x_BCHW))
        return full(features)

    def _logits(self, feature_NF: Tensor) -> Tensor:
        """Return the scaled cosines of features and the head's weight vectors, [N, C]."""
        head = self.networks["head"]
        assert isinstance(head, nn.Linear)  # noqa: S101
        with no_autocast(feature_NF):
            weight_CF = functional.normalize(head.weight, dim=1)
            return self.config.factor * functional.linear(functional.normalize(feature_NF, dim=1), weight_CF)
