"""Runs a sweep, or goes on with it: plan, ledger, Ray, pools, trials; the same command at any moment of its life.

Everything that matters is in the run directory before it is acted on, so the driver may be killed at any time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from fasray import storage
from fasray.errors import RunFailedError
from fasray.execution.autoscaler import Slots, initial_capacity
from fasray.execution.capacity import Demand, check_fits_this_machine, workers_on
from fasray.execution.contention import describe_contention
from fasray.execution.initial_weights import share_weights, starts_from_weights, weights_folder
from fasray.execution.messages import TrialOrder
from fasray.execution.ray_job import check_outlives_job
from fasray.execution.ray_session import ray_session
from fasray.execution.signals import interruptible
from fasray.faces.data_source import Dataset, resolve_dataset
from fasray.faces.loading.pool import pool_key
from fasray.runs.ledger import Ledger
from fasray.runs.record import DataFacts
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.progress import Progress, ThrottledReporter
from fasray.sweep.spec import SweepSpec

SAVED = "stopped on request; everything up to each trial's last evaluation is saved"


class Listener:
    """Hears how a sweep goes; this one does nothing with it."""

    def generating(self, done: int, total: int) -> None:
        """Faces are being generated."""

    def planned(self, plan: Plan, ended: int) -> None:
        """The plan stands; ``ended`` of its trials ended in an earlier run."""

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""

    def filling(self, rows: int, total: int) -> None:
        """Faces are being decoded into the pool."""

    def excluded(self, faces: int, first: str) -> None:
        """Some faces could not be decoded and are left out."""

    def progress(self, progress: Progress) -> None:
        """Trials started, reported or ended."""


@dataclass(frozen=True)
class Outcome:
    """How a run of the engine ended."""

    run: str
    trials: int
    trained_now: int
    """Trials that this call ran or went on with."""
    failures: tuple[str, ...]
    """One line for each trial that failed or diverged and each cell without a winner."""


def run_sweep(spec: SweepSpec, out: str, listener: Listener | None = None, verbose: bool = False) -> Outcome:
    """Run a sweep to its end, or go on where an earlier driver left it.

    Args:
        spec: the sweep.
        out: run directory, a local path or ``s3://`` URI; made if it is not there.
        listener: hears how it goes; left out: nobody.
        verbose: let Ray's own messages through.

    Raises:
        SpecError: the run was made from another specification, or is being driven by someone else.
        DataError, ProtocolError: the data is not fit for what the sweep asks.
        InterruptedRunError: SIGINT or SIGTERM came; the same command goes on.
    """
    listener = listener or Listener()
    check_outlives_job(out)
    with interruptible(out, SAVED):
        dataset = resolve_dataset(spec.data, listener.generating)
        plan = make_plan(spec, dataset.manifest.hash, dataset.index)
        with Ledger(out, spec.identity(), _facts(dataset)) as ledger:
            if ledger.taken_over_from:
                listener.starting(f"taking the run over from {ledger.taken_over_from}, which is gone")
            coordinator = Coordinator(plan, ledger.append)
            coordinator.replay(ledger.events)
            listener.planned(plan, sum(record.status != "running" for record in coordinator.records.values()))
            ledger.opened()
            coordinator.retry_failed()
            coordinator.close_finished_searches()
            before = {trial: len(record.readings) for trial, record in coordinator.records.items()}
            try:
                if not coordinator.finished:
                    _run(coordinator, dataset, ledger, listener, verbose)
            except (KeyboardInterrupt, SystemExit):
                if ledger.broken is None:
                    ledger.closed("interrupted")
                raise
            changed = sum(len(record.readings) != before.get(trial) for trial, record in coordinator.records.items())
            failures = _failures(coordinator)
            ledger.closed("failed" if failures else "complete")
            return Outcome(out, len(coordinator.records), changed, failures)


def _run(coordinator: Coordinator, dataset: Dataset, ledger: Ledger, listener: Listener, verbose: bool) -> None:
    demand = _demand(coordinator.plan.spec)
    private = not os.environ.get("RAY_ADDRESS")
    if private:
        check_fits_this_machine(demand)
    share_weights(coordinator.plan, ledger.run)
    listener.starting("starting Ray")
    with ray_session(verbose):
        reach = initial_capacity(demand)
        reach.refuse(demand)
        if workers_on(reach.alive, demand) < demand.workers:
            listener.starting("waiting for nodes that the autoscaler brings")
        elif not private and (held := describe_contention(reach.alive, demand)):
            listener.starting(held)
        if coordinator.plan.spec.ingest == "pool":
            _fill(dataset, demand, listener)
        listener.starting("training")
        _train(coordinator, dataset, ledger, listener)


def _fill(dataset: Dataset, demand: Demand, listener: Listener) -> None:
    """Give every node its pool."""
    from fasray.ingest.fill import fill_pools  # imports Ray, which reads its settings from the session

    listener.starting("filling the pool of decoded faces")
    total = len(dataset.index)
    pools = fill_pools(
        dataset.uri, dataset.manifest, dataset.index, lambda rows: listener.filling(rows, total), demand.of_worker
    )
    excluded = pools[0].excluded
    if excluded:
        listener.excluded(len(excluded), f"{excluded[0].shard}: {excluded[0].video}: {excluded[0].reason}")


def _train(coordinator: Coordinator, dataset: Dataset, ledger: Ledger, listener: Listener) -> None:
    """Run the coordinator's trials, in warm processes or in workers of their own, until none is left."""
    demand = _demand(coordinator.plan.spec)
    limit = coordinator.plan.spec.resources.max_concurrent

    slots = Slots(demand, None if limit == "auto" else limit)
    weights = weights_folder(storage.absolute(ledger.run)) if starts_from_weights(coordinator.plan) else ""
    pool = pool_key(dataset.manifest.hash, dataset.manifest.image_size)

    def make_order(assignment: Assignment) -> TrialOrder:
        return TrialOrder(
            trial=assignment.trial,
            run=storage.absolute(ledger.run),
            pool=pool,
            data=storage.absolute(dataset.uri),
            target_split=coordinator.plan.spec.target_split,
            reported_step=assignment.reported_step,
            weights=weights,
            data_cpus=demand.data_cpus,
            gpus=demand.gpus,
        )

    reporter = ThrottledReporter(coordinator, slots, listener.progress)

    def show(*_: object) -> None:
        reporter.changed()

    with tempfile.TemporaryDirectory(prefix="fasray-ray-") as scratch:
        if coordinator.plan.spec.in_trainer:
            from fasray.execution.train_backend import train_in_workers

            train_in_workers(coordinator, make_order, demand, slots, scratch, show)
        else:
            _tune(coordinator, make_order, demand, slots, scratch, show)
    reporter.flush()


def _tune(
    coordinator: Coordinator,
    make_order: Callable[[Assignment], TrialOrder],
    demand: Demand,
    slots: Callable[[], int],
    scratch: str,
    show: Callable[..., None],
) -> None:
    """Let Tune run the coordinator's trials in warm actors."""
    from ray import tune

    from fasray.execution.trial_actor import ReusableTrialActor
    from fasray.execution.tune_backend import CoordinatorScheduler, CoordinatorSearcher

    searcher = CoordinatorSearcher(coordinator, make_order, show, slots)
    tune.Tuner(
        tune.with_resources(ReusableTrialActor, demand.of_worker),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=CoordinatorScheduler(coordinator, show, searcher.lost),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=scratch,
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()
    if not coordinator.finished:
        raise RunFailedError(
            "Ray Tune ended before every trial had ended", remedy="run the same command again; -v shows Ray's messages"
        )


def _demand(spec: SweepSpec) -> Demand:
    resources = spec.resources
    return Demand(resources.workers, resources.cpus_per_worker, resources.gpus_per_worker, spec.data_cpus)


def _facts(dataset: Dataset) -> DataFacts:
    manifest = dataset.manifest
    return DataFacts(manifest.hash, manifest.rows, manifest.image_size, manifest.card)


def _failures(coordinator: Coordinator) -> tuple[str, ...]:
    trials = [
        f"trial {record.id} ({record.method}, {record.protocol}, {record.stage}, seed {record.seed}) "
        f"{record.status}: {record.reason}"
        for record in coordinator.failures()
    ]
    cells = [
        f"{cell.name}: no search trial finished, so nothing was confirmed"
        for cell in coordinator.cells_without_winner()
    ]
    return (*trials, *cells)
