"""What a sweep asks for, in one canonical form.

Two files that mean the same have the same canonical form and hash; a run belongs to one of them for good.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from fasray.errors import SpecError
from fasray.faces.data_source import SyntheticChoice
from fasray.methods import registry
from fasray.methods.space import Range
from fasray.protocols.lists import files_to_names
from fasray.runs.record import identity_hash
from fasray.sweep.backbones import SETTING, listed, settings_along
from fasray.sweep.profiles import profile
from fasray.sweep.values import AutoInt, AutoShare, MaxConcurrent, TrackerNames, as_before, entered
from fasray.training import trackers
from fasray.training.trial import TrainingSpec
from fasray.validation import SEED_LIMIT, Section, spec_error

if TYPE_CHECKING:
    from fasray.methods.base import MethodConfig

TPE_AT_ONCE = 4
"""Open suggestions of a cell that TPE still works well with: each is suggested without knowing the others' results."""


class BudgetSpec(Section):
    """Budget of one method, in place of the training section's."""

    steps: int = Field(ge=1, description="optimizer steps")


class MethodSpec(Section):
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


class SearchSpec(Section):
    """How configurations are tried in each cell."""

    algorithm: Literal["grid", "random", "hyperopt", "tpe"] = Field(
        "random",
        description="all combinations of the grids, random draws, or TPE, which learns from the cell's results: "
        "hyperopt's, each setting by itself, or Optuna's multivariate one (`tpe`), all settings together",
    )
    trials_per_cell: int = Field(8, ge=1, description="draws a cell, the paper's own setting among them")
    seed: int = Field(100, ge=0, lt=SEED_LIMIT, description="seed of the draws and of every search trial")
    max_concurrent: MaxConcurrent = Field(
        "auto",
        description="search trials of a cell that run at once; auto: as many as fit, with TPE at most lag",
    )
    lag: int | None = Field(
        4,
        ge=1,
        description="with TPE: a suggestion sees the results of all trials of its cell but the last `lag` - 1, "
        "whatever their order of arrival; null: all that have arrived",
    )
    per: Literal["sources", "cell"] = Field(
        "sources",
        description="sources: protocols that differ in their targets alone share search, winner and trainings; "
        "cell: each has its own",
    )
    score_target: bool = Field(
        False,
        description="whether search trials score the target too, for the rule oracle-search; nothing else needs it",
    )


class AshaSpec(Section):
    """Asynchronous successive halving."""

    grace: float = Field(0.1, gt=0, le=1, description="first rung, as a fraction of the budget")
    reduction: int = Field(3, ge=2, description="about one in this many goes on at each rung")
    order: Literal["suggestion", "arrival"] = Field(
        "suggestion",
        description="with what a trial is compared at a rung: all that were suggested before it, so that the outcome "
        "depends on results alone; or, as elsewhere, what has arrived before it",
    )


class AshaChoice(Section):
    """``scheduler: {asha: ...}``."""

    asha: AshaSpec


class ConfirmSpec(Section):
    """How each cell's winner is confirmed."""

    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1, description="seeds of the confirming runs")
    leave_one_source_out: bool = Field(
        False, description="retrain each without each of its source domains, for the rule of that name"
    )

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0 or max(seeds) >= SEED_LIMIT:
            raise ValueError("the seeds must be different, not negative and below 2^63")
        return seeds


class ResourcesSpec(Section):
    """What one trial holds while it runs, and how many run at once."""

    backend: Literal["auto", "inprocess", "torchtrainer"] = Field(
        "auto", description="a warm process per trial, or Ray Train workers; auto: the latter for several workers"
    )
    workers: int = Field(1, ge=1, description="processes that share each batch of a trial")
    cpus_per_worker: AutoInt = Field(
        "auto", description="CPU cores, also the threads of a trial; auto: 1, or with GPUs a trial's part of its node's"
    )
    data_cpus: int = Field(1, ge=1, description="with `ingest: stream`: CPU cores more that read for each worker")
    gpus_per_worker: AutoShare = Field(
        "auto",
        description="GPUs; fractions share one; auto: a share by the method's peak memory where there are GPUs, else 0",
    )
    most_per_gpu: int = Field(4, ge=1, le=16, description="with `gpus_per_worker: auto`: most trials that share a GPU")
    max_concurrent: MaxConcurrent = Field("auto", description="trials at once; auto: as many as fit")

    @property
    def threads(self) -> int:
        """CPU threads of a trial where its training section does not say; the rounding of sums depends on it."""
        return 1 if self.cpus_per_worker == "auto" else self.cpus_per_worker

    @model_validator(mode="after")
    def _workers_need_a_trainer(self) -> ResourcesSpec:
        if self.backend == "inprocess" and self.workers > 1:
            raise ValueError("backend inprocess has one worker; several need backend: torchtrainer, or auto")
        return self


class SweepSpec(Section):
    """A whole sweep: every method on every protocol, searched, then confirmed."""

    name: str = Field(description="names the run directory")
    data: str | SyntheticChoice = Field(
        description="path or URI of face shards, `synthetic`, or `auto`: what FASRAY_DATA names, else generated faces"
    )
    ingest: Literal["pool", "stream"] = Field(
        "pool",
        description="faces decoded once into a pool on each node's disk, or decoded each time they are used",
    )
    protocols: tuple[str, ...] = Field(
        min_length=1, description="groups or names of protocols, or files of `fasray protocol import`"
    )
    lists: dict[str, str] = Field(default_factory=dict, description="files of fixed lists, by the protocol's name")
    target_split: Literal["train+test", "all", "test"] = Field(
        "train+test", description="official splits of the target domain that are evaluated"
    )
    methods: dict[str, MethodSpec] = Field(min_length=1, description="by name; or a list of names")
    search: SearchSpec = SearchSpec()
    scheduler: Literal["fifo"] | AshaChoice = Field(
        AshaChoice(asha=AshaSpec()), description="ASHA stops weak search trials early; fifo stops none"
    )
    confirm: ConfirmSpec = ConfirmSpec()
    training: dict[str, Any] = Field(default_factory=dict, description="`profile` and overrides of it")
    resources: ResourcesSpec = ResourcesSpec()
    tracking: TrackerNames = Field(
        trackers.DEFAULT, description="where trials are shown while they run: tensorboard, mlflow, wandb"
    )

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

    @model_validator(mode="before")
    @classmethod
    def _files_become_names(cls, values: Any) -> Any:
        return files_to_names(values)

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
        """CPU cores that read for each worker, in addition to its own."""
        return self.resources.data_cpus if self.ingest == "stream" else 0

    def canonical(self) -> dict[str, Any]:
        """Return the whole specification with every default written out, as JSON values in a fixed order."""
        written = self.model_dump(mode="json", exclude={"lists"})
        if self.ingest == "pool":  # as in the files of before there was anything else
            del written["ingest"], written["resources"]["data_cpus"]
        if self.tracking == trackers.DEFAULT:
            del written["tracking"]
        written["search"]["trials_per_cell"] = self.trials_per_cell
        algorithm = self.search.algorithm
        if algorithm in ("grid", "random") or (algorithm == "hyperopt" and self.search.lag is None):
            del written["search"]["lag"]
        if self.search.per == "cell":  # as in the files of before there was anything else, like what follows
            del written["search"]["per"]
        if self.search.score_target:
            del written["search"]["score_target"]
        if isinstance(self.scheduler, AshaChoice) and self.scheduler.asha.order == "arrival":
            del written["scheduler"]["asha"]["order"]
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
            extras["ablations"] = self.ablations(name)
        if along := self.by_backbone(name):
            extras["backbones"] = along
        if own := profile(self.profile_name).budgets.get(name):
            training = self.training_of(name).model_dump(mode="json")
            extras["training"] = {key: training[key] for key in own}
        return extras

    def identity(self) -> dict[str, Any]:
        """Return what decides the numbers: the canonical form without where and how many at once."""
        written = self.canonical()
        several = {"workers": self.resources.workers} if self.resources.workers > 1 else {}  # rounding depends on it
        written["resources"] = {"cpus_per_worker": self.resources.threads, **several}
        del written["search"]["max_concurrent"]
        written.pop("tracking", None)
        return written

    def hash(self) -> str:
        """Return a short SHA-256 over the identity."""
        return identity_hash(self.identity())

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
    def max_concurrent_searches(self) -> int | None:
        """Search trials of a cell that may run at once; None for any number."""
        if self.search.max_concurrent != "auto":
            return self.search.max_concurrent
        learns = self.search.algorithm in ("hyperopt", "tpe")
        return TPE_AT_ONCE if learns and self.search.lag is None else None

    @property
    def confirm_seeds(self) -> tuple[int, ...]:
        """Seeds of the confirming runs, within the profile's limit."""
        return self.confirm.seeds[: profile(self.profile_name).most_confirm_seeds]

    def config(self, method: str) -> MethodConfig:
        """Return a method's configuration: published defaults, then the profile's, then this file's.

        What is recommended for another backbone than the default comes between the profile's and the file's.
        """
        own, given = profile(self.profile_name).methods.get(method, {}), self.methods[method].config
        return registry.config(method, {**own, **self._along(method, {**own, **given}), **given})

    def by_backbone(self, method: str) -> dict[str, dict[str, Any]]:
        """Return what each backbone that is searched for a method changes along with it, where it does.

        A search point without a value of its own for such a setting has this one.
        """
        space = self.space(method)
        found = {name: self._along(method, {SETTING: name}, self.config(method)) for name in listed(space)}
        free = {name: {k: v for k, v in along.items() if k not in space} for name, along in found.items()}
        return {name: along for name, along in free.items() if along}

    def _along(self, method: str, changes: Mapping[str, Any], config: MethodConfig | None = None) -> dict[str, Any]:
        """Return what a backbone brings along, but for what the file fixes or ``config`` has already."""
        found = settings_along(method, changes, profile(self.profile_name).methods, self._training(method))
        fixed = self.methods[method].config
        return {k: v for k, v in found.items() if k not in fixed and (config is None or getattr(config, k) != v)}

    def space(self, method: str) -> Mapping[str, Range]:
        """Return what is searched for a method: the file's ranges, else the method's own without what ``config`` fixes.

        Listed values have the type of their field: ``1e-2``, ``"0.01"`` and ``0.01`` are one.

        Raises:
            SpecError: a value is not one that the field may have.
        """
        given, fixed = self.methods[method].space, self.methods[method].config
        if given is None:
            own = self.config(method).default_space()
            return {key: entry for key, entry in own.items() if key not in fixed}
        config = self.config(method)
        return {key: entered(method, config, key, entry) for key, entry in given.items()}

    def ablations(self, method: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the overrides of each ablation of a method, by its name; the values have the type of their field.

        One of the backbone brings along what is recommended for it.

        Raises:
            SpecError: an override is not one of the method's settings.
        """
        config = self.config(method)
        return {
            label: {
                key: as_before(value, registry.value(method, config, key, value))
                for key, value in {**overrides, **self._along(method, overrides, config), **overrides}.items()
            }
            for label, overrides in self.methods[method].ablations.items()
        }

    def training_of(self, method: str) -> TrainingSpec:
        """Return the training section that holds for a method."""
        budget = self.methods[method].budget
        return self._training(method, {"steps": budget.steps} if budget else {})

    def _training(self, method: str = "", overrides: Mapping[str, Any] | None = None) -> TrainingSpec:
        given = {key: value for key, value in self.training.items() if key != "profile"}
        if "ingest" in given:
            raise SpecError(
                "this key belongs at the top level of a sweep file", where="key training.ingest", remedy="move it"
            )
        chosen = profile(self.profile_name)
        merged = {
            "threads": self.resources.threads,
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
