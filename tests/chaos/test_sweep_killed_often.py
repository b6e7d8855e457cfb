"""The driver is killed with SIGKILL at ten random moments, the same command is run again each time."""

import random
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal
from small_sweeps import SMALL, Place, pause, place, score_digests, table_of

from fasray.faces.data_source import resolve_dataset
from fasray.runs.events import ENDED, Reported, Suggested, trials_of
from fasray.sweep.coordinator import Coordinator
from fasray.sweep.plan import make_plan
from fasray.sweep.sweep_file import load_sweep

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

KILLS = 10
FIFO = SMALL.replace("{{asha: {{grace: 0.5, reduction: 2}}}}", "fifo").replace("{{max_concurrent: 1}}", "{{}}")
ASHA = (
    SMALL.replace("{{max_concurrent: 1}}", "{{}}")
    .replace("trials_per_cell: 2", "trials_per_cell: 4")
    .replace("profile: smoke", "profile: quick")  # smoke tries two a cell at the most
)


@dataclass
class Kill:
    """What stood on the disk just after a kill."""

    ended: frozenset[str]
    scores: dict[str, tuple[str, int]]
    """Score files of the trials that had ended."""
    events: int


def storm(here: Place, seed: int) -> list[Kill]:
    """Kill ten drivers: three on the way to training, the others after a random number of suggestions and results."""
    rng = random.Random(seed)
    moments = ["early"] * 3 + ["training"] * (KILLS - 3)
    rng.shuffle(moments)
    kills = []
    for moment in moments:
        with here.start() as driver:
            if moment == "training":
                driver.until_new_events(rng.randint(1, 6))
            for _ in range(rng.randint(0, 20 if moment == "training" else 200)):
                pause()
            assert driver.process.poll() is None, "the sweep was too small to be killed so often"
            driver.end(signal.SIGKILL)
        ended = frozenset(trial for trial, record in trials_of(here.events()).items() if record.status in ENDED)
        scores = {name: seen for trial in ended for name, seen in score_digests(here.run_folder, trial).items()}
        kills.append(Kill(ended, scores, len(here.events())))
    return kills


def nothing_was_done_twice(here: Place, kills: list[Kill]) -> None:
    events, now = here.events(), score_digests(here.run_folder)
    for kill in kills:
        assert {name: now[name] for name in kill.scores} == kill.scores
        after = [event for event in events[kill.events :] if isinstance(event, Reported | Suggested)]
        assert not {event.trial for event in after} & kill.ended
    suggested = [event.trial for event in events if isinstance(event, Suggested)]
    assert len(suggested) == len(set(suggested))
    results = [(event.trial, event.step) for event in events if isinstance(event, Reported)]
    assert len(results) == len(set(results))


@pytest.mark.parametrize("seed", [11])
def test_with_fifo_the_table_is_that_of_an_undisturbed_run(small_faces: Path, tmp_path: Path, seed: int) -> None:
    calm, here = (place(tmp_path / name, small_faces, FIFO) for name in ("calm", "killed"))
    assert calm.drive().code == 0
    kills = storm(here, seed)
    last = here.drive()
    assert last.code == 0, last.err
    assert_frame_equal(table_of(here.run_folder), table_of(calm.run_folder), check_exact=True)
    nothing_was_done_twice(here, kills)
    assert here.processes(wait=120) == {}


@pytest.mark.parametrize("seed", [23])
def test_with_asha_decisions_and_history_are_what_the_log_says(small_faces: Path, tmp_path: Path, seed: int) -> None:
    here = place(tmp_path / "killed", small_faces, ASHA)
    kills = storm(here, seed)
    last = here.drive()
    assert last.code == 0, last.err
    nothing_was_done_twice(here, kills)
    spec = load_sweep(here.sweep)
    dataset = resolve_dataset(spec.data)
    plan = make_plan(spec, dataset.manifest.hash, dataset.index)
    again = Coordinator(plan, lambda event: pytest.fail(f"replaying logged {event}"))
    events = here.events()
    again.replay(events)
    assert again.finished
    assert again.records == trials_of(events)
    for cell in plan.cells:
        rung = {
            event.trial: event.source_dev_auc
            for event in events
            if isinstance(event, Reported)
            and event.step == 4
            and again.records[event.trial].stage == "search"
            and (again.records[event.trial].method, again.records[event.trial].protocol)
            == (cell.method, cell.protocol.name)
        }
        assert len(rung) == 4
    assert here.processes(wait=120) == {}
