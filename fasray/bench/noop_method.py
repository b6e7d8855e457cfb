"""A method that learns nothing, so that all the time its trials take is the engine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from fasray.methods.base import Build, Draw, Method, MethodConfig, Needs, Sampling, StepContext
from fasray.methods.space import Range, Uniform


class NoOpConfig(MethodConfig):
    """One setting, so that there is something to search."""

    knob: float = Field(0.5, ge=0, le=1, description="changes nothing")

    @classmethod
    def space(cls) -> Mapping[str, Range]:
        """Return the range of the setting."""
        return {"knob": Uniform(uniform=(0.0, 1.0))}


class NoOp(Method):
    """One weight that never changes; the score of a face is its mean brightness."""

    name: ClassVar[str] = "noop"
    title: ClassVar[str] = "NoOp"
    paper: ClassVar[str] = "none"
    Config: ClassVar[type[MethodConfig]] = NoOpConfig
    config: NoOpConfig

    @property
    def needs(self) -> Needs:
        """Images and labels."""
        return Needs()

    @property
    def sampling(self) -> Sampling:
        """One image of every domain and class."""
        return Sampling("balanced", images=1)

    def build(self, build: Build) -> None:
        """Create the weight and its optimizer."""
        self.networks = nn.ModuleDict({"weight": nn.Linear(1, 1)}).to(build.device)
        self.optimizers = {"all": torch.optim.SGD(self.networks.parameters(), 0.1)}

    def step(self, draws: Sequence[Draw], ctx: StepContext) -> dict[str, Tensor]:
        """Do nothing."""
        return {}

    @torch.no_grad()
    def score(self, images: Tensor) -> Tensor:
        """Return the mean brightness, [B]."""
        return images.mean((1, 2, 3))
