"""From a sweep file and the data's index to cells and trials; starts nothing.

A cell is one method on one protocol, or on several that differ in their targets alone: they train the same. What
cannot work is refused here, before anything runs: protocols that the data does not allow, methods that need more source
domains, rungs below a method's grace.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fasray.errors import DataError, ProtocolError, SpecError
from fasray.methods import registry
from fasray.methods.space import Value
from fasray.protocols import Protocol, RowTable, resolve, spaced_frames, with_same_sources
from fasray.protocols.lists import FixedLists, load_named
from fasray.runs.events import Stage
from fasray.runs.schedule import CellScheduler, Fifo, rung_steps, search_scheduler
from fasray.sweep.backbones import check_rates
from fasray.sweep.search import FixedSearcher, Point, Searcher, suggestions
from fasray.sweep.spec import AshaChoice, SweepSpec
from fasray.sweep.sweep_file import bounds_or_values
from fasray.sweep.tpe import HyperoptTpe, OptunaTpe
from fasray.sweep.weights import weights_by_architecture
from fasray.training.trial import TrainingSpec, Trial, make_trial

if TYPE_CHECKING:
    from fasray.methods.base import MethodConfig


@dataclass(frozen=True)
class Cell:
    """One method on the protocols that share their sources, with the searcher of its configurations."""

    method: str
    protocol: Protocol
    """Its ``parts`` are rows of the tables."""
    config: MethodConfig
    searcher: Searcher
    searched: tuple[str, ...]
    """Names of the searched config fields."""
    training: TrainingSpec
    domains: int
    """Number of training domains in this data; a name does not say it where fixed lists give the roles."""
    train_images: int
    source_dev_images: int
    target_images: int
    source_dev_scored: int
    """Images that each evaluation scores, ``training.eval_frames`` of each video; fewer where some cannot be read."""
    target_scored: int
    searches_score_target: bool = False
    """Whether search trials score the target too."""
    ablations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Configuration overrides by name; each is confirmed next to the winner, with the same seeds."""
    inner: tuple[Protocol, ...] = ()
    """Inner protocols: each confirming run is trained on each of them too, for ``leave-one-source-out``."""
    by_backbone: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings that go with a searched backbone, by its name; a point's own values come before them."""

    @property
    def name(self) -> str:
        """Method and protocol in one word, for logs and streams."""
        return f"{self.method}/{self.protocol.name}"

    @property
    def points(self) -> tuple[Point, ...]:
        """The paper's own setting, then the other points, as far as no result can change them."""
        known = itertools.takewhile(
            lambda point: point is not None, map(self.searcher.known, range(self.searcher.total))
        )
        return tuple(point for point in known if point is not None)

    @property
    def searches(self) -> int:
        """Number of search trials; a single point needs none and is confirmed as it is."""
        return self.searcher.total if self.searcher.total > 1 else 0

    def scores_target(self, stage: Stage) -> bool:
        """Return whether the trials of a stage score the target; the others have no rows of it."""
        return stage != "search" or self.searches_score_target

    def scored(self, stage: Stage) -> int:
        """Return how many images each evaluation of a trial scores."""
        return self.source_dev_scored + (self.target_scored if self.scores_target(stage) else 0)

    def logged(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return a trial's configuration as the event log has it: what is searched is in it, defaults included."""
        fields = type(self.config).model_fields
        return {**config, **{name: fields[name].default for name in self.searched if name not in config}}

    def configuration(self, point: Mapping[str, Value]) -> dict[str, Any]:
        """Return the full configuration of a search point."""
        along = self.by_backbone.get(str(point.get("backbone")), {})
        return registry.config(self.method, {**self.config.model_dump(), **along, **point}).model_dump(mode="json")


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will do, but for the searches' winners."""

    spec: SweepSpec
    manifest_hash: str
    cells: tuple[Cell, ...]

    def trial(self, cell: Cell, config: Mapping[str, Any], seed: int, inner: Protocol | None = None) -> Trial:
        """Return the trial of a configuration and a seed in a cell; its id follows from what it is.

        Args:
            cell: where the trial is made.
            config: overrides of the method's defaults.
            seed: of the trial.
            inner: one of the cell's inner protocols; left out: the cell's own protocol.
        """
        protocol, by_sources = inner or cell.protocol, self.spec.search.per == "sources"
        return make_trial(
            method=cell.method,
            config=dict(config),
            training=cell.training,
            protocol=protocol.name,
            fingerprint=protocol.source_fingerprint() if by_sources else protocol.fingerprint(),
            data=self.manifest_hash,
            seed=seed,
            target_split=protocol.target_split if by_sources else None,
        )

    def scheduler(self, cell: Cell, stage: Stage) -> CellScheduler:
        """Return a fresh scheduler for one stage of a cell; confirming runs are never cut."""
        choice = self.spec.scheduler
        if stage != "search":
            return Fifo(cell.training.steps)
        asha = choice.asha.model_dump() if isinstance(choice, AshaChoice) else None
        return search_scheduler(cell.training.evaluation_steps(), asha)

    @property
    def search_trials(self) -> int:
        """Number of search trials; a cell with a single point needs none."""
        return sum(cell.searches for cell in self.cells)

    @property
    def confirm_trials(self) -> int:
        """Number of confirming runs, ablations included."""
        return sum(self.confirms_in(cell) for cell in self.cells)

    def confirms_in(self, cell: Cell) -> int:
        """Return the number of confirming runs of a cell, ablations included."""
        return len(self.spec.confirm_seeds) * (1 + len(cell.ablations))

    @property
    def inner_trials(self) -> int:
        """Number of inner trials: each confirming run retrained once for each source domain that is left out."""
        return sum(self.after_search_in(cell) - self.confirms_in(cell) for cell in self.cells)

    def after_search_in(self, cell: Cell) -> int:
        """Return the number of trials that follow a cell's search: confirming runs and their inner trials."""
        return self.confirms_in(cell) * (1 + len(cell.inner))

    @property
    def rows(self) -> int:
        """Number of methods times protocols, the rows of the result table for each rule."""
        return sum(len(cell.protocol.parts) for cell in self.cells)

    @property
    def lists(self) -> dict[str, FixedLists]:
        """The fixed lists of the protocols that have such, by the protocol's name."""
        protocols = (cell.protocol for cell in self.cells)
        return {protocol.name: protocol.lists for protocol in protocols if protocol.lists is not None}

    @property
    def most_steps(self) -> int:
        """Optimizer steps if no trial is stopped early."""
        return sum((cell.searches + self.after_search_in(cell)) * cell.training.steps for cell in self.cells)


def make_plan(spec: SweepSpec, manifest_hash: str, table: RowTable) -> Plan:
    """Plan a sweep over the faces of ``table``.

    Raises:
        ProtocolError: a protocol cannot be run on the data, would leak, or has too few domains for a method.
        DataError: the data is not fit for a protocol (a domain with one class only, a subject in two splits).
        SpecError: fixed lists cannot be read, a rung is below a method's grace, a learning rate is too small for random
            weights, or no initial weights are given for an architecture.
    """
    available = sorted(set(table.domain.tolist()))
    by_sources = spec.search.per == "sources"
    protocols = resolve(spec.protocols, available, spec.target_split, load_named(spec.protocols, spec.lists))
    protocols = with_same_sources(protocols) if by_sources else protocols
    roles = {protocol.name: protocol.assign(table) for protocol in protocols}
    inner = {protocol.name: _inner(spec, protocol, table) for protocol in protocols}
    cells: list[Cell] = []
    refused: list[str] = []
    for method in spec.methods:
        config = spec.config(method)
        training = spec.training_of(method)
        _check_compile(spec, method, training)
        weights_by_architecture(method, config, spec.space(method), spec.ablations(method), training)
        check_rates(method, _rates(spec, method, config), training)
        needs = registry.get(method)(config).needs
        for protocol in protocols:
            role = roles[protocol.name]
            left_out = bool(inner[protocol.name])
            if len(role.domains) - left_out < needs.min_domains:
                without = " without one of its sources, as leave-one-source-out has it," if left_out else ""
                refused.append(
                    f"{method} needs at least {needs.min_domains} source domains, {protocol.name}{without} has "
                    f"{len(role.domains) - left_out}"
                )
                continue
            _check_batch_divides(spec, method, config, training)
            name = protocol.source_name if by_sources else protocol.name
            searcher = _searcher(spec, method, config, f"{method}/{name}")
            _check_grace(spec, method, config, searcher, training)
            cells.append(
                Cell(
                    method=method,
                    protocol=protocol,
                    config=config,
                    searcher=searcher,
                    searched=tuple(spec.space(method)),
                    training=training,
                    domains=len(role.domains),
                    train_images=len(role.train),
                    source_dev_images=len(role.source_dev),
                    target_images=len(role.target),
                    source_dev_scored=len(spaced_frames(table, role.source_dev, training.eval_frames)),
                    target_scored=len(spaced_frames(table, role.target, training.eval_frames)),
                    searches_score_target=spec.search.score_target,
                    ablations=spec.ablations(method),
                    inner=inner[protocol.name],
                    by_backbone=spec.by_backbone(method),
                )
            )
    if refused:
        raise ProtocolError(
            "cells that cannot be run:\n    " + "\n    ".join(refused),
            remedy="take these methods or these protocols out of the sweep"
            + (", or leave out confirm.leave_one_source_out" if spec.confirm.leave_one_source_out else ""),
        )
    return Plan(spec=spec, manifest_hash=manifest_hash, cells=tuple(cells))


def _inner(spec: SweepSpec, protocol: Protocol, table: RowTable) -> tuple[Protocol, ...]:
    """Return the inner protocols of a protocol, where the sweep asks for them.

    Raises:
        ProtocolError, DataError: one of them cannot be had, or cannot be run on the data.
    """
    if not spec.confirm.leave_one_source_out:
        return ()
    try:
        found = tuple(protocol.without(domain) for domain in protocol.domains)
        for inner in found:
            inner.assign(table)
    except (ProtocolError, DataError) as error:
        raise type(error)(
            f"leave-one-source-out cannot be planned for {protocol.name}: {error.what}",
            where="key confirm.leave_one_source_out",
            remedy="take the protocol out of the sweep, or leave out confirm.leave_one_source_out",
        ) from error
    return found


def _rates(spec: SweepSpec, method: str, config: MethodConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the key and the configuration of every learning rate that a method may be given."""
    whole, space = config.model_dump(), spec.space(method)
    if "learning_rate" not in space:
        yield "config.learning_rate", whole
    for rate in bounds_or_values(space["learning_rate"]) if "learning_rate" in space else ():
        yield "space.learning_rate", {**whole, "learning_rate": rate}
    for name, along in spec.by_backbone(method).items():
        yield "space.backbone", {**whole, **along, "backbone": name}
    for label, overrides in spec.ablations(method).items():
        yield f"ablations.{label}", {**whole, **overrides}


def _check_compile(spec: SweepSpec, method: str, training: TrainingSpec) -> None:
    """Refuse ``training.compile`` where the method or the number of workers does not allow it."""
    reason = registry.get(method).no_compile
    if not reason and spec.resources.workers > 1:
        reason = "batch normalisation averages over the workers within the networks, which torch cannot compile"
    if training.compile and reason:
        raise SpecError(
            f"{method} cannot be compiled: {reason}",
            where="key training.compile",
            remedy="set training.compile to false, or sweep this method by itself",
        )


def _check_batch_divides(spec: SweepSpec, method: str, config: MethodConfig, training: TrainingSpec) -> None:
    """Refuse a batch that the workers cannot share equally."""
    images, workers = training.sampling_of(registry.get(method)(config)).images, spec.resources.workers
    if images % workers:
        raise SpecError(
            f"{method} picks {images} images per group or batch, which {workers} workers cannot share equally",
            where="key resources.workers",
            remedy=f"set training.images to a multiple of {workers}, or take another number of workers",
        )


def _searcher(spec: SweepSpec, method: str, config: MethodConfig, cell: str) -> Searcher:
    """Return the searcher of a cell."""
    space, default, draws = spec.space(method), config.model_dump(), spec.trials_per_cell
    if spec.search.algorithm in ("hyperopt", "tpe"):
        start = {name: default[name] for name in space}
        kind = HyperoptTpe if spec.search.algorithm == "hyperopt" else OptunaTpe
        return kind(space, start, draws, spec.search.seed, cell, spec.max_concurrent_searches, spec.search.lag)
    points = suggestions(spec.search.algorithm, space, default, draws, spec.search.seed, cell)
    return FixedSearcher(tuple(points[: spec.most_search_trials]), spec.max_concurrent_searches)


def _check_grace(
    spec: SweepSpec, method: str, config: MethodConfig, searcher: Searcher, training: TrainingSpec
) -> None:
    """Refuse rungs that would judge a method before its own mechanisms have started.

    Points that depend on results are represented by the bounds and listed values of each range.
    """
    if not isinstance(spec.scheduler, AshaChoice):
        return
    asha = spec.scheduler.asha
    rungs = rung_steps(training.evaluation_steps(), asha.grace, asha.reduction)
    known = [searcher.known(number) for number in range(searcher.total)]
    points: list[Mapping[str, Any]] = [point for point in known if point is not None]
    if len(points) < len(known):
        points += [{name: value} for name, entry in spec.space(method).items() for value in bounds_or_values(entry)]
    tried = (registry.config(method, {**config.model_dump(), **point}) for point in points)
    grace = max(point.min_grace(training.steps) for point in tried)
    if rungs and rungs[0] < grace:
        raise SpecError(
            f"the first rung, step {rungs[0]}, comes before {method}'s own mechanisms have started (step {grace})",
            where="key scheduler.asha.grace",
            remedy=f"set scheduler.asha.grace to at least {grace / training.steps:.3g}, or use scheduler: fifo",
        )
