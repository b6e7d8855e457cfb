"""A search over trials of two workers each, watched: what is held when, and what stays behind. Prints JSON.

Run as a process of its own, with the faces, a run folder, and ``kill`` to end one worker with SIGKILL in the middle.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from fasray.execution.capacity import Demand
from fasray.execution.messages import TrialOrder
from fasray.execution.placement import EqualPlaces
from fasray.execution.ray_session import ray_session
from fasray.faces.data_source import resolve_dataset
from fasray.faces.loading.pool import pool_key
from fasray.runs.events import Decision, Ended, Event, Reported, Stage, Suggested
from fasray.runs.schedule import CellScheduler, Fifo
from fasray.sweep.coordinator import Assignment, Coordinator
from fasray.sweep.plan import Cell, Plan, make_plan
from fasray.sweep.sweep_file import parse_sweep

SWEEP = """
name: watched
data: {data}
protocols: [O&C->I]
methods:
  erm: {{space: {{learning_rate: {{choice: [0.0001, 0.01, 0.001]}}}}}}
search: {{algorithm: grid}}
scheduler: fifo
confirm: {{seeds: [0]}}
training: {{profile: quick, image_size: 32, width: 0.125, steps: 8, evaluations: 4, images: 2}}
resources: {{workers: 2}}
"""


class StopAllButTheFirst(Fifo):
    """A scheduler that stops every searching trial but the first at its first evaluation."""

    def __init__(self, total_steps: int) -> None:
        super().__init__(total_steps)
        self._first = ""

    def report(self, trial: str, step: int, value: float) -> Decision:
        self._first = self._first or trial
        return "stop" if trial != self._first else super().report(trial, step, value)


class StoppingPlan(Plan):
    def scheduler(self, cell: Cell, stage: Stage) -> CellScheduler:
        return StopAllButTheFirst(cell.training.steps) if stage == "search" else super().scheduler(cell, stage)


class Watch(threading.Thread):
    """Looks five times a second at the placement groups and living actors."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[float, int, list[str]]] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.2):
            self.seen.append((time.monotonic(), *held()))

    def end(self) -> None:
        self._over.set()
        self.join()


def held() -> tuple[int, list[str]]:
    """Number of placement groups, and the classes of living actors, as this Ray's own tables have them."""
    import ray
    from ray._private.state import actors

    groups = [group for group in ray.util.placement_group_table().values() if group["state"] != "REMOVED"]
    living = [actor["ActorClassName"] for actor in actors().values() if actor["State"] != "DEAD"]
    return len(groups), sorted(living)


def kill_one_worker(run: Path) -> None:
    """Once a trial has been evaluated, end one of its workers."""
    while not list(run.glob("trials/*/eval-*.parquet")):
        time.sleep(0.02)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                ours = (
                    f"FASRAY_TEST_PLACE={os.environ['FASRAY_TEST_PLACE']}".encode() in (entry / "environ").read_bytes()
                )
                if ours and b"RayTrainWorker" in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
                    return
            except OSError:
                continue
    raise AssertionError("no worker found")


def main(data: str, run: str, mode: str) -> None:
    text = SWEEP.format(data=data)
    if mode != "watch":
        text = text.replace("choice: [0.0001, 0.01, 0.001]", "choice: [0.01]")
    spec = parse_sweep(text)
    dataset = resolve_dataset(spec.data)
    planned = make_plan(spec, dataset.manifest.hash, dataset.index)
    plan = StoppingPlan(planned.spec, planned.manifest_hash, planned.cells)
    log: list[tuple[float, Event]] = []
    coordinator = Coordinator(plan, lambda event: log.append((time.monotonic(), event)))
    coordinator.close_finished_searches()

    def make_order(assignment: Assignment, demand: Demand) -> TrialOrder:
        pool = pool_key(dataset.manifest.hash, dataset.manifest.image_size)
        return TrialOrder(assignment.trial, run, pool, dataset.uri, spec.target_split, assignment.reported_step, demand)

    with ray_session(), tempfile.TemporaryDirectory() as scratch:
        from fasray.execution.train_backend import train_in_workers
        from fasray.ingest.fill import fill_pools

        fill_pools(dataset.uri, dataset.manifest, dataset.index)
        before = held()[1]
        watch = Watch()
        watch.start()
        if mode == "kill":
            threading.Thread(target=kill_one_worker, args=(Path(run),), daemon=True).start()
        train_in_workers(coordinator, make_order, EqualPlaces(Demand(2, 1, 0.0)), scratch)
        ended = time.monotonic()
        while (left := [name for name in held()[1] if name not in before]) and time.monotonic() < ended + 10:
            time.sleep(0.2)
        watch.end()
        groups = held()[0]
    freed = []
    for at, event in log:
        if isinstance(event, Reported) and event.decision == "stop":
            free = next((seen for seen, count, _ in watch.seen if seen > at and not count), float("inf"))
            freed.append(free - at)
    starts = [at for at, event in log if isinstance(event, Suggested)]
    print(
        json.dumps(
            {
                "stopped": len(freed),
                "seconds_to_free": freed,
                "trials": len(starts),
                "most_groups": max(count for _, count, _ in watch.seen),
                "groups_left": groups,
                "actors_left": left,
                "actors_seen": sorted({name for _, _, names in watch.seen for name in names}),
                "failed": [event.reason for _, event in log if isinstance(event, Ended)],
                "seconds": ended - starts[0],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
