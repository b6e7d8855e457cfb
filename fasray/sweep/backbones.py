"""What a sweep sets along with a backbone: optimizer, learning rate and the like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fasray.errors import SpecError
from fasray.methods import registry
from fasray.methods.space import Choice, Grid, Range

if TYPE_CHECKING:
    from fasray.training.trial import TrainingSpec

SETTING = "backbone"
"""Name of the setting."""
_ALONG = ("optimizer", "learning_rate", "weight_decay")


def settings_along(
    method: str, changes: Mapping[str, Any], profile: Mapping[str, Mapping[str, Any]], training: TrainingSpec
) -> dict[str, Any]:
    """Return the settings that go with a backbone, where ``changes`` chooses one.

    They are recommended ones, else the method's own as the profile has them; then those of the profile for this method
    and backbone. A name that no registered backbone has brings nothing along.

    Args:
        method: of the backbone.
        changes: settings by name.
        profile: configurations of the sweep's profile, by method and by ``method/backbone``.
        training: section that holds for the method; it says whether the backbone starts from weights.
    """
    from fasray.nets import backbones  # loads torch, as every method does

    name = changes.get(SETTING)
    if name not in backbones.names():
        return {}
    weights = training.backbone_weights
    address = weights if isinstance(weights, str) else weights.get(name, "none")
    kind = registry.get(method).Config
    own = {key: kind.model_fields[key].default for key in _ALONG if key in kind.model_fields}
    own |= {key: value for key, value in profile.get(method, {}).items() if key in own}
    return {**own, **kind.for_backbone(name, pretrained=address != "none"), **profile.get(f"{method}/{name}", {})}


def listed(space: Mapping[str, Range]) -> tuple[str, ...]:
    """Return the backbones that a space lists."""
    entry = space.get(SETTING)
    values = entry.grid if isinstance(entry, Grid) else entry.choice if isinstance(entry, Choice) else ()
    return tuple(map(str, values))


def check_rates(method: str, configs: Iterable[tuple[str, Mapping[str, Any]]], training: TrainingSpec) -> None:
    """Refuse learning rates with which random weights would not learn, as those of fine-tuning are.

    Args:
        method: of the cell.
        configs: key of the sweep file and whole configuration of each that the cell may try.
        training: section that holds for the method.

    Raises:
        SpecError: one of them starts from random weights and learns too slowly.
    """
    for key, values in configs:
        built = registry.get(method)(registry.config(method, values))
        rate, least = getattr(built.config, "learning_rate", None), built.config.least_scratch_rate()
        if rate is not None and rate < least and training.weights_of(built) == "none":
            raise SpecError(
                f"{method} starts from random weights of {built.architecture}, which a learning rate of {rate:g} "
                f"hardly moves: such rates are for pretrained weights",
                where=f"key methods.{method}.{key}",
                remedy=f"give weights (training.backbone_weights), or a learning rate of at least {least:g}",
            )
