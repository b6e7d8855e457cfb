"""What a method is: the contract between one paper's file and everything around it.

A method owns its networks, losses and optimizers and does one whole update in ``step``. It never sees files, epochs,
seeds, loggers or target data. Learning-rate and gate schedules are functions of ``ctx.step / ctx.total_steps``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from pydantic import ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor, nn

from fasray.faces.loading.augment import Augment as Augment
from fasray.faces.loading.sampler import Sampling as Sampling
from fasray.methods.later import later_names
from fasray.methods.space import Range, scaled
from fasray.nets import backbones
from fasray.validation import Settings


class MethodConfig(Settings):
    """Base of every method's ``Config``: frozen, unknown keys are errors, each field documents itself.

    A number is declared by :func:`fasray.methods.settings.quantity`, with default, bounds and unit; the docstring below
    a field gives its meaning and ``Paper: VALUE``. A field that is added to a method which has runs already is declared
    by :func:`fasray.methods.settings.later`, or by ``quantity(..., later=True)``: as JSON, which trial ids and hashes
    of sweeps are made of, it is left out while it has its default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, write: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if info.mode != "json":
            return written
        fields, left_out = type(self).model_fields, later_names(type(self))
        return {key: value for key, value in written.items() if key not in left_out or value != fields[key].default}

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the default sweep ranges, loss weights first. Keys are field names."""
        return {}

    def default_space(self) -> Mapping[str, Range]:
        """Return what is searched of this configuration where a sweep file does not say.

        With another backbone than the default, ranges of what goes with it are moved by the same factor as the setting.
        """
        fields, space = type(self).model_fields, dict(self.space())
        backbone = fields.get("backbone")
        if backbone is None or getattr(self, "backbone") == backbone.default:  # noqa: B009
            return space
        for key in ("learning_rate", "weight_decay"):
            if key in space and key in fields:
                space[key] = scaled(space[key], getattr(self, key) / fields[key].default)
        return space

    @classmethod
    def for_backbone(cls, name: str, *, pretrained: bool) -> Mapping[str, Any]:
        """Return the settings that go with a backbone, where a sweep file does not give them.

        Args:
            name: of a registered backbone.
            pretrained: whether it starts from weights.
        """
        found = backbones.recommended(name, pretrained=pretrained)
        return {key: value for key, value in found.items() if key in cls.model_fields}

    def least_scratch_rate(self) -> float:
        """Return the ``learning_rate`` below which a sweep that starts from random weights is refused; 0: none is."""
        backbone, optimizer = getattr(self, "backbone", ""), getattr(self, "optimizer", "")
        return backbones.least_scratch_rate(backbone, optimizer) if optimizer and backbone in backbones.names() else 0.0

    def min_grace(self, total_steps: int) -> int:
        """Return the steps before which the method's own mechanisms have not started, of ``total_steps``."""
        return 1


@dataclass(frozen=True)
class Needs:
    """What a method needs of a record and of a protocol."""

    depth: bool = False
    parsing: bool = False
    views: int = 1
    """Differently augmented views of each image."""
    min_domains: int = 1
    """Fewest source domains with which the method is defined."""
    attack_type: bool = False
    subject: bool = False


@dataclass(frozen=True)
class Draw:
    """One batch on the device. B = images of this rank, S = image size."""

    views: tuple[Tensor, ...]
    """``needs.views`` tensors [B, 3, S, S], float32 RGB in [0, 1]."""
    label: Tensor
    """[B] int64, 1 = live, 0 = spoof."""
    domain: Tensor
    """[B] int64, position among the protocol's source domains."""
    depth: Tensor | None = None
    """[B, 1, S/8, S/8] float32 in [0, 1] (32 at 256), zeros for spoof; if ``needs.depth``."""
    parsing: Tensor | None = None
    """[B, 64, 64] int64 class ids, zeros for spoof; if ``needs.parsing``."""
    attack_type: Tensor | None = None
    """[B] int64, position in :data:`fasray.faces.record.ATTACK_TYPES`, 0 = live; if ``needs.attack_type``."""
    subject: Tensor | None = None
    """[B] int64, position among the sorted subjects of all training faces, whatever the domain; if
    ``needs.subject``."""


@dataclass(frozen=True)
class Build:
    """The shape of the run, the same for all methods of a cell row."""

    num_domains: int
    image_size: int
    total_steps: int
    width: float = 1.0
    """Channel multiplier of the networks."""
    backbone_weights: str = "none"
    """``none``, ``imagenet``, or a path or URI of weights."""
    weights_folder: str = ""
    """Where copies of such weights are kept, see :func:`fasray.nets.weights.load_backbone`; empty: nowhere."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


class StepContext(Protocol):
    """The part of the training context that a method may see."""

    @property
    def rank(self) -> int:
        """Index of this worker."""

    @property
    def world_size(self) -> int:
        """Number of workers."""

    @property
    def step(self) -> int:
        """Optimizer steps done before this one."""

    @property
    def total_steps(self) -> int:
        """Full budget in optimizer steps, never that of a rung."""

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the stream of this seed, purpose and step; the same on every rank."""

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average ``.grad`` of the parameters over the workers, in place."""

    def average(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean over the workers of each tensor; differentiable."""

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all workers, concatenated along dim 0 in rank order; differentiable."""


class TrainingImages(Protocol):
    """All training images in a fixed order, as they would be scored: without augmentation, the same at each call."""

    @property
    def label(self) -> Tensor:
        """[N] int64 of all, 1 = live, 0 = spoof."""

    @property
    def domain(self) -> Tensor:
        """[N] int64 of all, position among the protocol's source domains."""

    def __len__(self) -> int:
        """Return N."""

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield batches of this worker's share: their places in the order, and the images [n, 3, S, S]."""

    def collect(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return ``of`` for all images, [N, ...] in their order, the same on every worker."""


class Method(ABC):
    """One paper's method.

    Class attributes name it; instances are made by ``MethodClass(config)`` and get their networks from ``build``.
    ``networks`` and ``optimizers`` are what a checkpoint holds: nothing else may carry state from step to step.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    Config: ClassVar[type[MethodConfig]]
    no_compile: ClassVar[str] = ""
    """Why ``training.compile: true`` is refused for this method; empty: it is not."""
    full_precision: ClassVar[str] = "losses"
    """What of a step stays float32 when ``training.precision`` is ``bf16``, for ``fasray methods NAME``; weights,
    gradients, optimizers, statistics of batch normalisation and scoring always do."""

    def __init__(self, config: MethodConfig) -> None:
        self.config = config
        self.networks: nn.ModuleDict = nn.ModuleDict()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What this configuration needs of the data."""

    @property
    @abstractmethod
    def sampling(self) -> Sampling:
        """How this configuration wants its batches by default; a sweep may override images."""

    @property
    def augment(self) -> Augment | tuple[Augment, ...]:
        """How this configuration augments its training images by default, or each of its views.

        Evaluation, depth and parsing follow the first view. What ``training.augment`` overrides holds for all views.
        """
        return Augment()

    @property
    def architecture(self) -> str:
        """Name of the network that starts from ``build.backbone_weights``: a backbone's, else the method's own name.

        A sweep file may give weights by architecture; those of methods that share one are then the same.
        """
        name = getattr(self.config, "backbone", "")
        return name if name in backbones.names() else self.name

    @property
    def compiled(self) -> Sequence[str]:
        """Names in ``networks`` of what ``training.compile`` compiles: all, but what is differentiated twice.

        Compiled is a call of such a network in a training step; other methods of it than its forward are not.
        """
        return list(self.networks)

    @abstractmethod
    def build(self, build: Build) -> None:
        """Create networks and optimizers; initial weights come from torch's global generator."""

    @abstractmethod
    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do one whole update and return detached scalar logs (no host synchronisation)."""

    @property
    def refresh_every(self) -> int:
        """Steps from one call of ``refresh`` to the next, the first before the first step; 0: it is never called."""
        return 0

    def refresh(self, images: TrainingImages, ctx: StepContext) -> None:  # noqa: B027 - most methods have none
        """Look at all training images, to cluster their features for example; before steps 0, k, 2k, ...

        The networks are in evaluation mode and no gradients are recorded. What is found must go into buffers of
        ``networks``, of a size that ``build`` knows (centres, say): a resumed trial has nothing else. It may wait for
        the device; its time counts as the trial's. Not for ``ingest: stream``.
        """

    @abstractmethod
    def score(self, images: Tensor) -> Tensor:
        """Return one live score a frame, [B], for images [B, 3, S, S] in [0, 1]; evaluation mode, no gradient."""

    def summary(self) -> Mapping[str, Any]:
        """Return facts for ``fasray methods``: losses, backbone and the like."""
        return {}
