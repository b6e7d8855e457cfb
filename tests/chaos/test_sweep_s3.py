"""A sweep on an object store: its driver is killed at random moments, and its store is away for half a minute."""

import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pandas.testing import assert_frame_equal
from s3_sweeps import RUN, remote_place, remote_table, score_files, until_event_files
from small_sweeps import SMALL, Ran, pause, table_of, wait_until

from fasray import storage
from fasray.runs.event_log import read_events
from fasray.runs.events import ENDED, Event, Suggested, trials_of

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1800)]

KILLS = 4
OUTAGE_SECONDS = 30


@dataclass
class Storm:
    events: list[Event]
    ended_before: list[set[str]]
    """Trials that had ended at each kill."""
    cut_off: Ran
    """The driver that lost its store and found it again."""


@pytest.fixture(scope="module")
def storm(finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storm]:
    rng = random.Random(5)
    with remote_place(tmp_path_factory.mktemp("s3-chaos"), finished.place.data, SMALL) as (store, here):
        ended = []
        for _ in range(KILLS):
            there = len(storage.listing(storage.join(RUN, "events")))
            with here.start() as driver:
                until_event_files(driver, there + rng.randint(1, 8))
                for _ in range(rng.randint(0, 20)):
                    pause()
                driver.end(signal.SIGKILL)
            records = trials_of(read_events(RUN)).values()
            ended.append({record.id for record in records if record.status in ENDED})
        with here.start() as driver:
            until_event_files(driver, len(read_events(RUN)) + 4)
            store.kill()
            back = time.monotonic() + OUTAGE_SECONDS
            wait_until(lambda: time.monotonic() > back, OUTAGE_SECONDS + 5)
            assert driver.process.poll() is None, "it has not waited"
            store.start()
            cut_off = driver.end()
        yield Storm(read_events(RUN), ended, cut_off)


def test_it_completes_with_the_table_and_scores_of_an_undisturbed_run_on_a_local_disk(storm: Storm, finished) -> None:
    assert storm.cut_off.code == 0, storm.cut_off.err
    assert_frame_equal(remote_table(RUN), table_of(finished.place.run_folder), check_exact=True)
    trials = finished.place.run_folder / "trials"
    files = score_files(RUN)
    assert files == {name: (trials / name).read_bytes() for name in files}
    assert len(files) == len(list(trials.glob("*/eval-*.parquet")))


def test_no_trial_failed_or_was_suggested_twice(storm: Storm) -> None:
    assert {record.status for record in trials_of(storm.events).values()} == {"done", "stopped"}
    suggested = [event.trial for event in storm.events if isinstance(event, Suggested)]
    assert len(suggested) == len(set(suggested)) == 16


def test_what_had_ended_stayed_as_it_was(storm: Storm) -> None:
    opened = [number for number, event in enumerate(storm.events) if event.event == "opened"]
    assert len(opened) == KILLS + 1
    for start, ended in zip(opened[1:], storm.ended_before, strict=True):
        assert not {getattr(event, "trial", "") for event in storm.events[start:] if event.event != "won"} & ended


def test_it_said_once_that_it_waited(storm: Storm) -> None:
    assert storm.cut_off.err.count("does not answer; waiting for it, up to 300 s") == 1
    assert storm.cut_off.err.count("answers again after") == 1
