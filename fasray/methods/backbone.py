"""The setting ``backbone`` of a method, and what goes with it: weights, optimizer and learning rate.

A method that has it declares ``backbone: BackboneName = later("resnet18")`` and calls :func:`build_backbone`. Where a
sweep sets another backbone than the method's default, optimizer, learning rate and weight decay are those recommended
for that backbone, unless the sweep file gives them: see :meth:`fasray.methods.base.MethodConfig.for_backbone`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import torch
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from torch import nn

from fasray.errors import did_you_mean
from fasray.nets import backbones
from fasray.nets.weights import load_backbone

if TYPE_CHECKING:
    from fasray.methods.base import Build
    from fasray.nets.backbones.registry import Network


@dataclass(frozen=True)
class Known:
    """Of a text: it is the name of a registered backbone, or one of ``more``, which is the method's own."""

    more: tuple[str, ...] = ()

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self._names())}

    def _names(self) -> tuple[str, ...]:
        return (*backbones.names(), *self.more)

    def _check(self, name: str) -> str:
        if name not in self._names():
            raise ValueError(f"unknown backbone {name!r}: {did_you_mean(name, self._names())}")
        return name


BackboneName = Annotated[str, Known()]
"""Type of a setting that chooses a backbone."""


def build_backbone(name: str, build: Build) -> Network:
    """Return a backbone of the run's size, filled with the run's initial weights if there are any.

    Raises:
        DataError: the weights cannot be read, or do not fit.
    """
    network = backbones.make(name, width=build.width, image_size=build.image_size)
    load_backbone(network, build.backbone_weights, build.weights_folder, architecture=name)
    return network


class OptimizerConfig(Protocol):
    """Settings that say which optimizer is used."""

    @property
    def optimizer(self) -> str:
        """``sgd``, ``adam`` or ``adamw``."""

    @property
    def learning_rate(self) -> float:
        """At the start."""

    @property
    def momentum(self) -> float:
        """Of SGD."""

    @property
    def weight_decay(self) -> float:
        """L2 penalty; with ``adamw``, decay of the weights themselves."""


def make_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], config: OptimizerConfig
) -> torch.optim.Optimizer:
    """Return the optimizer that a configuration chooses, of parameters or of groups of them as torch takes them."""
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, config.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(parameters, rate, weight_decay=decay)
