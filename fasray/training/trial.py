"""What one trial is, to the last value that its numbers depend on, and the id that follows from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
)

from fasray.errors import SpecError, did_you_mean
from fasray.faces.loading.sampler import Sampling
from fasray.methods import registry
from fasray.nets import backbones
from fasray.protocols import TargetSplit
from fasray.runs.schedule import evaluation_steps
from fasray.validation import Settings, misfit

if TYPE_CHECKING:
    from fasray.methods.base import Augment, Build, Method


_LATER = ("deterministic", "compile", "eval_frames")
"""Fields that came when there were runs already: never written while they have their default, so that ids stay."""


class TrainingSpec(Settings):
    """Size, budget and evaluation of a trial; the same for all trials of a cell."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    image_size: int = Field(256, ge=32, le=1024, multiple_of=8, description="side of the network's input, pixels")
    width: float = Field(1.0, gt=0, le=4, description="channel multiplier of the networks")
    steps: int = Field(4000, ge=1, description="full budget, optimizer steps; schedules are fractions of it")
    evaluations: int = Field(20, ge=1, description="evaluations, evenly spaced over the budget, the last at its end")
    eval_batch_size: int = Field(128, ge=1, description="images scored at once; on a GPU more of less than 256 px")
    images: int | None = Field(None, ge=1, description="images per group or batch; left out: the method's own")
    augment: dict[str, Any] | None = Field(None, description="overrides of the method's augmentation, by field")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="arithmetic of training steps; weights and scoring stay float32"
    )
    threads: int = Field(1, ge=1, description="CPU threads of one worker")
    channels_last: bool = Field(True, description="memory layout of images and convolutions")
    ingest: Literal["pool", "stream"] = Field(
        "pool", description="where faces come from; a stream shows them in another order"
    )
    backbone_weights: str | dict[str, str] = Field(
        "none",
        description="none, imagenet, or a path or URI of weights; or a map from architecture to one of these",
    )
    deterministic: bool = Field(
        True,
        description="equal bits run for run; false: what is fastest on a GPU",
    )
    compile: bool = Field(False, description="compile the networks of training steps by torch.compile; other rounding")
    eval_frames: Literal["all"] | Annotated[int, Field(ge=1)] = Field(
        "all", description="frames of each video that are scored, evenly spaced; source-dev and target alike"
    )

    @field_validator("augment")
    @classmethod
    def _known_augmentation(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        if not given:
            return None
        from fasray.methods.base import Augment  # imports torch

        kinds = get_type_hints(Augment)
        for name, value in given.items():
            if name not in kinds:
                raise ValueError(f"unknown augmentation {name!r}: {did_you_mean(name, kinds)}")
            if why := misfit(value, kinds[name]):
                raise ValueError(f"augment.{name}: {why}")
        try:
            checked = asdict(TypeAdapter(Augment).validate_python(given))
        except ValidationError as error:
            finding = error.errors()[0]
            what = finding["msg"].removeprefix("Value error, ")
            raise ValueError(f"augment.{'.'.join(map(str, finding['loc']))}: {what}") from error
        return {name: _json_value(checked[name]) for name in sorted(given)}

    @field_validator("backbone_weights", mode="before")
    @classmethod
    def _known_architectures(cls, given: Any) -> Any:
        """Check all that pydantic would, for its messages would be about both kinds at once."""
        of_each = given if isinstance(given, dict) else {"": given}
        known = (*backbones.names(), *registry.names())
        for name, weights in of_each.items():
            if name and name not in known:
                raise ValueError(f"unknown architecture {name!r}: {did_you_mean(str(name), known)}")
            if not isinstance(weights, str) or not weights:
                raise ValueError(f"{name + ': ' if name else ''}give none, imagenet, or a path or URI, not {weights!r}")
        if not of_each:
            raise ValueError("a map from architecture to weights needs an entry")
        return dict(sorted(given.items())) if isinstance(given, dict) else given

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {key: value for key, value in written.items() if key not in _LATER or value != fields[key].default}

    def weights_of(self, method: Method) -> str:
        """Return where the method's network starts from: ``none``, ``imagenet``, or a path or URI.

        Raises:
            SpecError: there is a map from architecture to weights, but the method's is not in it.
        """
        given, architecture = self.backbone_weights, method.architecture
        if isinstance(given, str):
            return given
        if architecture not in given and architecture != method.name:
            raise SpecError(
                f"there is no entry for {architecture}, which {method.name} starts from",
                where="key training.backbone_weights",
                remedy=f"add `{architecture}: PATH`, or `{architecture}: none` for random weights",
            )
        return given.get(architecture, "none")  # nobody publishes weights of a method's own network

    def evaluation_steps(self) -> tuple[int, ...]:
        """Return the steps after which the trial is evaluated, ascending, the last one ``steps``."""
        return evaluation_steps(self.steps, self.evaluations)

    def sampling_of(self, method: Method) -> Sampling:
        """Return how the method's batches are picked under this section."""
        return method.sampling if self.images is None else replace(method.sampling, images=self.images)

    def augment_of(self, method: Method) -> Augment:
        """Return how the method's first views are augmented under this section: evaluation follows them."""
        return self.augments_of(method)[0]

    def augments_of(self, method: Method) -> tuple[Augment, ...]:
        """Return how each of the method's views is augmented under this section; it overrides all of them alike.

        Raises:
            SpecError: the method has more views than augmentations, or fewer.
        """
        given, views = method.augment, method.needs.views
        of_views = given if isinstance(given, tuple) else (given,) * views
        if len(of_views) != views:
            raise SpecError(
                f"the method gives {len(of_views)} augmentations for {views} views",
                where=f"method {method.name}",
                remedy="let `augment` return one for all views, or one for each",
            )
        overrides: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in (self.augment or {}).items()
        }
        return tuple(replace(one, **overrides) for one in of_views)


class Trial(BaseModel):
    """One training run: a configured method on one protocol of one data set with one seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str = Field(description="16 hex digits over everything else")
    method: str
    config: dict[str, Any] = Field(description="the method's configuration, defaults written out")
    protocol: str = Field(description="name; the fingerprint says what it means")
    fingerprint: str = Field(
        description="of the rules by which the protocol's source rows train and choose; of trials of before 0.2, of all"
    )
    target_split: TargetSplit | None = Field(
        None,
        description="official splits of the targets that judge; not part of the identity; None: in the fingerprint",
    )
    data: str = Field(description="hash of the data's manifest")
    seed: int
    training: TrainingSpec

    @model_serializer(mode="wrap")
    def _without_target_split(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {key: value for key, value in written.items() if key != "target_split" or value is not None}

    def identity(self) -> str:
        """Return the canonical JSON text of all that the trial's numbers depend on."""
        return _identity(
            self.method, self.config, self.fingerprint, self.data, self.seed, self.training, self.build_method()
        )

    def build_method(self) -> Method:
        """Return a fresh, unbuilt method of this configuration.

        Raises:
            SpecError: there is no such method, or the configuration is not one of its.
        """
        return _method(self.method, self.config)

    def shape(self, num_domains: int, **more: Any) -> Build:
        """Return what the method's networks are built with; ``more`` is the device, and initial weights if any."""
        from fasray.methods.base import Build  # imports torch

        training = self.training
        return Build(num_domains, training.image_size, training.steps, training.width, **more)


def make_trial(
    *,
    method: str,
    config: Mapping[str, Any],
    training: TrainingSpec,
    protocol: str,
    fingerprint: str,
    data: str,
    seed: int,
    target_split: TargetSplit | None = None,
) -> Trial:
    """Return the trial of these parts: defaults written out, initial weights those of its architecture, id computed.

    Raises:
        SpecError: there is no such method, ``config`` is not one of its, or no weights are given for its architecture.
    """
    built = _method(method, config)
    training = training.model_copy(update={"backbone_weights": training.weights_of(built)})
    full = built.config.model_dump(mode="json")
    text = _identity(method, full, fingerprint, data, seed, training, built)
    return Trial(
        id=trial_id(text), method=method, config=full, protocol=protocol, fingerprint=fingerprint, data=data,
        seed=seed, training=training, target_split=target_split,
    )  # fmt: skip


def trial_id(identity: str) -> str:
    """Return the first 16 hex digits of the SHA-256 of a trial's identity."""
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def _identity(
    name: str, config: Mapping[str, Any], fingerprint: str, data: str, seed: int, training: TrainingSpec, method: Method
) -> str:
    """The protocol's name is left out, for its fingerprint says what it is; the global batch is written out.

    That faces come from a pool goes without saying, so that trials keep the ids from before there was anything else.
    """
    written = training.model_dump(mode="json", exclude={"backbone_weights", "images"})
    if training.ingest == "pool":
        del written["ingest"]
    parts = {
        "method": name,
        "config": dict(config),
        "training": written,
        "initial_weights": training.backbone_weights,
        "batch": asdict(training.sampling_of(method)),
        "protocol": fingerprint,
        "data": data,
        "seed": seed,
    }
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _method(name: str, config: Mapping[str, Any]) -> Method:
    return registry.get(name)(registry.config(name, config))


def _json_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
