"""A sweep that is killed and interrupted on its way: the same command goes on, and its end is that of a calm run."""

import random
import signal
from dataclasses import dataclass

import pytest
from pandas.testing import assert_frame_equal
from small_sweeps import COST, Place, Ran, place, score_digests, table_of

from fasray.runs.events import ENDED, trials_of

pytestmark = pytest.mark.timeout(900)


@dataclass
class Storm:
    """What was seen while a sweep was killed, interrupted, terminated, and let run to its end."""

    place: Place
    killed: int
    """Process id of the killed driver."""
    second: Ran
    """A second driver that came while the first was at work."""
    interrupted: Ran
    terminated: Ran
    last: Ran
    ended_before: dict[str, tuple[str, int]]
    """Score files of the trials that had ended before the last driver came."""
    left_over: dict[int, str]
    """Processes that stayed when all was done."""


@pytest.fixture(scope="module")
def storm(finished, tmp_path_factory: pytest.TempPathFactory) -> Storm:
    here = place(tmp_path_factory.mktemp("storm"), finished.place.data)
    rng = random.Random(2)
    with here.start() as driver:
        driver.until((here.run_folder / "events.jsonl").exists)
        second = here.drive()
        driver.until_new_events(rng.randint(2, 9))
        killed = driver.process.pid
        driver.end(signal.SIGKILL)
    with here.start() as driver:
        driver.until_new_events(rng.randint(5, 15))
        interrupted = driver.end(signal.SIGINT, 30)
    with here.start() as driver:
        driver.until_new_events(rng.randint(5, 15))
        terminated = driver.end(signal.SIGTERM, 30)
    ended = {trial for trial, record in trials_of(here.events()).items() if record.status in ENDED}
    assert 0 < len(ended) < 16
    ended_before = {name: seen for trial in ended for name, seen in score_digests(here.run_folder, trial).items()}
    last = here.drive()
    return Storm(here, killed, second, interrupted, terminated, last, ended_before, here.processes(wait=60))


def trial_events(here: Place) -> list[dict[str, object]]:
    """The log without what time and process decide."""
    about_trials = [event for event in here.events() if event.event not in ("opened", "closed")]
    return [event.model_dump(exclude=COST) for event in about_trials]


def test_it_completes_with_the_same_table_number_for_number(storm: Storm, finished) -> None:
    assert storm.last.code == 0, storm.last.err
    assert_frame_equal(table_of(storm.place.run_folder), table_of(finished.place.run_folder), check_exact=True)
    assert storm.last.out == finished.ran.out


def test_suggestions_results_rung_decisions_and_winners_are_those_of_an_undisturbed_run(storm: Storm, finished) -> None:
    assert trial_events(storm.place) == trial_events(finished.place)


def test_every_score_file_has_the_same_bytes(storm: Storm, finished) -> None:
    def digests(here: Place) -> dict[str, str]:
        return {name: digest for name, (digest, _) in score_digests(here.run_folder).items()}

    assert digests(storm.place) == digests(finished.place)


def test_no_ended_trial_is_trained_again(storm: Storm) -> None:
    now = score_digests(storm.place.run_folder)
    assert {name: now[name] for name in storm.ended_before} == storm.ended_before


def test_a_second_driver_refuses_and_names_the_first(storm: Storm) -> None:
    assert storm.second.code == 2
    assert f"driven by process {storm.killed} on " in storm.second.err
    assert "Traceback" not in storm.second.err


def test_a_dead_drivers_lock_is_taken_over_and_said_so(storm: Storm) -> None:
    assert f"taking the run over from process {storm.killed} on " in storm.interrupted.err
    assert "taking the run over" not in storm.last.err


@pytest.mark.parametrize("how", ["interrupted", "terminated"])
def test_a_signal_ends_it_within_ten_seconds_with_code_6_and_how_to_go_on(storm: Storm, how: str) -> None:
    ended: Ran = getattr(storm, how)
    assert ended.code == 6, ended.err
    assert ended.seconds < 10
    assert "everything up to each trial's last evaluation is saved" in ended.err
    assert "run the same command again to resume" in ended.err
    assert "Traceback" not in ended.err


def test_no_process_stays_behind(storm: Storm) -> None:
    assert storm.left_over == {}


def test_the_log_tells_of_every_driver(storm: Storm) -> None:
    drivers = [event for event in storm.place.events() if event.event in ("opened", "closed")]
    assert drivers[0].event == "opened"
    assert drivers[0].pid == storm.killed
    assert [event.status if event.event == "closed" else "opened" for event in drivers[1:]] == [
        "opened", "interrupted", "opened", "interrupted", "opened", "complete",
    ]  # fmt: skip
