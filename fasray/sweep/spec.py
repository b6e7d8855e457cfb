"""The sweep file: read safely, checked to the last key, put into one canonical form.

Two files that mean the same have the same canonical form and hash; a run belongs to one of them for good.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fasray.errors import SpecError, did_you_mean
from fasray.methods import registry
from fasray.methods.base import MethodConfig
from fasray.methods.space import Range
from fasray.sweep.profiles import profile
from fasray.training.trial import TrainingSpec
from fasray.validation import Location, spec_error

HYPEROPT_AT_ONCE = 4
"""Open suggestions of a cell that TPE still works well with: each takes a place that a result would have taken."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BudgetSpec(_Section):
    """Budget of one method, in place of the training section's."""

    steps: int = Field(ge=1, description="optimizer steps")


class MethodSpec(_Section):
    """One method of the sweep."""

    space: dict[str, Range] | None = Field(None, description="ranges by config field; left out: the method's own")
    config: dict[str, Any] = Field(default_factory=dict, description="config fields to fix")
    budget: BudgetSpec | None = None
    ablations: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="config overrides by name; the winner is also confirmed with each of them"
    )

    @field_validator("ablations")
    @classmethod
    def _ablations_have_names(cls, ablations: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, overrides in ablations.items():
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,59}", name):
                raise ValueError(f"the name {name!r} is not letters, digits, blanks, '.', '_' and '-'")
            if not overrides:
                raise ValueError(f"the ablation {name!r} changes nothing")
        return ablations


class SearchSpec(_Section):
    """How configurations are tried in each cell."""

    algorithm: Literal["grid", "random", "hyperopt"] = "random"
    trials_per_cell: int = Field(8, ge=1, description="draws a cell, the paper's own setting among them")
    seed: int = Field(100, ge=0, description="seed of the draws and of every search trial")
    max_concurrent: Literal["auto"] | int = Field(
        "auto", description="search trials of a cell that run at once; auto: 4 with hyperopt, else as many as fit"
    )

    @field_validator("max_concurrent")
    @classmethod
    def _one_at_least(cls, value: Literal["auto"] | int) -> Literal["auto"] | int:
        if value != "auto" and value < 1:
            raise ValueError("at least one search trial of a cell must be allowed to run")
        return value


class AshaSpec(_Section):
    """Asynchronous successive halving."""

    grace: float = Field(0.1, gt=0, le=1, description="first rung, as a fraction of the budget")
    reduction: int = Field(3, ge=2, description="about one in this many goes on at each rung")


class AshaChoice(_Section):
    """``scheduler: {asha: ...}``."""

    asha: AshaSpec


class ConfirmSpec(_Section):
    """How each cell's winner is run again."""

    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1, description="seeds of the confirming runs")
    leave_one_source_out: bool = Field(
        False, description="train each again without each of its source domains, for the rule of that name"
    )

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("the seeds must be different and not negative")
        return seeds


class ResourcesSpec(_Section):
    """What one trial holds while it runs, and how many run at once."""

    backend: Literal["auto", "inprocess", "torchtrainer"] = Field(
        "auto", description="a warm process per trial, or Ray Train workers; auto: the latter for several workers"
    )
    workers: int = Field(1, ge=1, description="processes that share each batch of a trial")
    cpus_per_worker: int = Field(1, ge=1, description="CPU cores, also the threads of a trial")
    data_cpus: int = Field(1, ge=1, description="with `ingest: stream`: CPU cores more that read for each worker")
    gpus_per_worker: float = Field(0.0, ge=0, description="GPUs; fractions share one")
    max_concurrent: Literal["auto"] | int = Field("auto", description="trials at once; auto: as many as fit")

    @field_validator("max_concurrent")
    @classmethod
    def _positive(cls, value: Literal["auto"] | int) -> Literal["auto"] | int:
        if value != "auto" and value < 1:
            raise ValueError("at least one trial must be allowed to run")
        return value

    @model_validator(mode="after")
    def _workers_need_a_trainer(self) -> ResourcesSpec:
        if self.backend == "inprocess" and self.workers > 1:
            raise ValueError("backend inprocess has one worker; several need backend: torchtrainer, or auto")
        return self


class SyntheticSpec(_Section):
    """Size and difficulty of the generated faces; left out: the frozen default set."""

    subjects: int | None = Field(None, ge=2, description="subjects a domain")
    seed: int | None = Field(None, ge=0)
    dial: float | None = Field(None, ge=0, le=1, description="difficulty: 0 easy, 1 hard")
    image_size: int | None = Field(None, ge=32, description="pixels")


class SyntheticChoice(_Section):
    """``data: {synthetic: ...}``."""

    synthetic: SyntheticSpec


class SweepSpec(_Section):
    """A whole sweep: every method on every protocol, searched, then confirmed."""

    name: str = Field(description="names the run directory")
    data: str | SyntheticChoice = Field(description="path or URI of face shards, or `synthetic`")
    ingest: Literal["pool", "stream"] = Field(
        "pool", description="faces decoded once into a pool on each node's disk, or again and again as they are used"
    )
    protocols: tuple[str, ...] = Field(min_length=1, description="groups or names of protocols")
    target_split: Literal["train+test", "all", "test"] = "train+test"
    methods: dict[str, MethodSpec] = Field(min_length=1)
    search: SearchSpec = SearchSpec()
    scheduler: Literal["fifo"] | AshaChoice = AshaChoice(asha=AshaSpec())
    confirm: ConfirmSpec = ConfirmSpec()
    training: dict[str, Any] = Field(default_factory=dict, description="`profile` and overrides of it")
    resources: ResourcesSpec = ResourcesSpec()

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("a name is letters, digits, '.', '_' and '-', and starts with a letter or digit")
        return name

    @field_validator("methods", mode="before")
    @classmethod
    def _empty_method(cls, methods: Any) -> Any:
        """Read ``erm:`` with nothing behind it as ``erm: {}``, and a list of names as a mapping."""
        if isinstance(methods, list):
            methods = dict.fromkeys(methods)
        if isinstance(methods, dict):
            return {name: {} if entry is None else entry for name, entry in methods.items()}
        return methods

    @model_validator(mode="after")
    def _disjoint_seeds(self) -> SweepSpec:
        if self.search.seed in self.confirm.seeds:
            raise ValueError(
                f"search.seed {self.search.seed} is among confirm.seeds: a winner must be confirmed on fresh seeds"
            )
        return self

    @model_validator(mode="after")
    def _a_stream_needs_a_trainer(self) -> SweepSpec:
        if self.ingest == "stream" and self.resources.backend == "inprocess":
            raise ValueError("backend inprocess trains from pools; ingest stream needs backend: torchtrainer, or auto")
        return self

    @property
    def in_trainer(self) -> bool:
        """Whether each trial is a Ray Train ``TorchTrainer`` with workers of its own."""
        return self.resources.backend == "torchtrainer" or self.resources.workers > 1 or self.ingest == "stream"

    @property
    def data_cpus(self) -> int:
        """CPU cores that read for each worker, beside its own."""
        return self.resources.data_cpus if self.ingest == "stream" else 0

    def canonical(self) -> dict[str, Any]:
        """Return the whole specification with every default written out, as JSON values in a fixed order."""
        written = self.model_dump(mode="json")
        if self.ingest == "pool":  # as in the files of before there was anything else
            del written["ingest"], written["resources"]["data_cpus"]
        written["search"]["trials_per_cell"] = self.trials_per_cell
        written["confirm"]["seeds"] = list(self.confirm_seeds)
        if not self.confirm.leave_one_source_out:  # as in the files of before there was such
            del written["confirm"]["leave_one_source_out"]
        written["training"] = {
            "profile": self.profile_name,
            **self._training().model_dump(mode="json", exclude={"ingest"}),
        }
        written["methods"] = {
            name: {
                "space": {key: entry.model_dump(mode="json") for key, entry in self.space(name).items()},
                "config": self.config(name).model_dump(mode="json"),
                "budget": {"steps": self.training_of(name).steps},
                **self._extras(name),
            }
            for name in self.methods
        }
        return written

    def _extras(self, name: str) -> dict[str, Any]:
        """Return what only some sweeps have, so that the others keep the hash that they had before there was such."""
        extras: dict[str, Any] = {}
        if self.methods[name].ablations:
            extras["ablations"] = self.methods[name].ablations
        if own := profile(self.profile_name).budgets.get(name):
            training = self.training_of(name).model_dump(mode="json")
            extras["training"] = {key: training[key] for key in own}
        return extras

    def identity(self) -> dict[str, Any]:
        """Return what decides the numbers: the canonical form without where and how many at once."""
        written = self.canonical()
        several = {"workers": self.resources.workers} if self.resources.workers > 1 else {}  # rounding depends on it
        written["resources"] = {"cpus_per_worker": self.resources.cpus_per_worker, **several}
        del written["search"]["max_concurrent"]
        return written

    def hash(self) -> str:
        """Return a short SHA-256 over the identity."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()[:16]

    @property
    def profile_name(self) -> str:
        """Name of the profile under the training section."""
        return str(self.training.get("profile", "full"))

    @property
    def most_search_trials(self) -> int | None:
        """The profile's limit on search trials a cell, grids included; None for no limit."""
        return profile(self.profile_name).most_search_trials

    @property
    def trials_per_cell(self) -> int:
        """Random draws a cell, within the profile's limit."""
        return min(self.search.trials_per_cell, self.most_search_trials or self.search.trials_per_cell)

    @property
    def searches_at_once(self) -> int | None:
        """Search trials of a cell that may run at once; None for any number."""
        if self.search.max_concurrent != "auto":
            return self.search.max_concurrent
        return HYPEROPT_AT_ONCE if self.search.algorithm == "hyperopt" else None

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """Seeds of the confirming runs, within the profile's limit."""
        return self.confirm.seeds[: profile(self.profile_name).most_confirm_seeds]

    def config(self, method: str) -> MethodConfig:
        """Return a method's configuration: published defaults, then the profile's, then this file's."""
        overrides = {**profile(self.profile_name).methods.get(method, {}), **self.methods[method].config}
        return registry.config(method, overrides)

    def space(self, method: str) -> Mapping[str, Range]:
        """Return what is searched for a method: this file's ranges, else the method's own."""
        given = self.methods[method].space
        return registry.get(method).Config.space() if given is None else given

    def training_of(self, method: str) -> TrainingSpec:
        """Return the training section that holds for a method."""
        budget = self.methods[method].budget
        return self._training(method, {"steps": budget.steps} if budget else {})

    def _training(self, method: str = "", overrides: Mapping[str, Any] | None = None) -> TrainingSpec:
        given = {key: value for key, value in self.training.items() if key != "profile"}
        if "ingest" in given:
            raise SpecError("this key stands at the top of a sweep file", where="key training.ingest", remedy="move it")
        chosen = profile(self.profile_name)
        merged = {
            "threads": self.resources.cpus_per_worker,
            **chosen.training,
            **chosen.budgets.get(method, {}),
            **given,
            **(overrides or {}),
            "ingest": self.ingest,
        }
        try:
            return TrainingSpec.model_validate(merged)
        except ValidationError as error:
            raise spec_error(error, TrainingSpec, prefix="training") from error


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read, override and check a sweep file.

    Args:
        path: the YAML file.
        overrides: ``key.sub=value`` items, the value read as YAML.

    Raises:
        SpecError: with file, key and line of the first thing that is not right.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise SpecError("no such sweep file", where=str(path), remedy="see the folder sweeps/ for examples") from error
    except UnicodeDecodeError as error:
        raise SpecError("this is not a text file", where=str(path)) from error
    return parse_sweep(text, str(path), overrides)


def parse_sweep(text: str, file: str = "", overrides: Sequence[str] = ()) -> SweepSpec:
    """Check a sweep given as YAML text; like ``load_sweep``."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_repeated_keys(root, file)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise SpecError(f"not readable as YAML: {error.problem}", where=f"{file}, line {line}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"not readable as YAML: {error}", where=file) from error
    if not isinstance(values, dict):
        raise SpecError("a sweep file is a mapping of keys", where=file, remedy="start with `name:` and `data:`")
    for item in overrides:
        _override(values, item)
    try:
        spec = SweepSpec.model_validate(values)
    except ValidationError as error:
        raise spec_error(error, SweepSpec, file=file, line_of=lambda location: _line(root, location)) from error
    _check_methods(spec, file, root)
    return spec


def _check_methods(spec: SweepSpec, file: str, root: yaml.Node | None) -> None:
    """Check what pydantic cannot: names and values that the registry and the profiles decide."""
    for name in spec.methods:
        line = _line(root, ("methods", name))
        where = ", ".join(filter(None, (file, f"line {line}" if line else "")))
        if name not in registry.names():
            raise SpecError(
                f"unknown method {name!r}", where=f"{where}, key methods.{name}",
                remedy=did_you_mean(name, registry.names()),
            )  # fmt: skip
        try:
            config = spec.config(name)
            for key, entry in spec.space(name).items():
                if key not in type(config).model_fields:
                    raise SpecError(
                        f"unknown key {key!r}", where=f"key methods.{name}.space.{key}",
                        remedy=did_you_mean(key, type(config).model_fields),
                    )  # fmt: skip
                for value in bounds_or_values(entry):
                    registry.config(name, {**config.model_dump(), key: value})
            for label, overrides in spec.methods[name].ablations.items():
                with _naming(f"key methods.{name}.ablations.{label}"):
                    registry.config(name, {**config.model_dump(), **overrides})
            spec.training_of(name)
        except SpecError as error:
            raise SpecError(
                error.what, where=", ".join(filter(None, (where, error.where))), remedy=error.remedy
            ) from error


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Say in which part of the file a configuration is wrong."""
    try:
        yield
    except SpecError as error:
        raise SpecError(error.what, where=where, remedy=error.remedy) from error


def bounds_or_values(entry: Range) -> list[Any]:
    """Return the values of a range that a config must accept: all listed ones, or the bounds."""
    (values,) = entry.model_dump().values()
    return list(values)


def _override(values: dict[str, Any], item: str) -> None:
    key, separator, text = item.partition("=")
    if not separator or not key:
        raise SpecError(f"not of the form key.sub=value: {item!r}", where="--set")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"the value is not readable as YAML: {text!r}", where=f"--set {key}") from error
    *path, last = key.split(".")
    current: Any = values
    for part in path:
        if current.get(part) is None:
            current[part] = {}
        current = current[part]
        if not isinstance(current, dict):
            raise SpecError(f"{part!r} is not a section that has keys", where=f"--set {key}")
    current[last] = value


def _line(root: yaml.Node | None, location: Location) -> int | None:
    """Return the line of the deepest key of ``location`` that the file has."""
    node, line = root, None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _refuse_repeated_keys(root: yaml.Node | None, file: str) -> None:
    """YAML would silently keep the last of two equal keys."""
    waiting, seen_nodes = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen_nodes:  # an alias, which may even stand inside its own anchor
            continue
        seen_nodes.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode):  # refused when the values are built
                    continue
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise SpecError(f"the key {key.value!r} stands twice", where=f"{file}, line {line}")
                seen.add(key.value)
