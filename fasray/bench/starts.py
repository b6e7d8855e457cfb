"""Seconds from starting a trial to its first optimizer step: reused actor, fresh actor, TorchTrainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fasray.bench.measurement import Benchmark, Measurement, machine, scratch
from fasray.errors import RunFailedError
from fasray.execution.messages import TrialOrder
from fasray.execution.ray_session import ray_session
from fasray.faces.data_source import Dataset, resolve_dataset
from fasray.faces.loading.pool import pool_key
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import make_plan
from fasray.sweep.spec import SweepSpec

_PROTOCOL, _DOMAINS, _SUBJECTS, _IMAGE_SIZE = "O&C->M", "OCM", 2, 64
_METHODS = ("erm", "safas")


def measure_starts(
    warm: int,
    fresh: int,
    trainers: int,
    profile: str,
    say: Callable[[str], None] = lambda text: None,
    verbose: bool = False,
) -> Benchmark:
    """Run short trials of all methods in turn in each of the three ways, in a private Ray on generated faces.

    Args:
        warm: trials in a reused actor, in addition to the first, which starts it. These numbers are rounded up so that
            every method has as many trials.
        fresh: trials in a fresh Tune actor each.
        trainers: trials in a TorchTrainer each.
        profile: decides the size of the networks; budget and images are tiny.
        say: called with what begins.
        verbose: let Ray's own messages through.

    Raises:
        SpecError: there is no such profile.
        RunFailedError: a trial failed, or Tune did not keep the actor.
    """
    from fasray.faces.synthetic import generate

    _spec("not made yet", profile, 1).training_of(_METHODS[0])  # refuses an unknown profile before anything starts
    with scratch() as folder:
        data = str(folder / "faces")
        say("generating a few faces")
        generate(data, subjects=_SUBJECTS, domains=_DOMAINS, image_size=_IMAGE_SIZE, processes=1)
        dataset = resolve_dataset(data)
        with ray_session(verbose):
            from fasray.bench.start_trials import starts_in_torch_trainer, starts_in_tune  # imports Ray
            from fasray.ingest.fill import fill_pools

            fill_pools(dataset.uri, dataset.manifest, dataset.index)

            def ready(way: str, trials: int) -> tuple[Coordinator, Callable[[Assignment], TrialOrder], Path]:
                say(f"{trials} trials: {way}")
                spec = _spec(data, profile, trials)
                plan = make_plan(spec, dataset.manifest.hash, dataset.index)
                coordinator = Coordinator(plan, lambda event: None)
                coordinator.close_finished_searches()
                return coordinator, _order_maker(spec, dataset, folder / way), folder / "ray"

            reused = starts_in_tune(*ready("warm", warm + 1), reuse_actors=True)
            renewed = starts_in_tune(*ready("fresh", fresh), reuse_actors=False)
            trained = starts_in_torch_trainer(*ready("torch-trainer", trainers))
    first = reused[0]
    later = [start.seconds for start in reused[1:] if start.pid == first.pid]
    if not later:
        raise RunFailedError("Ray Tune started every trial in an actor of its own", remedy="-v shows Ray's messages")
    return Benchmark(
        "sweep",
        "s",
        (
            Measurement("warm", "2nd and later trials of a reused actor", tuple(later), baseline=False),
            Measurement("fresh", "a fresh Tune actor for each trial", tuple(start.seconds for start in renewed)),
            Measurement("torch_trainer", "a TorchTrainer of one worker, no Tune", tuple(s.seconds for s in trained)),
        ),
        lower_is_better=True,
        facts={
            "first_trial_of_the_warm_actor_s": first.seconds,
            "warm_actors": len({start.pid for start in reused}),
            "methods": " ".join(_METHODS),
            "profile": profile,
            **machine(),
        },
    )


def _spec(data: str, profile: str, trials: int) -> SweepSpec:
    """Return a sweep of at least ``trials`` trials, as many of each method, which take turns: no search, few steps."""
    return SweepSpec.model_validate(
        {
            "name": "bench",
            "data": data,
            "protocols": [_PROTOCOL],
            "methods": {name: {"space": {}} for name in _METHODS},
            "scheduler": "fifo",
            "confirm": {"seeds": list(range(-(-trials // len(_METHODS))))},
            "training": {"profile": profile, "image_size": _IMAGE_SIZE, "steps": 2, "evaluations": 1},
        }
    )


def _order_maker(spec: SweepSpec, dataset: Dataset, run: Path) -> Callable[[Assignment], TrialOrder]:
    pool = pool_key(dataset.manifest.hash, dataset.manifest.image_size)

    def make_order(assignment: Assignment) -> TrialOrder:
        return TrialOrder(
            assignment.trial, str(run), pool, dataset.uri, spec.target_split, reported_step=assignment.reported_step
        )

    return make_order
