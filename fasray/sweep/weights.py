"""Which initial weights the trials of a cell start from, before any result is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fasray.errors import SpecError
from fasray.methods import registry
from fasray.methods.space import Range
from fasray.nets import backbones
from fasray.sweep.sweep_file import bounds_or_values
from fasray.training.trial import TrainingSpec

if TYPE_CHECKING:
    from fasray.methods.base import MethodConfig


def weights_by_architecture(
    method: str,
    config: MethodConfig,
    space: Mapping[str, Range],
    ablations: Mapping[str, Mapping[str, Any]],
    training: TrainingSpec,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all pairs of architecture and weights that trials of a cell may have, each with one such configuration.

    Args:
        method: of the cell.
        config: where its search begins.
        space: what is searched; each value of it is looked at by itself.
        ablations: overrides by name.
        training: the section that holds for the method.

    Raises:
        SpecError: an architecture has no weights in the sweep's map, or is to have ImageNet's and torchvision has none.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for overrides in ({}, *_one_by_one(space), *ablations.values()):
        full = registry.config(method, {**config.model_dump(), **overrides})
        built = registry.get(method)(full)
        pair = built.architecture, training.weights_of(built)
        _check_imagenet(method, *pair)
        found.setdefault(pair, full.model_dump(mode="json"))
    return found


def _one_by_one(space: Mapping[str, Range]) -> Iterator[dict[str, Any]]:
    return ({name: value} for name, entry in space.items() for value in bounds_or_values(entry))


def _check_imagenet(method: str, architecture: str, weights: str) -> None:
    if weights == "imagenet" and architecture != method and backbones.get(architecture).family != "resnet":
        raise SpecError(
            f"torchvision's ImageNet weights are for ResNets, and {method} starts from {architecture}",
            where="key training.backbone_weights",
            remedy=f"give a file: `{architecture}: PATH` (`fasray weights list` names some), or `{architecture}: none`",
        )
