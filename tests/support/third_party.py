"""A method from outside the registry, and one spoilt copy of it for each check of the contract."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from fasray.faces.loading.upload import Uploader
from fasray.methods.base import Augment, Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext, TrainingImages
from fasray.methods.settings import quantity
from fasray.methods.space import Choice, Range
from fasray.nets.batchnorm import BatchNorm2d


class OutsiderConfig(MethodConfig):
    """Settings."""

    center_weight: float = quantity(0.1, ge=0)
    """Weight of the loss that couples the batch."""
    learning_rate: float = quantity(0.05, gt=0)
    """Learning rate of SGD."""

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        return {"center_weight": Choice(choice=(0.0, 0.1))}


class Outsider(Method):
    """Two layers, a logistic head and a loss on the distance of the classes' centres, of features off their mean."""

    name: ClassVar[str] = "outsider"
    title: ClassVar[str] = "Outsider"
    paper: ClassVar[str] = "none"
    Config: ClassVar[type[MethodConfig]] = OutsiderConfig
    config: OutsiderConfig

    @property
    def needs(self) -> Needs:
        return Needs(min_domains=2)

    @property
    def sampling(self) -> Sampling:
        return Sampling("balanced", images=2)

    @property
    def augment(self) -> Augment | tuple[Augment, ...]:
        return (Augment(jitter=(0.1, 0.1, 0.1, 0.05), blur=(0.0, 0.01), cutout=0.1),)

    @property
    def refresh_every(self) -> int:
        return 2

    def refresh(self, images: TrainingImages, ctx: StepContext) -> None:
        self.networks["head"].get_buffer("usual").copy_(images.collect(self.networks["body"]).mean(0))

    def build(self, build: Build) -> None:
        layers = [nn.Conv2d(3, 4, 3, stride=2), BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.networks = nn.ModuleDict({"body": nn.Sequential(*layers), "head": nn.Linear(4, 1)}).to(build.device)
        self.networks["head"].register_buffer("usual", torch.zeros(4, device=build.device))
        self.networks["body"][0].bias.requires_grad_(False)
        self.optimizers = {"all": torch.optim.SGD(self.networks.parameters(), self.config.learning_rate, momentum=0.9)}

    def features(self, images: Tensor) -> Tensor:
        found: Tensor = self.networks["body"](images) - self.networks["head"].get_buffer("usual")
        return found

    def logits(self, features: Tensor) -> Tensor:
        found: Tensor = self.networks["head"](features)
        return found[:, 0]

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        features = self.features(draw.views[0])
        label = draw.label.to(features.dtype)
        everyone, everyones = ctx.gather(features), ctx.gather(label)
        live = (everyone * everyones[:, None]).sum(0) / everyones.sum()
        spoof = (everyone * (1 - everyones)[:, None]).sum(0) / (1 - everyones).sum()
        (risk,) = ctx.average([functional.binary_cross_entropy_with_logits(self.logits(features), label)])
        return risk - self.config.center_weight * (live - spoof).square().sum().tanh()

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        self.networks.train()
        loss = self.loss(draws[0], ctx)
        self.optimizers["all"].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        ctx.average_gradients(self.networks.parameters())
        self.optimizers["all"].step()
        return {"loss": loss.detach()}

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        self.networks.eval()
        return self.logits(self.features(images)).sigmoid()


class Nameless(Outsider):
    """No name that a sweep file could have."""

    name: ClassVar[str] = "Out Sider"


class OpenConfig(OutsiderConfig):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Sloppy(Outsider):
    """Takes whatever keys it is given."""

    name: ClassVar[str] = "sloppy"
    Config: ClassVar[type[MethodConfig]] = OpenConfig


class GreedyConfig(OutsiderConfig):
    def min_grace(self, total_steps: int) -> int:
        return 100


class Greedy(Outsider):
    """Wants more grace than there is budget."""

    name: ClassVar[str] = "greedy"
    Config: ClassVar[type[MethodConfig]] = GreedyConfig


class Comparing(Outsider):
    """A score that depends on the other images of the batch."""

    name: ClassVar[str] = "comparing"

    def score(self, images: Tensor) -> Tensor:
        found = super().score(images)
        return found - found.mean()


class Training(Outsider):
    """Scores in training mode, so that scoring moves the running statistics."""

    name: ClassVar[str] = "training_on"

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        self.networks.train()
        return self.logits(self.features(images)).sigmoid()


class Reversed(Outsider):
    """Higher means attack."""

    name: ClassVar[str] = "reversed"

    def score(self, images: Tensor) -> Tensor:
        return 1 - super().score(images)


class Attached(Outsider):
    """Logs that hold on to the graph of their step."""

    name: ClassVar[str] = "attached"

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        return {**super().step(draws, ctx), "again": self.loss(draws[0], ctx)}


class Unseeded(Outsider):
    """Initial weights that no seed repeats."""

    name: ClassVar[str] = "unseeded"

    def build(self, build: Build) -> None:
        super().build(build)
        with torch.no_grad():
            self.networks["head"].weight.add_(torch.tensor(time.perf_counter_ns() % 1000 / 1000))


class Global(Outsider):
    """Draws from torch's own generator."""

    name: ClassVar[str] = "global"

    def features(self, images: Tensor) -> Tensor:
        return functional.dropout(super().features(images), 0.5, training=self.networks.training)


class Dividing(Outsider):
    """Divides by the contrast of an image."""

    name: ClassVar[str] = "dividing"

    def features(self, images: Tensor) -> Tensor:
        contrast = images.amax(dim=(1, 2, 3), keepdim=True) - images.amin(dim=(1, 2, 3), keepdim=True)
        return super().features((images - images.mean(dim=(1, 2, 3), keepdim=True)) / contrast)


class ByMemory(Outsider):
    """Reads the images in the order in which they lie in memory."""

    name: ClassVar[str] = "by_memory"

    def features(self, images: Tensor) -> Tensor:
        plain = torch.as_strided(images, images.shape, torch.empty(images.shape).stride())
        return super().features(plain)


class Waiting(Outsider):
    """Looks at its loss at every step."""

    name: ClassVar[str] = "waiting"

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        logs = super().step(draws, ctx)
        if logs["loss"] > 100:
            raise RuntimeError("this does not learn")
        return logs


class Selecting(Outsider):
    """Picks images by a mask, whose count the host must know."""

    name: ClassVar[str] = "selecting"

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        return super().loss(draw, ctx) + 0 * self.features(draw.views[0])[draw.label == 1].mean()


class Sending(Outsider):
    """Sends the weights of the classes to the device at every step."""

    name: ClassVar[str] = "sending"

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        return super().loss(draw, ctx) * torch.tensor([0.5, 0.5], device=draw.label.device).sum()


class Packing(Outsider):
    """Sends little parcels to the device at every step."""

    name: ClassVar[str] = "packing"

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        send = Uploader(draw.label.device)
        share = sum(send({"share": np.full(1, 0.2, np.float32)}).tensors()["share"] for _ in range(5))
        return super().loss(draw, ctx) * share


class Glancing(Outsider):
    """Looks whether the images are bright before it scores them."""

    name: ClassVar[str] = "glancing"

    def score(self, images: Tensor) -> Tensor:
        return super().score(images) + float(images.mean() > 2)


class ThreeOnly(Outsider):
    """Written for three domains."""

    name: ClassVar[str] = "three_only"

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        per_domain = torch.stack(draw.label.chunk(3))
        return super().loss(draw, ctx) + 0 * per_domain.sum()


class Pairing(Outsider):
    """Needs two images of a group: the spread of one is not a number."""

    name: ClassVar[str] = "pairing"

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        first = self.features(draw.views[0])[: max(1, len(draw.label) // 6)]
        variance = (first - first.mean(0)).square().sum() / (len(first) - 1)
        return super().loss(draw, ctx) + 0 * variance


class Narrow(Outsider):
    """Not a number as soon as autocast computes in bfloat16."""

    name: ClassVar[str] = "narrow"

    def logits(self, features: Tensor) -> Tensor:
        found = super().logits(features)
        return found * math.nan if found.dtype == torch.bfloat16 else found


class Coarse(Outsider):
    """Another loss where autocast computes in bfloat16."""

    name: ClassVar[str] = "coarse"

    def logits(self, features: Tensor) -> Tensor:
        found = super().logits(features)
        return found + 4 if found.dtype == torch.bfloat16 else found


class Unfolding(Outsider):
    """Lays its images out anew before its convolutions."""

    name: ClassVar[str] = "unfolding"

    def features(self, images: Tensor) -> Tensor:
        return super().features(images.contiguous())


class Hashing(Outsider):
    """Depends on Python's hash of a text, which every process salts anew."""

    name: ClassVar[str] = "hashing"

    def build(self, build: Build) -> None:
        super().build(build)
        with torch.no_grad():
            self.networks["head"].weight.add_(hash("outsider") % 1000 / 1000)


class Unmatched(Outsider):
    """Has more recipes than views."""

    name: ClassVar[str] = "unmatched"

    @property
    def augment(self) -> tuple[Augment, ...]:
        return (Augment(), Augment(grey=1.0))


class Growing(Outsider):
    """Keeps all that it has seen, in a tensor as large as the training set."""

    name: ClassVar[str] = "growing"

    def refresh(self, images: TrainingImages, ctx: StepContext) -> None:
        self.networks["head"].register_buffer("all", images.collect(self.networks["body"]))


class Remembering(Outsider):
    """Carries a moving average where no checkpoint looks."""

    name: ClassVar[str] = "remembering"

    def __init__(self, config: MethodConfig) -> None:
        super().__init__(config)
        self.memory: Any = 0.0

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        loss = super().loss(draw, ctx)
        self.memory = 0.9 * self.memory + loss.detach()
        changed: Tensor = loss * (1 + self.memory)
        return changed


class Lonely(Outsider):
    """Couples this worker's images only."""

    name: ClassVar[str] = "lonely"

    def loss(self, draw: Draw, ctx: StepContext) -> Tensor:
        features = self.features(draw.views[0])
        return super().loss(draw, ctx) + torch.cdist(features, features).square().mean().sqrt()


class Unshared(Outsider):
    """torch's own BatchNorm, whose statistics are one worker's."""

    name: ClassVar[str] = "unshared"

    def build(self, build: Build) -> None:
        super().build(build)
        self.networks["body"][1] = nn.BatchNorm2d(4)
        self.optimizers = {"all": torch.optim.SGD(self.networks.parameters(), self.config.learning_rate)}


class Homebound(Outsider):
    """Fails in any process but the first."""

    name: ClassVar[str] = "homebound"

    def build(self, build: Build) -> None:
        if multiprocessing.parent_process() is not None:
            raise RuntimeError("far from home")
        super().build(build)
