"""Runs or resumes a sweep: plan, ledger, Ray, pools, trials.

Every decision is in the run directory before it takes effect, so the driver may be killed at any time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fasray import storage
from fasray.errors import RunFailedError
from fasray.execution.autoscaler import current_capacity
from fasray.execution.capacity import Demand, check_fits_this_machine, demand_of, workers_on
from fasray.execution.contention import describe_contention
from fasray.execution.decide import decide, session_capacity, session_has_gpus
from fasray.execution.hardware import card_kinds, device_for
from fasray.execution.initial_weights import share_weights
from fasray.execution.listener import Listener
from fasray.execution.messages import TrialOrder
from fasray.execution.placement import Announcer, Placement, least_share_of, room_for
from fasray.execution.ray_job import check_outlives_job
from fasray.execution.ray_session import is_private, ray_session
from fasray.execution.same_devices import check_same_devices, devices_of
from fasray.execution.signals import interruptible
from fasray.faces.data_source import Dataset, resolve_dataset
from fasray.faces.loading.pool import pool_key
from fasray.protocols.lists import keep_copies
from fasray.runs.events import Placed
from fasray.runs.ledger import Ledger
from fasray.runs.own_code import OtherCode, own_code
from fasray.runs.record import DataFacts
from fasray.runs.videos import write_videos
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import Plan, make_plan
from fasray.sweep.progress import ThrottledReporter
from fasray.sweep.reuse import open_runs, summary
from fasray.sweep.spec import SweepSpec
from fasray.training.trackers import check_trackers

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


def run_sweep(
    spec: SweepSpec,
    out: str,
    listener: Listener | None = None,
    verbose: bool = False,
    any_device: bool = False,
    reuse: Sequence[str] = (),
) -> Outcome:
    """Run a sweep to its end; an unfinished run is resumed.

    Args:
        spec: the sweep.
        out: run directory, a local path or ``s3://`` URI; created if it does not exist.
        listener: its callbacks report progress.
        verbose: let Ray's own messages through.
        any_device: resume also on another kind of device than the run's numbers were computed on.
        reuse: run directories of which trials are taken over instead of trained again.

    Returns:
        How it ended. Trials that failed or diverged do not raise.

    Raises:
        SpecError: the run was made from another specification, is in use by another driver, was computed on
            another kind of device so far, a trial does not fit on the cluster, workers run other code than this
            process, or there is no Ray.
        DataError: faces or initial weights are missing or damaged.
        ProtocolError: the data does not have what a protocol needs.
        StorageError: the store does not answer, or refuses access.
        RunFailedError: Ray ended before every trial had ended.
        InterruptedRunError: SIGINT or SIGTERM came; the same call resumes the run.
    """
    listener = listener or Listener()
    check_outlives_job(out)
    with interruptible(out, SAVED):
        check_trackers(spec.tracking, out)
        spec = decide(spec, out, listener, partial(session_has_gpus, listener, verbose))
        dataset = resolve_dataset(spec.data, listener.on_generate)
        plan = make_plan(spec, dataset.manifest.hash, dataset.index)
        others = open_runs(reuse, out, spec.target_split)
        with Ledger(out, spec.identity(), _facts(dataset)) as ledger:
            if ledger.taken_over_from:
                listener.on_stage(f"taking the run over from {ledger.taken_over_from}, which has ended")
            write_videos(ledger.run, dataset.index)
            keep_copies(ledger.run, plan.lists)
            coordinator = Coordinator(plan, ledger.append, others)
            coordinator.replay(ledger.events)
            listener.on_plan(plan, sum(record.status != "running" for record in coordinator.records.values()))
            ledger.opened()
            coordinator.retry_failed()
            coordinator.close_finished_searches()
            before = {trial: len(record.paid) for trial, record in coordinator.records.items()}
            try:
                if not coordinator.finished:
                    share_weights(plan, ledger.run)
                coordinator.take_over()
                for line in summary(others, plan.manifest_hash, coordinator.records):
                    listener.on_stage(line)
                if not coordinator.finished:
                    _run(coordinator, dataset, ledger, listener, verbose, any_device)
            except OtherCode as found:
                ledger.closed("failed")
                raise found.error from None
            except (KeyboardInterrupt, SystemExit):
                if ledger.broken is None:
                    ledger.closed("interrupted")
                raise
            changed = sum(len(record.paid) != before.get(trial) for trial, record in coordinator.records.items())
            failures = _failures(coordinator)
            ledger.closed("failed" if failures else "complete")
            return Outcome(out, len(coordinator.records), changed, failures)


def _run(
    coordinator: Coordinator, dataset: Dataset, ledger: Ledger, listener: Listener, verbose: bool, any_device: bool
) -> None:
    spec = coordinator.plan.spec
    if is_private():
        check_fits_this_machine(demand_of(spec))
    listener.on_stage("starting Ray")
    with ray_session(verbose):
        capacity = session_capacity(spec)
        placement = Placement(spec, least_share_of(coordinator), room_for(spec), card_kinds(capacity))
        placement.check_fits(capacity)
        if not any_device:
            placed = [event for event in ledger.events if isinstance(event, Placed)]
            check_same_devices(coordinator, placed, devices_of(placement, spec.methods))
        demands = placement.options(next(iter(spec.methods)))
        if not any(workers_on(capacity.alive, demand) >= demand.workers for demand in demands):
            listener.on_stage("waiting for nodes from the autoscaler")
        elif not is_private() and (held := describe_contention(capacity.alive, demands[0])):
            listener.on_stage(held)
        if spec.ingest == "pool":
            _fill(dataset, placement.least_worker(), listener)
        _measure(coordinator.plan, placement, dataset, ledger, listener)
        announcer = Announcer(placement, ledger.append, listener.on_stage)
        announcer.update()
        listener.on_stage("training")
        _train(coordinator, dataset, ledger, listener, placement, announcer)


def _measure(plan: Plan, placement: Placement, dataset: Dataset, ledger: Ledger, listener: Listener) -> None:
    """Find out how much memory trials take on cards that several could share."""
    placement.kinds = card_kinds(current_capacity())  # nodes may have come while their pools were filled
    kinds = placement.shared_kinds()
    if not kinds:
        return
    from fasray.execution.probe import measure_memory  # imports Ray and torch

    listener.on_stage("measuring the memory that a trial of each method takes")
    facts = storage.absolute(ledger.run), _pool_of(dataset), storage.absolute(dataset.uri)
    placement.measured = measure_memory(plan, kinds, *facts)
    for kind in kinds:
        known = placement.measured[kind.name].peaks if kind.name in placement.measured else {}
        if missing := [method for method in plan.spec.methods if method not in known]:
            listener.on_stage(
                f"warning: the memory of {', '.join(missing)} could not be measured on {kind.name or 'a GPU'}: each of "
                "its trials gets a whole card"
            )


def _fill(dataset: Dataset, worker: Mapping[str, float], listener: Listener) -> None:
    """Give every node its pool that can hold a worker."""
    from fasray.ingest.fill import fill_pools  # imports Ray, which reads its settings from the session

    listener.on_stage("filling the pool of decoded faces")
    total = len(dataset.index)
    pools = fill_pools(
        dataset.uri, dataset.manifest, dataset.index, lambda rows: listener.on_decode(rows, total), worker
    )
    if pools[0].excluded:
        listener.on_excluded(pools[0].excluded)


def _train(
    coordinator: Coordinator,
    dataset: Dataset,
    ledger: Ledger,
    listener: Listener,
    placement: Placement,
    announcer: Announcer,
) -> None:
    """Run the coordinator's trials, in reused actors or in workers of their own, until none is left."""
    run = storage.absolute(ledger.run)  # a trial's processes have working directories of their own
    pool = _pool_of(dataset)

    code, lists = own_code(), coordinator.plan.lists

    def make_order(assignment: Assignment, demand: Demand) -> TrialOrder:
        return TrialOrder(
            trial=assignment.trial,
            run=run,
            pool=pool,
            data=storage.absolute(dataset.uri),
            target_split=coordinator.plan.spec.target_split,
            score_target=assignment.cell.scores_target(assignment.stage),
            reported_step=assignment.reported_step,
            demand=demand,
            faces_bytes=placement.room_for_faces(assignment.cell.method, demand),
            stage=assignment.stage,
            tracking=coordinator.plan.spec.tracking,
            device=device_for(demand),
            code=code,
            lists={name: found for name, found in lists.items() if name == assignment.trial.protocol},
        )

    reporter = ThrottledReporter(coordinator, placement.trials_at_once, listener.on_progress)

    def show(*_: object) -> None:
        announcer.update()
        reporter.changed()

    with tempfile.TemporaryDirectory(prefix="fasray-ray-") as scratch:
        if coordinator.plan.spec.in_trainer:
            from fasray.execution.train_backend import train_in_workers

            train_in_workers(coordinator, make_order, placement, scratch, show)
        else:
            from fasray.execution.trial_actor import ReusableTrialActor
            from fasray.execution.tune_backend import train_in_actors

            train_in_actors(coordinator, ReusableTrialActor, make_order, placement, scratch, show)
            if not coordinator.finished:
                raise RunFailedError(
                    "Ray Tune ended before every trial had ended",
                    remedy="run the same command again; -v shows Ray's messages",
                )
    reporter.flush()


def _pool_of(dataset: Dataset) -> str:
    return pool_key(dataset.manifest.hash, dataset.manifest.image_size)


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
