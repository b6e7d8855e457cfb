"""Runs or resumes a sweep: plan, ledger, Ray, pools, trials.

Every decision is in the run directory before it takes effect, so the driver may be killed at any time.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial

from fasray import storage
from fasray.errors import RunFailedError
from fasray.execution.autoscaler import Slots, initial_capacity
from fasray.execution.capacity import Demand, check_fits_this_machine, demand_of, workers_on
from fasray.execution.contention import describe_contention
from fasray.execution.decide import decide, session_has_gpus
from fasray.execution.initial_weights import share_weights
from fasray.execution.listener import Listener
from fasray.execution.messages import TrialOrder
from fasray.execution.ray_job import check_outlives_job
from fasray.execution.ray_session import is_private, ray_session
from fasray.execution.signals import interruptible
from fasray.faces.data_source import Dataset, resolve_dataset
from fasray.faces.loading.pool import pool_key
from fasray.runs.ledger import Ledger
from fasray.runs.record import DataFacts
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import make_plan
from fasray.sweep.progress import ThrottledReporter
from fasray.sweep.spec import SweepSpec

SAVED = "stopped on request; everything up to each trial's last evaluation is saved"


@dataclass(frozen=True)
class Outcome:
    """How a sweep ended."""

    run: str
    trials: int
    trained_now: int
    """Trials that this call ran or resumed."""
    failures: tuple[str, ...]
    """One line for each trial that failed or diverged and each cell without a winner."""


def run_sweep(spec: SweepSpec, out: str, listener: Listener | None = None, verbose: bool = False) -> Outcome:
    """Run a sweep to its end; an unfinished run is resumed.

    Args:
        spec: the sweep.
        out: run directory, a local path or ``s3://`` URI; created if it does not exist.
        listener: its callbacks report progress.
        verbose: let Ray's own messages through.

    Returns:
        How it ended. Trials that failed or diverged do not raise.

    Raises:
        SpecError: the run was made from another specification, is in use by another driver, or a trial does not fit on
            the cluster.
        DataError: faces or initial weights are missing or damaged.
        ProtocolError: the data does not have what a protocol needs.
        StorageError: the store does not answer, or refuses access.
        RunFailedError: Ray ended before every trial had ended.
        InterruptedRunError: SIGINT or SIGTERM came; the same call resumes the run.
    """
    listener = listener or Listener()
    check_outlives_job(out)
    with interruptible(out, SAVED):
        spec = decide(spec, out, listener, partial(session_has_gpus, verbose))
        dataset = resolve_dataset(spec.data, listener.on_generate)
        plan = make_plan(spec, dataset.manifest.hash, dataset.index)
        with Ledger(out, spec.identity(), _facts(dataset)) as ledger:
            if ledger.taken_over_from:
                listener.on_stage(f"taking the run over from {ledger.taken_over_from}, which has ended")
            coordinator = Coordinator(plan, ledger.append)
            coordinator.replay(ledger.events)
            listener.on_plan(plan, sum(record.status != "running" for record in coordinator.records.values()))
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
    demand = demand_of(coordinator.plan.spec)
    private = is_private()
    if private:
        check_fits_this_machine(demand)
    share_weights(coordinator.plan, ledger.run)
    listener.on_stage("starting Ray")
    with ray_session(verbose):
        capacity = initial_capacity(demand)
        capacity.check_fits(demand)
        if workers_on(capacity.alive, demand) < demand.workers:
            listener.on_stage("waiting for nodes from the autoscaler")
        elif not private and (held := describe_contention(capacity.alive, demand)):
            listener.on_stage(held)
        if coordinator.plan.spec.ingest == "pool":
            _fill(dataset, demand, listener)
        listener.on_stage("training")
        _train(coordinator, dataset, ledger, listener)


def _fill(dataset: Dataset, demand: Demand, listener: Listener) -> None:
    """Give every node its pool."""
    from fasray.ingest.fill import fill_pools  # imports Ray, which reads its settings from the session

    listener.on_stage("filling the pool of decoded faces")
    total = len(dataset.index)
    pools = fill_pools(
        dataset.uri, dataset.manifest, dataset.index, lambda rows: listener.on_decode(rows, total), demand.of_worker
    )
    if pools[0].excluded:
        listener.on_excluded(pools[0].excluded)


def _train(coordinator: Coordinator, dataset: Dataset, ledger: Ledger, listener: Listener) -> None:
    """Run the coordinator's trials, in reused actors or in workers of their own, until none is left."""
    demand = demand_of(coordinator.plan.spec)
    limit = coordinator.plan.spec.resources.max_concurrent
    slots = Slots(demand, None if limit == "auto" else limit)
    run = storage.absolute(ledger.run)  # a trial's processes have working directories of their own
    pool = pool_key(dataset.manifest.hash, dataset.manifest.image_size)

    def make_order(assignment: Assignment) -> TrialOrder:
        return TrialOrder(
            trial=assignment.trial,
            run=run,
            pool=pool,
            data=storage.absolute(dataset.uri),
            target_split=coordinator.plan.spec.target_split,
            reported_step=assignment.reported_step,
            data_cpus=demand.data_cpus,
            gpus=demand.gpus,
        )

    reporter = ThrottledReporter(coordinator, slots, listener.on_progress)

    def show(*_: object) -> None:
        reporter.changed()

    with tempfile.TemporaryDirectory(prefix="fasray-ray-") as scratch:
        if coordinator.plan.spec.in_trainer:
            from fasray.execution.train_backend import train_in_workers

            train_in_workers(coordinator, make_order, demand, slots, scratch, show)
        else:
            from fasray.execution.trial_actor import ReusableTrialActor
            from fasray.execution.tune_backend import train_in_actors

            train_in_actors(coordinator, ReusableTrialActor, make_order, demand, slots, scratch, show)
            if not coordinator.finished:
                raise RunFailedError(
                    "Ray Tune ended before every trial had ended",
                    remedy="run the same command again; -v shows Ray's messages",
                )
    reporter.flush()


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
